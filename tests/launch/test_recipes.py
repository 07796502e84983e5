"""Published recipes in phases: their values as published, and twenty steps of each at a tiny size."""

import csv
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from cloze.config.arguments import conf_folder
from tests.command import Command

RECIPES = {
    "modernbert_base_paper": [(50, 786432), (1669, 4718592), (250, 4718592), (50, 4718592)],
    "ettin": [(50, 288), (1650, 4608), (250, 4608), (50, 4608)],
    "mmbert": [(60, 393216), (2240, 4718592), (600, 4718592), (100, 4718592)],
    "neobert": [(2000, 2097152), (100, 2097152)],
    "eurobert": [(4800, 4718592), (200, 4718592)],
}
TINY = [
    "model.hidden_size=32", "model.intermediate_size=48", "model.num_hidden_layers=3", "model.num_attention_heads=2",
    "trainer.validate_every=20", "trainer.log_every=1", "hardware=cpu", "schedule.warmup_steps=2",
    "data.heldout_tokens=500",
]  # fmt: skip


def phases_of(recipe: str) -> list[dict[str, Any]]:
    with initialize_config_dir(str(conf_folder()), version_base=None):
        config = compose("train", [f"experiment={recipe}", "corpus=pydocs"])
    return OmegaConf.to_container(config.phases)  # type: ignore[return-value]


def tiny(phases: list[dict[str, Any]]) -> str:
    """The same phases, five or ten steps each, on short sequences in small batches."""
    longest = max(phase.get("max_length", 0) for phase in phases)
    small = []
    for phase in phases:
        words = [f"steps: {20 // len(phases)}"]
        for key, value in phase.items():
            if key == "max_length":
                words.append(f"{key}: {64 * value // longest}")
            elif key.endswith("batch_tokens"):
                words.append(f"{key}: {1024 if key.startswith('final') else 256}")
            elif key.endswith("batch_sequences"):
                words.append(f"{key}: {32 if key.startswith('final') else 4}")
            elif key != "tokens":
                words.append(f"{key}: {value}")
        small.append("{" + ", ".join(words) + "}")
    return f"phases=[{', '.join(small)}]"


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_fits_a_page_and_its_twenty_tiny_steps_follow_it(
    recipe: str, small_corpus: list[str], train: Command, tmp_path: Path
) -> None:
    assert len((conf_folder() / f"experiment/{recipe}.yaml").read_text(encoding="utf-8").splitlines()) < 40
    phases = phases_of(recipe)
    tokens = [phase["tokens"] for phase in phases]
    assert tokens == [billions * 10**9 for billions, _ in RECIPES[recipe]]
    words = [f"experiment={recipe}", *TINY, tiny(phases), "objective.max_length=32", "run=r"]
    size = "data.batch_sequences=32" if recipe == "ettin" else "data.batch_tokens=1024"
    words.append(size)
    if recipe == "ettin":
        words.append("data.batch_tokens=null")
    done = train(*small_corpus, *words)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "runs/r/metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 20
    lr = [float(row["optim/lr"]) for row in rows]
    peak = max(lr)
    assert lr[-1] < 0.6 * peak
    assert all(rate == pytest.approx(peak) for rate in lr[2 : 20 // len(phases)]) or recipe == "neobert"
    assert float(rows[-1]["val/loss"]) < 6
