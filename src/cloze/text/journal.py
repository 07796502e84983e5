"""The folder of a preparation: whose it is, what is already done in it, and who works in it now."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.lock import lock_file
from cloze.files.remote import Location, RemotePath, remove_folder
from cloze.runtime.redaction import masked
from cloze.text.manifest import MANIFEST, Prepared, changed_preparation
from cloze.text.shards import FORMAT

HELD = "is preparing a corpus here; wait for it, or choose another folder"
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


def sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class HeldError(InputError):
    """Another process is preparing the corpus."""


class Journal:
    """The record of a preparation's finished steps, in ``unfinished/`` of its folder."""

    def __init__(self, folder: Location) -> None:
        self.folder = folder
        self.work = folder / UNFINISHED

    @property
    def finished(self) -> bool:
        return (self.folder / MANIFEST).exists()

    def done(self, step: str) -> dict[str, Any] | None:
        """What a finished step left on record, or None."""
        path = self.work / f"{step}.json"
        return read_json(path) if path.exists() else None

    def record(self, step: str, outcome: Mapping[str, Any]) -> None:
        """Marks a step as finished; all that it wrote must stand before."""
        write_atomically(self.work / f"{step}.json", json.dumps(outcome).encode())

    def begin(self, config: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
        """Starts a preparation or resumes one that was stopped; True if there was one.

        Raises:
            InputError: the one that was stopped had another configuration or other input; names what differs.
        """
        plan = {"format": FORMAT, "config": config, "source": source}
        before = self.done("plan")
        if before is None:
            self.record("plan", plan)
            return False
        changed = changed_preparation(Prepared(before["config"], before["source"]), Prepared(config, source))
        if changed or before["format"] != FORMAT:
            raise InputError(
                f"{self.folder}: holds an unfinished preparation of something else ({'; '.join(changed[:5])}); "
                "undo that change, delete the folder, or choose another with corpus.prepared="
            )
        if isinstance(self.folder, RemotePath):
            return True
        for leftover in [*self.folder.glob(".*.[0-9]*"), *self.work.glob(".*.[0-9]*")]:  # killed while writing
            leftover.unlink(missing_ok=True)
        return True

    def end(self) -> None:
        """Removes the record; the manifest stands."""
        remove_folder(self.work)

    def discard(self) -> None:
        """Removes all that an unfinished preparation wrote, and its folder if nothing else is in it."""
        for path in [*self.folder.glob("train-*.arrow"), *self.folder.glob("heldout-*.arrow")]:
            path.unlink()
        remove_folder(self.folder / "tokenizer")
        self.end()
        if isinstance(self.folder, Path):
            with suppress(OSError):
                self.folder.rmdir()


@contextmanager
def open_journal(folder: Location) -> Iterator[Journal]:
    """Makes `folder` ours for the time of a preparation.

    Raises:
        InputError: the folder is a file, holds something else, cannot be written, or another preparation works in it.
            A store knows no lock: there, two at once are not told of each other.
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
    try:
        work = folder / UNFINISHED
        work.mkdir(parents=True, exist_ok=True)
        lock = lock_file(work / "lock", lambda holder: HeldError(f"{folder}: {holder} {HELD}"))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    try:
        yield journal
        if journal.finished:
            journal.end()
    finally:
        os.close(lock)
