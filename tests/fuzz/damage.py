"""Damaged content, and a bound on the memory with which it is read."""

import resource
from pathlib import Path

from hypothesis import strategies as st

EXTREMES = [
    b"[" * 2000,
    b"\xff" * 8,
    b"\x00" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\xff\xff\xff\x7f",
    b"9" * 400,
    b'{"a":',
    b"\n",
]


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """The content cut off, with bytes changed, with others in between, or with a stretch of it elsewhere."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "flip", "cut", "overwrite", "splice", "move", "drop"]))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[at:]
        elif kind == "overwrite":
            new = draw(st.sampled_from(EXTREMES))
            data[at : at + len(new)] = new
        elif kind == "splice":
            data[at:at] = draw(st.one_of(st.binary(max_size=40), st.sampled_from(EXTREMES)))
        else:
            stretch = data[at : at + draw(st.integers(1, 200))]
            del data[at : at + len(stretch)]
            if kind == "move":
                place = draw(st.integers(0, len(data)))
                data[place:place] = stretch
    return bytes(data)


def bound_memory(more: int) -> None:
    """All that the process may map: what it has now, and a little more."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def unbound_memory() -> None:
    """As much as before."""
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
