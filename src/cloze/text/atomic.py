"""Files that are whole or absent."""

import os
from pathlib import Path

import pyarrow as pa


def write_atomically(path: Path, data: bytes | pa.Buffer) -> None:
    """Writes `data` beside `path` and renames: a reader, or a process killed on the way, never sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            stream.write(memoryview(data))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
