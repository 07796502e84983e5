"""Atomic writes of files and folders."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from cloze.files.remote import Location, RemotePath


def write_atomically(path: Location, data: bytes | pa.Buffer) -> None:
    """Writes `data` to a temporary file and renames it: a reader, or a killed process, never sees half a file."""
    if isinstance(path, RemotePath):  # an object appears whole
        path.write(data)
        return
    with written_beside(path) as partial:
        partial.write_bytes(memoryview(data))


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A file next to `path` to be written: takes its place at the end, once it is on the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def under_umask(path: Path) -> Iterator[None]:
    """Gives a file that a library writes in here the mode that `open` would have given it.

    Safetensors writes into a temporary file, which only its owner can read, and renames it.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    yield
    path.chmod(mode)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to be filled next to `folder`: takes its place at the end, and is removed where that is not reached."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    beside.mkdir(parents=True)
    try:
        yield beside
        if folder.exists():
            shutil.rmtree(folder)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
