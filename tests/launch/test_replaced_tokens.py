"""Replaced token detection through the commands: trained, resumed, on ranks, evaluated, continued and fine-tuned."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.launch.stories import NO_DROPOUT, command, play, watch

DETECT = ["module=replaced_tokens", "objective=replaced_tokens", "module.generator_size=0.5"]
SMALL = [
    "model.hidden_size=32", "model.intermediate_size=48", "model.num_hidden_layers=2", "model.num_attention_heads=2",
    "optimizer.lr=2e-3", "objective.max_length=64", "data.batch_tokens=512", "trainer.max_steps=4",
    "trainer.validate_every=4", "trainer.log_every=1", "checkpoint.every_steps=2", "checkpoint.keep_last=9",
]  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text(encoding="utf-8").splitlines()))


def losses(run: Path) -> list[float]:
    """Of each step and, last, of held-out text."""
    return [*(float(row["train/loss"]) for row in rows(run)), float(rows(run)[-1]["val/loss"])]


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = sorted((run / "model").rglob("*.safetensors"))
    return {f"{file.parent.name}/{name}": tensor for file in files for name, tensor in load_file(file).items()}


def test_it_resumes_to_the_bit_and_any_ranks_draw_the_same_tokens(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, "model=electra_small", "model.embedding_size=16", *DETECT, *SMALL, *NO_DROPOUT]
    sharded = [*words, "run=sharded", "hardware.micro_batch_tokens=256"]
    start = [word for word in words if not word.startswith(("model", "tokenizer", "corpus.prepared"))]
    held = [word for word in start if not word.startswith("module.")]
    play(
        tmp_path,
        command([*words, "run=whole"]),
        command([*words, "run=parts", "resume=runs/whole/checkpoints/step-00000002.ckpt"]),
        command([*words, "run=ranks", "hardware.micro_batch_tokens=256"], ranks=2),
        command([*start, "run=more", "init=runs/whole", "corpus.prepared=more", "trainer.max_steps=1"]),
        command([*sharded, watch(told=[1, 0])], ranks=2, strategy="fsdp"),
        command(sharded, ranks=2, strategy="fsdp"),
        command([*words, "run=dry", "--dry-run"]),
        command([*held, "stage=evaluate", "init=runs/whole", "run=held"]),
        command([*words, "objective=mlm_nsp", "run=pairs"]),
        command([*held, "stage=evaluate", "init=runs/whole", "run=unlike", "module.generator_size=0.25"]),
        statuses=[0, 0, 0, 0, 143, 0, 0, 0, 2, 2],
    )
    whole, parts, ranks, more, shards, held_out = (
        tmp_path / "runs" / run for run in ("whole", "parts", "ranks", "more", "sharded", "held")
    )
    expected, found = weights(whole), weights(parts)
    assert expected.keys() == found.keys() == weights(ranks).keys() == weights(more).keys() == weights(shards).keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    for several in (ranks, shards):
        assert losses(several) == pytest.approx(losses(whole), rel=1e-4)
        last = [float(rows(run)[-1]["val/replaced_recall"]) for run in (several, whole)]
        assert last[0] == pytest.approx(last[1], abs=0.02)
        assert all(torch.allclose(tensor, expected[name], atol=1e-5) for name, tensor in weights(several).items())
    assert losses(whole)[3] < losses(whole)[0] - 0.1

    logs = [(tmp_path / f"{number}.0.log").read_text(encoding="utf-8") for number in range(10)]
    assert "  replaced tokens " in logs[0]
    assert "starts from runs/whole\n" in logs[3]  # with all of its parts, the generator's among them
    assert {name.partition("/")[0] for name in expected} == {"model", "generator"}
    assert losses(more)[0] == pytest.approx(losses(whole)[3], abs=2.0)
    settings = json.loads((whole / "model/config.json").read_text(encoding="utf-8"))
    assert settings["architectures"] == ["ElectraForPreTraining"]
    chance = math.log(settings["vocab_size"]) + 50 * math.log(2)
    assert f"({chance:.3f} for one that knows nothing)" in logs[6]
    results = json.loads((held_out / "results.json").read_text(encoding="utf-8"))["heldout"]
    assert results["loss"] == pytest.approx(losses(whole)[-1], rel=1e-5)
    assert results["replaced_recall"] == pytest.approx(float(rows(whole)[-1]["val/replaced_recall"]), rel=1e-5)
    assert "detects replaced tokens in single texts, but objective.pairs is next_sentence" in logs[8]
    assert not (tmp_path / "runs/pairs").exists()
    assert "runs/whole has a generator of another shape than module= says: leave the shape of the generator" in logs[9]
    assert "loss, held out" in (whole / "report.html").read_text(encoding="utf-8")
