"""One process at a time: locks that the system gives back when their process ends, in whatever way."""

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path


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
