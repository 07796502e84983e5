"""Every family through the commands: trained, stopped, resumed, on two ranks, reported, and a start for others."""

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.launch.stories import NO_DROPOUT, command, play, watch
from tests.model.families import FAMILIES

MODELS = {
    "bert": "tiny",
    "electra": "electra_small",
    "modernbert": "modern_tiny",
    "eurobert": "eurobert_210m",
    "nomic_bert": "nomic_bert",
}
SMALL = [
    "model.hidden_size=32", "model.intermediate_size=48", "model.num_hidden_layers=2", "model.num_attention_heads=2",
    "optimizer.lr=2e-3", "objective.max_length=64", "data.batch_tokens=512", "trainer.max_steps=3",
    "trainer.validate_every=3", "trainer.log_every=1", "checkpoint.every_steps=1", "checkpoint.keep_last=9",
]  # fmt: skip


def losses(run: Path) -> list[float]:
    """Of each step and, last, of held-out text."""
    rows = list(csv.DictReader((run / "metrics.csv").read_text(encoding="utf-8").splitlines()))
    return [*(float(row["train/loss"]) for row in rows), float(rows[-1]["val/loss"])]


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = sorted((run / "model").glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_resumed_to_the_bit_and_ranks_with_all_or_part_of_it_make_the_same_update(
    family: str, small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*small_corpus, f"model={MODELS[family]}", *SMALL, *NO_DROPOUT]
    sharded = [*words, "run=sharded", "hardware.micro_batch_tokens=256"]
    start = [word for word in words if not word.startswith(("model", "tokenizer", "corpus.prepared"))]
    play(
        tmp_path,
        command([*words, "run=whole"]),
        command([*words, "run=parts", "resume=runs/whole/checkpoints/step-00000001.ckpt"]),
        command([*words, "run=ranks", "hardware.micro_batch_tokens=256"], ranks=2),
        command([*start, "run=more", "init=runs/whole", "corpus.prepared=more", "trainer.max_steps=1"]),
        command([*sharded, watch(told=[1, 0])], ranks=2, strategy="fsdp"),
        command(sharded, ranks=2, strategy="fsdp"),
        statuses=[0, 0, 0, 0, 143, 0],
    )
    whole, parts, ranks, more, shards = (
        tmp_path / "runs" / run for run in ("whole", "parts", "ranks", "more", "sharded")
    )
    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys() == weights(ranks).keys() == weights(more).keys() == weights(shards).keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    for several in (ranks, shards):
        assert losses(several) == pytest.approx(losses(whole), rel=1e-4)
        assert all(torch.allclose(tensor, expected[name], atol=1e-5) for name, tensor in weights(several).items())
    assert losses(whole)[2] < losses(whole)[0] - 0.02  # far more than that
    assert "drawn at random" not in (tmp_path / "3.0.log").read_text(encoding="utf-8")
    settings = [json.loads((run / "model/config.json").read_text(encoding="utf-8")) for run in (whole, more)]
    assert settings[0] == settings[1]
    assert settings[0]["model_type"] == family
    assert "loss, held out" in (whole / "report.html").read_text(encoding="utf-8")
