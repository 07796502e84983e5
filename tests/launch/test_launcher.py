"""Whom a rank takes for the one that has started it, and what rank zero tells the others."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from torch._C._distributed_c10d import TCPStore

from cloze.errors import InputError
from cloze.launch.launcher import RANK_ZERO
from cloze.launch.ranks import Ranks
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


def refused() -> None:
    raise InputError("no such folder")


@pytest.mark.parametrize("decision", [lambda: None, lambda: Path("runs"), refused])
def test_rank_zero_ends_when_the_last_rank_knows_what_it_decided(decision: Callable[[], Path | None]) -> None:
    """It serves the store: where a run is finished, or refused, the ranks that come later would find nobody."""

    def decided(ranks: Ranks) -> object:
        try:
            return ranks.decide("folder", decision)
        except InputError as error:
            return str(error)

    stores = [TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))]
    stores.append(TCPStore("127.0.0.1", stores[0].port, timeout=timedelta(seconds=60)))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(decided, Ranks(0, stores[0], [1]))
        with pytest.raises(TimeoutError):
            first.result(timeout=0.3)
        last = decided(Ranks(1, stores[1]))
        assert first.result(timeout=60) == last
