"""What is learned is what was learned: twenty losses of each run, and what the evaluation after them says.

Equal to the bit where processor and torch are those that wrote `losses.json`. Others add up in another order: there the
losses are to be the same within a ten-thousandth.
"""

import json
from pathlib import Path

import pytest

from tests.net import losses

EXPECTED = json.loads(losses.EXPECTED.read_text(encoding="utf-8"))
SAME_MACHINE = EXPECTED.pop("machine") == losses.machine()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with texts and the model that tasks begin from."""
    folder = tmp_path_factory.mktemp("net")
    losses.prepare(folder)
    return folder


@pytest.mark.parametrize("run", losses.RUNS)
def test_the_losses_are_what_they_were(run: str, prepared: Path) -> None:
    found, expected = losses.losses_of(run, prepared), EXPECTED[run]
    tolerance = 0.0 if SAME_MACHINE else 1e-4
    steps = [
        f"step {step}: was {was!r}, is {now!r}"
        for step, (was, now) in enumerate(zip(expected["train"], found["train"], strict=True), 1)
        if now != pytest.approx(was, rel=tolerance, abs=0.0)
    ]
    assert not steps, f"{run}: {len(steps)} of {len(expected['train'])} losses differ\n" + "\n".join(steps)
    assert found.keys() == expected.keys()
    if SAME_MACHINE:
        assert found == expected
