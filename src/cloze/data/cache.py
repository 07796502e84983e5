"""A local cache of limited size for shards in an object store.

A shard is fetched as a whole, checked against the size and checksum of the manifest, and takes its name by rename. The
name is the checksum, so that corpora, runs, ranks and their workers share one folder, and each shard is fetched once.
A process holds a shared lock on what it reads, which the system gives back with the process; what nobody holds goes,
the least recently used first, where the bound would be passed.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cloze.errors import InputError
from cloze.files.remote import Location
from cloze.text.manifest import ShardInfo

FETCH_SECONDS = 300.0
"""A shard is some megabytes: a store that has not given it by then gives nothing."""


class Lease:
    """A shard that stays as long as this object lives."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    def __del__(self) -> None:
        # Closed, never unlocked: a forked worker that has it, too, keeps holding it.
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class ShardCache:
    """Fetches shards of one corpus into a folder that may be shared with any other process of this machine."""

    def __init__(self, source: Location, folder: Path, gigabytes: float, seconds: float = FETCH_SECONDS) -> None:
        """Fetch from `source`.

        Args:
            source: the prepared corpus.
            folder: of the shards on this machine; made if it is not there.
            gigabytes: what all shards in it may take. Those in use stay, also beyond it.
            seconds: after which a fetch has failed.
        """
        self.source, self.folder, self.bytes, self.seconds = source, folder, int(gigabytes * 1e9), seconds
        self._ahead: threading.Thread | None = None

    def check(self, shards: tuple[ShardInfo, ...], at_once: int) -> None:
        """Refuse a corpus that cannot be kept here.

        Args:
            shards: all of them.
            at_once: how many are in use together.

        Raises:
            InputError: its manifest has no checksums, or the cache is too small for twice as many, half of them ahead.
        """
        if any(info.sha256 is None or info.bytes is None for info in shards):
            raise InputError(
                f"{self.source}: its manifest has no checksums, it was prepared by an earlier version; copy the folder "
                "to this machine, or prepare the corpus again"
            )
        largest = sorted((info.bytes or 0 for info in shards), reverse=True)[: 2 * at_once]
        if self.bytes < sum(largest):
            raise InputError(
                f"data.cache_gigabytes={self.bytes / 1e9:g}: expected at least {sum(largest) / 1e9:g}, for "
                f"{len(largest)} shards of {self.source}; take more, or fewer data.shuffle_shards"
            )

    def lease(self, info: ShardInfo) -> Lease:
        """The shard as a file of this machine, fetched if it is not there.

        Raises:
            InputError: the store does not give it, or not what the manifest says.
        """
        path = self.folder / f"{info.sha256}.arrow"
        while True:
            if (lease := self._held(path)) is not None:
                return lease
            with self._alone():
                if not path.exists():
                    self._make_room(info.bytes or 0)
                    self._fetch(info, path)

    def fetch_ahead(self, infos: Sequence[ShardInfo]) -> None:
        """Begin to fetch shards that will be needed next; a failure is reported when they are needed."""
        missing = [info for info in infos if not (self.folder / f"{info.sha256}.arrow").exists()]
        if not missing or (self._ahead is not None and self._ahead.is_alive()):
            return

        def fetch() -> None:
            with contextlib.suppress(InputError, OSError):
                for info in missing:
                    self.lease(info)

        self._ahead = threading.Thread(target=fetch, daemon=True, name="fetch-ahead")
        self._ahead.start()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_ahead": None}

    def _held(self, path: Path) -> Lease | None:
        """The file with a shared lock, or None if it is not there (any more)."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        lease = Lease(path, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            if os.stat(path).st_ino != os.fstat(descriptor).st_ino:  # noqa: PTH116
                return None
        except FileNotFoundError:  # removed before it was locked
            return None
        os.utime(path)
        return lease

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process of the machine at a time fetches and makes room."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(
                f"data.cache={self.folder}: cannot be written ({error.strerror}); choose another"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # said, as a worker forked meanwhile keeps it open
            os.close(descriptor)

    def _make_room(self, needed: int) -> None:
        """Removes what processes left that were killed, and the least recently used shards that nobody holds."""
        for leftover in self.folder.glob(".*.arrow"):
            leftover.unlink(missing_ok=True)
        kept = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in self.folder.glob("*.arrow"))
        total = sum(size for _, size, _ in kept)
        for _, size, path in kept:
            if total + needed <= self.bytes:
                return
            with path.open("rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                path.unlink()
                total -= size

    def _fetch(self, info: ShardInfo, path: Path) -> None:
        """In a process of its own: it can be ended in time, and clients of stores do not survive a fork."""
        beside = path.with_name(f".{path.name}")
        place = self.source / info.file
        try:
            self._copy(place, beside)
            found = (beside.stat().st_size, _sha256(beside))
            if found != (info.bytes, info.sha256):
                raise InputError(
                    f"{place}: is not the shard of the manifest ({found[0]:,} bytes, expected {info.bytes:,}, or "
                    "another checksum); copy it again from where it was prepared, or prepare the corpus again"
                )
            beside.replace(path)
        except OSError as error:
            raise InputError(f"data.cache={self.folder}: cannot be written ({error.strerror or error})") from error
        finally:
            beside.unlink(missing_ok=True)

    def _copy(self, place: Location, target: Path) -> None:
        command = [sys.executable, "-m", "cloze.files.remote", str(place), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self.seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"{place}: did not come within {self.seconds:g} s; see whether the store answers, then run the same "
                "command again"
            ) from error
        if done.returncode:
            said = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
            raise InputError(
                f"{said}; the shard {place.name} cannot be fetched: see whether the store answers and still has "
                "it, then run the same command again"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
