"""Whom a rank takes for the one that has started it."""

import os
import sys

from cloze.launch.launcher import RANK_ZERO
from tests import processes
from tests.conftest import REPOSITORY

LEFT_ALONE = """
import os, subprocess, sys
from cloze.launch.launcher import _end_parent
print(_end_parent("no word"), flush=True)
"""


def test_whoever_took_in_an_orphan_is_not_killed_for_rank_zero() -> None:
    """A desktop's session, a container's init, or whoever else adopts, was never part of the run."""
    over = processes.start(["true"])
    over.wait(timeout=60)
    command = ["sh", "-c", '"$0" -c "$1"; echo the parent lives', sys.executable, LEFT_ALONE]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), RANK_ZERO: str(over.pid)}
    assert processes.run(command, env=environment).stdout == "rank 0 has died\nthe parent lives\n"
