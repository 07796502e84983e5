"""Parameters that are cut over ranks: the same training, the same files, from and to any other number of ranks."""

from pathlib import Path

import pytest
import torch
from transformers import BertForPreTraining, BertForSequenceClassification

import cloze
from cloze.checkpoint.conversion import convert
from tests.launch.stories import NO_DROPOUT, SMALL, apart, checkpoint, command, play, same, watch
from tests.launch.test_killed import learned

STOPPED = 143


@pytest.mark.long
def test_a_run_goes_from_one_process_to_fsdp_to_ddp_and_back(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, *SMALL, *NO_DROPOUT, "trainer.max_steps=100", "trainer.validate_every=50"]
    mixed = [*words, "run=mixed", "hardware.micro_batch_tokens=256"]
    play(
        tmp_path,
        command([*words, "run=one", "hardware.micro_batch_tokens=1024"]),
        command([*mixed, watch(told=[19, 2])]),
        command([*mixed, watch(told=[39, 1], rank=1)], ranks=2, strategy="fsdp"),
        command([*mixed, watch(told=[59, 0])], ranks=2, strategy="ddp"),
        command([*mixed, watch(told=[79, 1], shards="shards")], ranks=2, strategy="fsdp"),
        command([*mixed, "hardware.micro_batch_tokens=512"]),
        statuses=[0, STOPPED, STOPPED, STOPPED, STOPPED, 0],
    )
    runs = tmp_path / "runs"
    assert apart(checkpoint(runs / "one", 100), checkpoint(runs / "mixed", 100)) < 1e-5
    sizes = [torch.load(tmp_path / f"shards.{rank}") for rank in (0, 1)]
    for name, (all_of_it, here) in sizes[0].items():
        assert here + sizes[1][name][1] == all_of_it, name
        assert 0 < here < all_of_it, name


@pytest.mark.slow
def test_fsdp_stopped_and_resumed_is_the_same_to_the_bit(small_corpus: list[str], tmp_path: Path) -> None:
    words = [
        *small_corpus,
        *SMALL,
        "trainer.max_steps=20",
        "trainer.validate_every=10",
        "hardware.micro_batch_tokens=256",
    ]
    play(
        tmp_path,
        command([*words, "run=whole"], ranks=2, strategy="fsdp"),
        command([*words, "run=parts", watch(told=[6, 1])], ranks=2, strategy="fsdp"),
        command([*words, "run=parts"], ranks=2, strategy="fsdp"),
        command([*words, "run=ddp"], ranks=2, strategy="ddp"),
        command([*words, "run=lamb", "optimizer=lamb", "optimizer.lr=1e-3"], ranks=2, strategy="fsdp"),
        statuses=[0, STOPPED, 0, 0, 2],
    )
    runs = tmp_path / "runs"
    for step in (10, 20):
        assert same(checkpoint(runs / "whole", step), checkpoint(runs / "parts", step))
        assert apart(checkpoint(runs / "whole", step), checkpoint(runs / "ddp", step)) < 1e-4
    assert learned(runs / "whole") == learned(runs / "parts")
    assert "Lamb scales each step by the norm of a whole parameter" in (tmp_path / "4.0.log").read_text()
    assert not (runs / "lamb").exists()

    convert(runs / "whole/checkpoints/step-00000010.ckpt", tmp_path / "midway")
    convert(runs / "ddp/checkpoints/step-00000010.ckpt", tmp_path / "midway-ddp")
    convert(runs / "whole/checkpoints/step-00000020.ckpt", tmp_path / "end")
    state = BertForPreTraining.from_pretrained(runs / "whole/model").state_dict()
    last = BertForPreTraining.from_pretrained(tmp_path / "end").state_dict()
    assert all(torch.equal(tensor, last[name]) for name, tensor in state.items())
    for folder in ("midway", "midway-ddp"):
        assert (tmp_path / folder / "vocab.txt").read_bytes() == (runs / "whole/model/vocab.txt").read_bytes()
        assert cloze.load(tmp_path / folder) is not None
        early = BertForPreTraining.from_pretrained(tmp_path / folder).state_dict()
        assert any(not torch.equal(tensor, last[name]) for name, tensor in early.items())


@pytest.mark.long
def test_fine_tuning_under_fsdp(small_table: list[str], tmp_path: Path) -> None:
    play(
        tmp_path,
        command([*small_table, "run=one"], script="finetune.py"),
        command([*small_table, "run=two", watch(told=[5, 0])], script="finetune.py", ranks=2, strategy="fsdp"),
        statuses=[0, STOPPED],
    )
    midway = max((tmp_path / "runs/two/checkpoints").glob("step-*.ckpt"))
    convert(midway, tmp_path / "midway")
    model = BertForSequenceClassification.from_pretrained(tmp_path / "midway")
    assert model.config.id2label == {0: "bad", 1: "good"}
    play(
        tmp_path,
        command([*small_table, "run=two"], script="finetune.py", ranks=2, strategy="fsdp"),
        statuses=[0],
    )
    ends = [BertForSequenceClassification.from_pretrained(tmp_path / f"runs/{run}/model") for run in ("one", "two")]
    # A bias of the keys shifts all scores of a query alike: its gradient is nothing but rounding.
    first, second = ({n: t for n, t in end.state_dict().items() if not n.endswith("key.bias")} for end in ends)
    assert apart(first, second) < 1e-5
    assert (tmp_path / "runs/one/results.json").read_bytes() == (tmp_path / "runs/two/results.json").read_bytes()
