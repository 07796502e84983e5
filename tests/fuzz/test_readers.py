"""Damaged files are read or refused: no other error, no hang, no memory to speak of."""

import json
import os
import sys
from typing import Any

import pytest

from tests import processes
from tests.conftest import REPOSITORY
from tests.fuzz.readers import READERS

EXAMPLES, MANY = 50, 600
"""Of each reader; many take about seven minutes together."""


def fuzzed(examples: int, *, seconds: float = processes.SECONDS) -> dict[str, dict[str, Any]]:
    """What became of the examples, for each reader."""
    result = processes.run(
        [sys.executable, "-m", "tests.fuzz.readers", "all", str(examples)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        seconds=seconds,
    )
    found = {line["reader"]: line for line in map(json.loads, result.stdout.splitlines())}
    missing = [name for name in READERS if name not in found]
    assert not missing, f"{missing[0]} ended the process, {result.returncode}: {result.stderr[-2000:]}"
    return found


def check(found: dict[str, Any]) -> None:
    """That a reader held, and that it saw damage. It has read the good file before, or it would have failed."""
    assert "failed" not in found, found.get("failed")
    assert found["refused"] > found["read"]


@pytest.fixture(scope="module")
def few() -> dict[str, dict[str, Any]]:
    return fuzzed(EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_damage_is_read_or_refused(few: dict[str, dict[str, Any]], name: str) -> None:
    check(few[name])


@pytest.mark.long
def test_much_damage_is_read_or_refused() -> None:
    for found in fuzzed(MANY, seconds=3000).values():
        check(found)
