"""The files of the splits of a data set."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cloze.errors import InputError
from cloze.files.bounded import ExpansionError


@dataclass(kw_only=True)
class SplitFiles:
    """Where each split is; what every source of files has.

    Attributes:
        train: path of the training split.
        dev: path, or several with their names: ``{matched: FILE, mismatched: FILE}``.
        test: as `dev`; it may be unlabelled.
        homepage: where the data set is found, for the message when a file is absent.
        counts: what was left out or odd in reading.
        notes: what the reader should know of how the files were read.
    """

    train: str | None = None
    dev: str | Mapping[str, str] | None = None
    test: str | Mapping[str, str] | None = None
    homepage: str | None = None
    counts: Counter[str] = field(default_factory=Counter, init=False)
    notes: list[str] = field(default_factory=list, init=False)

    @property
    def splits(self) -> list[str]:
        """Those given; of several dev files ``dev_NAME``."""
        return list(self.paths())

    def paths(self) -> dict[str, str]:
        """The path of each split."""
        paths: dict[str, str] = {}
        for split, given in (("train", self.train), ("dev", self.dev), ("test", self.test)):
            if isinstance(given, Mapping):
                paths |= {f"{split}_{name}": path for name, path in given.items()}
            elif given is not None:
                paths[split] = given
        return paths

    def check_file(self, path: str | Path, split: str) -> None:
        """See that a file is there.

        Raises:
            InputError: it is not, or it is a folder.
        """
        key = "task.data." + split.replace("_", ".", 1)
        if Path(path).is_dir():
            raise InputError(f"{path}: is a folder; set {key} to a file in it")
        if not Path(path).exists():
            if self.homepage is None:
                raise InputError(f"{path}: there is no such file; set {key}=FILE")
            raise InputError(
                f"{path}: there is no such file (the data set is found at {self.homepage}); set {key}=FILE, or"
                " datasets=FOLDER to the folder of all benchmarks"
            )


@contextmanager
def opened_archive(file: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive.

    Raises:
        InputError: it is none, is damaged, or a file in it becomes far larger than it is.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except ExpansionError as error:
        raise InputError(f"{file}: {error}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file}: is not a ZIP archive, or a damaged one ({error}); fetch it again") from error
