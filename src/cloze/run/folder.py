"""The folder of a run: its configuration, its origin, and whether a command may start or resume there."""

import errno
import itertools
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_only

from cloze.checkpoint.saves import INDEX, CheckpointStore, check_whole
from cloze.config.given import remembered
from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import parse_yaml, read_text
from cloze.files.layout import CONFIG, METRICS, MODEL, PREDICTIONS, RESULTS
from cloze.files.partial_output import differences, lock_file
from cloze.runtime.distribution import VERSION
from cloze.runtime.moved import present_run
from cloze.runtime.redaction import masked_text

CHECKPOINTS = "checkpoints"
LOCK = ".lock"
_CLAIMED: dict[Path, int] = {}
"""Descriptors of locks, which stay open: the system gives them back when the process ends."""
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
NO_MEMORY = re.compile(r"[Tt]ried to allocate [\d.]+ ?\w+")
NONE_YET = "there is no checkpoint yet"
FREE = ("hardware", "logger", "callbacks", "checkpoint", "resume")
"""Sections that may differ when a run resumes: they change neither what is learned nor from what."""


def claim(folder: Path) -> None:
    """Lock the run until this process ends; rank zero does it for all ranks.

    Raises:
        InputError: another process is training there, or the folder cannot be written.
    """
    key = folder.resolve()
    if getattr(rank_zero_only, "rank", 0) != 0 or key in _CLAIMED:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = "is training there; wait for it, or choose another run=NAME"
        _CLAIMED[key] = lock_file(folder / LOCK, lambda holder: InputError(f"{folder}: {holder} {held}"))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder=") from error


def _leave() -> None:
    """In a process that was forked off: it may outlive the one that holds the runs, and must not hold them for it."""
    while _CLAIMED:
        os.close(_CLAIMED.popitem()[1])


