"""Where numba keeps what it compiles during tests."""

import hashlib
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def compiled_as_written() -> None:
    """Give what is compiled a folder of its own for each state of the sources.

    numba compiles a function anew when its own file has changed, but not when that of a function which it calls has: a
    change of `masking.py` alone would leave `packing.py` with the old masks.
    """
    sources = (file.read_bytes() for file in sorted((REPOSITORY / "src").rglob("*.py")))
    state = hashlib.sha256(b"".join(source for source in sources if b"numba" in source or b"@compiled" in source))
    os.environ["NUMBA_CACHE_DIR"] = str(REPOSITORY / ".pytest_cache" / "numba" / state.hexdigest()[:16])
