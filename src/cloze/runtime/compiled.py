"""Functions compiled by numba, with a disk cache that is invalidated when the code changes."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba
import numpy as np


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function without holding Python's lock, and keep the result on disk.

    numba compiles again when the file of a function has changed. Code of other files is compiled into it, too: the
    functions that it calls, and the values of constants. So what its file takes from others counts as well.

    Args:
        function: to be compiled; constants stand before it in its file.
        options: further ones of ``numba.njit``.
    """
    if function is None:
        return partial(compiled, **options)
    made = numba.njit(cache=True, nogil=True, **options)(function)
    if made is not function:  # as with NUMBA_DISABLE_JIT=1
        file = made._cache._cache_file
        file._source_stamp = file._source_stamp, _taken(function.__globals__)
    return made


def _taken(names: Mapping[str, Any]) -> str:
    """A hash of what compiled code takes from the names of its file: constants, fields, functions of other files."""
    digest = hashlib.sha256()
    for name, value in sorted(names.items()):
        called, is_constant = getattr(value, "py_func", None), isinstance(value, bool | int | float | str | np.generic)
        if called is not None and called.__module__ != names["__name__"]:
            digest.update(_module_state(called.__module__).encode())
        elif (is_constant or isinstance(value, tuple)) and not name.startswith("__"):
            digest.update(repr((name, value)).encode())
        elif fields := getattr(value, "_fields", None):  # of a NamedTuple, whose order is compiled
            digest.update(repr((name, fields)).encode())
    return digest.hexdigest()


@cache
def _module_state(name: str) -> str:
    """A hash of a file with compiled functions, and of what it takes from others."""
    module = sys.modules[name]
    source = Path(module.__file__ or "").read_bytes()
    return hashlib.sha256(source + _taken(vars(module)).encode()).hexdigest()