os.register_at_fork(after_in_child=_leave)


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    Attributes:
        path: of it.
        recorded: the configuration of the run, as it is written there.
        finished: what lies there when the run has come to its end.
    """

    path: Path
    recorded: Mapping[str, Any]
    finished: str = MODEL

    def is_finished(self) -> bool:
        """Whether this very run has come to its end, so that nothing is to be done.

        Raises:
            InputError: the configuration there cannot be read.
        """
        return holds_run(self.path) and (self.path / self.finished).exists() and not self._differences()

    def checkpoint_to_resume(self, policy: str, *, claiming: bool = True) -> Path | None:
        """Where training resumes from, or None for a new run.

        Args:
            policy: `auto`, `never`, or a checkpoint.
            claiming: make the run ours, as whoever resumes it must.

        Raises:
            InputError: the folder holds another run, or one that another process is training.
        """
        given = None if policy in ("auto", "never") else Path(policy)
        if given is None or not self._began_from(policy):
            _check_given(given)
        if not holds_run(self.path):
            return given
        advice = "choose another run=NAME, or delete the folder"
        if policy == "never":
            raise InputError(f"{self.path} holds a run already: {advice}")
        if changed := self._differences():
            what = "finished run" if (self.path / self.finished).exists() else "run"
            told = first_changes(changed)
            raise InputError(f"{self.path} holds a {what} with another configuration ({told}): {advice}")
        if claiming:
            claim(self.path)
        newest = CheckpointStore(self.path / CHECKPOINTS).newest_good(warn)
        if newest is not None and self._began_from(policy):
            return newest  # the same command again, whether or not the run that it branches from keeps its checkpoint
        _check_given(given)
        if given is not None and newest is not None and not given.samefile(newest):
            raise InputError(
                f"resume={policy}: {self.path} has newer checkpoints; resume from this one under another run=NAME"
            )
        return given or newest

    def _before(self) -> dict[str, Any]:
        """The configuration in the folder."""
        file = self.path / CONFIG
        try:
            before = parse_yaml(read_text(file))
        except ValueError as error:
            raise InputError(f"{file} cannot be read ({error}): choose another run=NAME") from error
        if not isinstance(before, dict):
            raise InputError(f"{file} holds no configuration: choose another run=NAME")
        return before

    def _differences(self) -> list[str]:
        """Where the configuration differs from the one in the folder, in what decides the result."""
        there, here = (
            {key: part for key, part in one.items() if key not in FREE}
            for one in (present_run(self._before()), present_run(self.recorded))
        )
        return differences(there, here)

    def _began_from(self, policy: str) -> bool:
        """Whether the run in the folder began from the checkpoint that `resume` gives."""
        return holds_run(self.path) and policy == self._before().get("resume") != "auto"

    def write_config(self) -> None:
        """Write the resolved configuration, with the versions, the revision and the command as comments above it.

        Raises:
            InputError: another process is training there, or the folder cannot be written.
        """
        claim(self.path)
        head = "".join(f"# {line}\n" for line in provenance())
        recorded = dict(self.recorded)
        if recorded.get("resume") == "auto" and holds_run(self.path):
            recorded["resume"] = self._before().get("resume", "auto")  # what the run began from
        text = yaml.safe_dump(recorded, sort_keys=False, allow_unicode=True)
        write_atomically(self.path / CONFIG, (head + text).encode())


def _check_given(given: Path | None) -> None:
    if given is not None and not given.is_file():
        raise InputError(f"resume={given}: there is no such file; give auto, never or a checkpoint")
    if given is not None:
        check_whole(given)


def free_folder(folder: Path) -> Path:
    """The folder, or `FOLDER-2`, `FOLDER-3`, ... where it holds a run already."""
    names = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain([folder], names) if not holds_run(name))


def holds_run(folder: Path) -> bool:
    """Whether there is a run that would be lost; one that was refused or killed before its first row is none."""
    results = (f"{CHECKPOINTS}/{INDEX}", METRICS, RESULTS, PREDICTIONS, MODEL)
    return (folder / CONFIG).exists() and any((folder / name).exists() for name in results)


def first_changes(changes: Sequence[str], most: int = 5) -> str:
    """Changes of a configuration in a sentence, and how many more there are."""
    more = [f"and {len(changes) - most} more"] if len(changes) > most else []
    return "; ".join([*changes[:most], *more])


@rank_zero_only
def note(text: str) -> None:
    """Tell, once in a run, what a user may want to know."""
    print(f"note: {text}", file=sys.stderr)


def warn(sentence: str) -> None:
    """Tell what does not stop a run."""
    print(f"warning: {sentence}", file=sys.stderr)


@contextmanager
def telling_what_lacks(folder: Path) -> Iterator[None]:
    """What the machine refuses to a run - room on the disk, a folder that can be written, memory - as one sentence.

    Raises:
        InputError: with the file, the reason and the last good checkpoint.
    """
    try:
        yield
    except Exception as error:
        if bytes_asked := NO_MEMORY.search(str(error)):
            raise InputError(
                f"there is no memory ({bytes_asked[0]}): take a smaller model= or less hardware.micro_batch_tokens"
            ) from error
        number = error.errno if isinstance(error, OSError) else _system_error(str(error))
        if number not in REFUSED:
            raise
        where = getattr(error, "filename", None) or folder
        saves = CheckpointStore(folder / CHECKPOINTS).complete()
        last = f"the last good checkpoint is {folder / CHECKPOINTS / saves[-1].file}" if saves else NONE_YET
        raise InputError(f"{where}: {os.strerror(number)}; {last}; fix that and give the same command again") from error


def _system_error(text: str) -> int | None:
    """The number of the system's error in another library's words."""
    found = re.search(r"(?:os error|[Ee]rrno) (\d+)", text)
    return int(found[1]) if found else None


def provenance() -> list[str]:
    """The command, the revision of the code and the versions of what decides the result."""
    packages = ("torch", "lightning", "tokenizers", "numpy", "numba")
    versions = ", ".join([f"cloze {VERSION}", *(f"{name} {_version(name)}" for name in packages)])
    return [
        f"command: {masked_text(shlex.join(remembered()))}",
        f"revision: {_revision()}",
        f"versions: Python {platform.python_version()}, {versions}",
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "without metadata"


def _revision() -> str:
    """Git's description of the code, with `-dirty` when it was changed since; `installed` outside a repository."""
    text = git("describe", "--always", "--dirty", "--abbrev=12")
    return "installed" if text is None else text.strip() or "unknown"


def git(*words: str) -> str | None:
    """What git prints about the repository of this code, nothing where it fails; None outside a repository."""
    repository = Path(__file__).resolve().parents[3]
    if not (repository / ".git").exists():
        return None
    # Without its optional locks: killed while it refreshes the index, git would leave a lock behind.
    command = ["git", "--no-optional-locks", "-C", str(repository), *words]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace")
    except (OSError, subprocess.CalledProcessError):
        return ""
