"""RetroMAE through the commands: trained, resumed, on ranks, evaluated, continued, read elsewhere and fine-tuned."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, BertForMaskedLM

from tests.launch.stories import NO_DROPOUT, command, play
from tests.launch.test_replaced_tokens import SMALL, losses, weights

RETRO = ["module=retromae", "objective=mlm", "objective.mask_rate=0.3"]


@pytest.mark.slow
def test_it_resumes_to_the_bit_and_any_ranks_make_the_same_update(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, *RETRO, *SMALL]
    still = [*words, *NO_DROPOUT]
    start = [word for word in still if not word.startswith(("model", "tokenizer", "corpus.prepared"))]
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(f'{{"anchor": "the {word}", "positive": "{word}"}}\n' for word in ("cat", "dog", "cow")))
    play(
        tmp_path,
        command([*words, "run=first"]),
        command([*words, "run=parts", "resume=runs/first/checkpoints/step-00000002.ckpt"]),
        command([*still, "run=whole"]),
        command([*still, "run=ranks", "hardware.micro_batch_tokens=256"], ranks=2),
        command([*still, "run=sharded", "hardware.micro_batch_tokens=256"], ranks=2, strategy="fsdp"),
        command([*start, "run=more", "init=runs/whole", "corpus.prepared=more", "trainer.max_steps=1"]),
        command([*start, "stage=evaluate", "init=runs/whole", "run=held"]),
        command([*words, "run=dry", "--dry-run"]),
        command([*words, "objective=mlm_nsp", "run=pairs"]),
        command(
            ["task=embedding", "model=runs/whole/model", f"task.data.train={pairs}", "adaptation.pooling=cls",
             "trainer.max_steps=1", "task.max_length=16", "run=embedding"],
            script="finetune.py",
        ),
        statuses=[0, 0, 0, 0, 0, 0, 0, 0, 2, 0],
    )  # fmt: skip
    runs = tmp_path / "runs"
    first, parts, whole = (weights(runs / run) for run in ("first", "parts", "whole"))
    assert all(torch.equal(tensor, parts[name]) for name, tensor in first.items())
    for run in ("ranks", "sharded"):
        assert losses(runs / run) == pytest.approx(losses(runs / "whole"), rel=1e-4)
        assert all(torch.allclose(tensor, whole[name], atol=1e-5) for name, tensor in weights(runs / run).items())
    assert losses(runs / "whole")[3] < losses(runs / "whole")[0] - 0.1

    own = load_file(runs / "whole/model/head.safetensors")
    assert own
    assert all(name.startswith("retromae_decoder.") for name in own)
    theirs, info = BertForMaskedLM.from_pretrained(runs / "whole/model", output_loading_info=True)
    assert not info["missing_keys"]
    assert AutoModel.from_pretrained(runs / "embedding/model").config.hidden_size == theirs.config.hidden_size
    logs = [(tmp_path / f"{number}.0.log").read_text(encoding="utf-8") for number in range(10)]
    assert "starts from runs/whole\n" in logs[5]  # with all of its parts, the decoder among them
    held = json.loads((runs / "held/results.json").read_text(encoding="utf-8"))["heldout"]
    assert held["loss"] == pytest.approx(losses(runs / "whole")[-1], rel=1e-5)
    rows = list(csv.DictReader((runs / "whole/metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert held["decoder_accuracy"] == pytest.approx(float(rows[-1]["val/decoder_accuracy"]), rel=1e-5)
    chance = 2 * math.log(theirs.config.vocab_size)
    assert f"({chance:.3f} for one that knows nothing)" in logs[7]
    assert "makes single texts again, but objective.pairs is next_sentence: take objective=mlm" in logs[8]
