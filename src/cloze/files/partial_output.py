"""Unfinished output: its identity, its finished parts, and its writer.

Locks are those that the system gives back when their process ends, in whatever way.
"""

import fcntl
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.remote import Location

PLAN, LOCK = "plan", "lock"


class HeldError(InputError):
    """Another process is writing the output."""


class DamagedError(InputError):
    """A record that cannot be read; what it is a record of may be good."""


class PartialOutput:
    """Records of finished parts, in JSON files next to these: each is written, whole, once all that it says stands.

    Attributes:
        output: the file or folder to come.
        work: the folder of parts and records.
    """

    kind, held, other = "unfinished output", "is writing it", "choose another output"  # in messages

    def __init__(self, output: Location, work: Location, deleted: str | None = None) -> None:
        """Describe an output; nothing is read or written yet.

        Args:
            output: to come.
            work: the folder of parts and records.
            deleted: what is to be deleted to start from scratch; None for the folder `work`.
        """
        self.output, self.work = output, work
        self._restart = f"delete {deleted or work}, and the same command starts from scratch"

    def record_file(self, name: str) -> Location:
        """Where a record stands, or would."""
        return self.work / f"{name}.json"

    def record(self, name: str, content: Mapping[str, Any]) -> None:
        """Marks a part as finished; all that it wrote must stand before."""
        write_atomically(self.record_file(name), json.dumps(content).encode())

    def recorded(self, name: str, **kinds: type) -> dict[str, Any] | None:
        """What a finished part left on record, or None.

        Args:
            name: of the part.
            kinds: types of entries that it must have; a `Counter` is a mapping to whole numbers.

        Raises:
            DamagedError: it is damaged.
        """
        file = self.record_file(name)
        if not file.exists():
            return None
        try:
            found = read_json(file)
            if not isinstance(found, dict):
                raise ValueError("it is no JSON object")
            if wrong := [key for key, kind in kinds.items() if not _is(found.get(key), kind)]:
                raise ValueError(f"its {wrong[0]!r} is missing or of another type")
        except ValueError as error:
            raise DamagedError(f"{file} is damaged ({error}); {self._restart}") from error
        return found

    def changes(self, before: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
        """In what the plan of an output that was stopped differs from this one."""
        return differences(before, plan)

    def begin(self, plan: Mapping[str, Any]) -> bool:
        """Starts an output, or resumes one that was stopped; True if there was one.

        Args:
            plan: what decides the output.

        Raises:
            InputError: the one that was stopped was of something else; names what differs.
        """
        before = self.recorded(PLAN)
        if before is None:
            self.record(PLAN, plan)
            return False
        self.check(before, plan)
        return True

    def check(self, before: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        """Refuses to resume what was of something else.

        Raises:
            InputError: names what differs.
        """
        if changed := self.changes(before, json.loads(json.dumps(plan))):
            raise InputError(
                f"{self.output}: there is {self.kind} of something else ({'; '.join(changed[:5])}); undo that change, "
                f"or {self.other}; or {self._restart}"
            )

    def held_by(self, holder: str) -> HeldError:
        """What to say where another process has the lock."""
        return HeldError(f"{self.output}: {holder} {self.held}; wait for it, or {self.other}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the output ours for a time, on this machine, and removes what killed processes left half written.

        Raises:
            HeldError: another process is writing it.
            InputError: it cannot be written.
        """
        assert isinstance(self.work, Path)
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            lock = lock_file(self.work / LOCK, self.held_by)
        except OSError as error:
            raise InputError(f"{self.output}: cannot be written ({error.strerror}); {self.other}") from error
        try:
            for leftover in self.work.glob(".*.[0-9]*"):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            os.close(lock)


def _is(value: Any, kind: type) -> bool:
    if kind is Counter:
        return isinstance(value, dict) and all(isinstance(count, int) for count in value.values())
    return isinstance(value, kind)


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Readable differences of two nested configurations, as ``key: was this, is that``."""
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: was {_shorten(old)}, is {_shorten(new)}")
    return found


def _shorten(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process; False where another one holds it. Closing the file gives the lock back.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_file(path: Path, held: Callable[[str], Exception]) -> int:
    """Make and lock a file that says who holds it.

    Args:
        path: of the file, in a folder that exists.
        held: makes the exception for a lock that another process holds, from that process' name.

    Returns:
        The open descriptor; closing it gives the lock back.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not try_lock(descriptor):
            holder = os.read(descriptor, 1000).decode(errors="replace").strip()
            raise held(holder or "another process")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
