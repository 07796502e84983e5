"""The state of a preparation in its folder: owner, finished parts, and lock."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cloze.errors import InputError
from cloze.files.partial_output import PartialOutput, differences
from cloze.files.remote import Location, RemotePath, remove_folder
from cloze.runtime.redaction import masked
from cloze.text.manifest import MANIFEST, Prepared, changed_preparation
from cloze.text.shards import FORMAT

UNFINISHED = "unfinished"
"""Subfolder of all that only an unfinished preparation needs; it goes once the manifest stands."""


def describe(value: object) -> Any:
    """A configured object as JSON: the name of its class and its fields, recursively; secrets are masked."""
    if is_dataclass(value):
        content = {field.name: describe(getattr(value, field.name)) for field in fields(value)}
        return masked({"class": f"{type(value).__module__}.{type(value).__qualname__}", **content})
    if isinstance(value, Mapping):
        return masked({str(key): describe(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return {"class": f"{type(value).__module__}.{type(value).__qualname__}"}


class Journal(PartialOutput):
    """The record of a preparation's finished steps, in ``unfinished/`` of its folder."""

    kind, held = "an unfinished preparation", "is preparing a corpus here"
    other = "choose another folder"

    def __init__(self, folder: Location) -> None:
        super().__init__(folder, folder / UNFINISHED, deleted=str(folder))

    @property
    def finished(self) -> bool:
        return (self.output / MANIFEST).exists()

    def plan(self, config: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
        """What decides a preparation."""
        return {"format": FORMAT, "config": config, "source": source}

    def changes(self, before: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
        """As in the base, less what moved or touched files change."""
        format_there, format_here = ({"format": each.get("format")} for each in (before, plan))
        there, here = (Prepared(each.get("config") or {}, each.get("source") or {}) for each in (before, plan))
        return [*differences(format_there, format_here), *changed_preparation(there, here)]

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of this machine for files that are searched, or renamed as one."""
        if isinstance(self.work, Path):
            yield self.work
        else:
            with TemporaryDirectory(prefix="cloze-") as folder:
                yield Path(folder)

    def end(self) -> None:
        """Removes the records; the manifest stands."""
        remove_folder(self.work)

    def discard(self) -> None:
        """Removes all that an unfinished preparation wrote, and its folder if nothing else is in it."""
        for path in [*self.output.glob("train-*.arrow"), *self.output.glob("heldout-*.arrow")]:
            path.unlink()
        remove_folder(self.output / "tokenizer")
        self.end()
        if isinstance(self.output, Path):
            with suppress(OSError):
                self.output.rmdir()


@contextmanager
def open_journal(folder: Location) -> Iterator[Journal]:
    """Makes `folder` ours for the time of a preparation.

    Raises:
        InputError: the folder is a file, holds something else, cannot be written, or another preparation works in it.
            A store knows no lock: there, two at once do not know of each other.
    """
    journal = Journal(folder)
    if isinstance(folder, RemotePath):
        if not (journal.finished or journal.work.is_dir()) and any(folder.glob("**/*")):
            raise InputError(f"{folder}: is not empty and not a prepared corpus; choose an empty or a new folder")
        yield journal
        if journal.finished:
            journal.end()
        return
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected a folder for the prepared corpus; choose another")
    ours = journal.finished or journal.work.is_dir()
    if folder.is_dir() and not ours and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty and not a prepared corpus; choose an empty or a new folder")
    with journal.locked():
        for leftover in folder.glob(".*.[0-9]*"):  # of processes that were killed while writing
            leftover.unlink(missing_ok=True)
        yield journal
        if journal.finished:
            journal.end()
