"""Runs commands in a folder of bad input, each in a fork.

    python -m tests.bad_input.server TEXT mounts|none

It works in the present folder, fills it, and then answers requests as tests/fork_server.py does. Started in a mount
namespace of its own, it also has `small/`, a disk of 256 KiB, and `locked/`, which cannot be written.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.bad_input.world import make_world
from tests.fork_server import in_fork, serve
from tests.processes import SECONDS


def mount() -> bool:
    """A small disk and a locked folder, which end with this process; False where that is not allowed."""
    for folder in ("small", "locked"):
        Path(folder).mkdir()
    try:
        for words in (
            ["-t", "tmpfs", "-o", "size=256k", "none", "small"],
            ["-t", "tmpfs", "-o", "size=256k", "none", "locked"],
            ["-o", "remount,ro", "locked"],
        ):
            subprocess.run(["mount", *words], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def main(text: str, has_own_mounts: bool) -> None:
    """Fill the folder, in a fork, so that no thread of torch's stands in the way of those to come; then serve."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}  # the same on every machine
    made = in_fork(lambda: make_world(text), seconds=SECONDS)
    if made["status"]:
        sys.exit(f"the folder cannot be made: {made['output']}{made['error']}")
    serve({"mounted": has_own_mounts and mount()})


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2] == "mounts")
