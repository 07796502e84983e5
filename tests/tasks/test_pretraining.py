import math
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from benchmarks.batches import random_batch
from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.model.bert import BertForPreTraining
from cloze.optim.schedules import Linear
from cloze.tasks.masked_lm import MaskedLMPretraining, pretraining_losses
from cloze.tasks.pretraining import Pretraining
from cloze.tasks.training import Recipe
from tests.tiny import NO_DROPOUT, tiny_config, tiny_model

VOCAB_SIZE = 60
LENGTHS = [[7, 30], [12, 12], [4, 20], [25, 3]]  # of the sequences of four micro-batches


SHAPE = tiny_config(VOCAB_SIZE, **NO_DROPOUT)


def model() -> BertForPreTraining:
    return tiny_model(VOCAB_SIZE, **NO_DROPOUT)


def global_batch(step: int, micro_batches: int) -> list[PretrainingBatch]:
    """The same eight sequences in 1, 2 or 4 micro-batches, with the counts of all of them."""
    quarters = [random_batch(lengths, VOCAB_SIZE, seed=10 * step + i) for i, lengths in enumerate(LENGTHS)]
    masked, pairs = sum(len(q.masked_labels) for q in quarters), 2 * len(quarters)
    size = len(quarters) // micro_batches
    cut = [join(quarters[i : i + size]) for i in range(0, len(quarters), size)]
    tokens = sum(q.num_tokens for q in quarters)
    return [batch._replace(global_masked=masked, global_pairs=pairs, global_tokens=tokens) for batch in cut]


def check_micro_batches(task: Pretraining, micro_batches: int) -> None:
    """A step in micro-batches has the loss, the sums and the gradients of the step in one."""
    found = []
    for pieces in (1, micro_batches):
        task.zero_grad()
        losses, sums = zip(*(task.step(batch) for batch in global_batch(0, pieces)), strict=True)
        torch.stack(losses).sum().backward()
        gradients = {name: parameter.grad for name, parameter in task.named_parameters()}
        found.append((torch.stack(losses).sum().item(), torch.stack(sums).sum(0), gradients))
    (one, counts, gradients), (several, same, others) = found
    assert several == pytest.approx(one, rel=1e-6)
    torch.testing.assert_close(same, counts, rtol=1e-6, atol=1e-6)  # so the same numbers were drawn
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-4)


def join(batches: list[PretrainingBatch]) -> PretrainingBatch:
    starts = torch.tensor([0, *(batch.num_tokens for batch in batches)]).cumsum(0).tolist()
    packed = [batch.packed for batch in batches]
    bounds = [p.cu_seqlens[1:] + start for p, start in zip(packed, starts, strict=False)]
    return PretrainingBatch(
        packed[0]._replace(
            input_ids=torch.cat([p.input_ids for p in packed]),
            token_type_ids=torch.cat([p.token_type_ids for p in packed]),
            position_ids=torch.cat([p.position_ids for p in packed]),
            cu_seqlens=torch.cat([torch.zeros(1, dtype=torch.int32), *bounds]),
            max_seqlen=max(p.max_seqlen for p in packed),
        ),
        torch.cat([b.masked_positions + start for b, start in zip(batches, starts, strict=False)]),
        torch.cat([b.masked_labels for b in batches]),
        torch.cat([b.next_sentence_labels for b in batches]),
        starts[-1],
        0,
        0,
        0,
        torch.cat([b.uniforms for b in batches]),
    )


def train(folder: Path, micro_batches: int, steps: int = 3, log_every: int = 1) -> MaskedLMPretraining:
    recipe = Recipe(optimizer=partial(torch.optim.SGD, lr=0.5), schedule=Linear(), length=steps, log_every=log_every)
    torch.manual_seed(0)
    task = MaskedLMPretraining(shape=SHAPE, recipe=recipe)
    batches = [batch for step in range(steps) for batch in global_batch(step, micro_batches)]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        accumulate_grad_batches=micro_batches,
        gradient_clip_val=1.0,
        logger=CSVLogger(folder, name="", version=""),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    loaders: list[Any] = [
        DataLoader(data, batch_size=None, collate_fn=lambda batch: batch)  # type: ignore[arg-type]
        for data in (batches, global_batch(99, 1))
    ]
    trainer.fit(task, loaders[0], loaders[1])
    return task


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_micro_batches_change_nothing_but_the_order_of_summation(tmp_path: Path) -> None:
    whole, halves, quarters = (train(tmp_path / str(cut), cut) for cut in (1, 2, 4))
    start = model()
    for a, b, c, before in zip(*(m.parameters() for m in (whole, halves, quarters, start)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(a, c, rtol=1e-5, atol=1e-6)
        assert not torch.equal(a, before)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_metrics_are_means_over_the_tokens_since_the_last_row(tmp_path: Path) -> None:
    train(tmp_path, micro_batches=2, steps=1)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    logged = {
        name: float(value) for row in rows[1:] for name, value in zip(names, row.split(","), strict=True) if value
    }
    [batch] = global_batch(0, 1)
    logits = model()(batch.packed, batch.masked_positions)
    losses = torch.nn.functional.cross_entropy(logits.masked_lm, batch.masked_labels)
    pair_losses = torch.nn.functional.cross_entropy(logits.next_sentence, batch.next_sentence_labels)
    assert logged["train/masked_lm_loss"] == pytest.approx(losses.item(), rel=1e-5)
    assert logged["train/next_sentence_loss"] == pytest.approx(pair_losses.item(), rel=1e-5)
    assert logged["train/loss"] == pytest.approx(losses.item() + pair_losses.item(), rel=1e-5)
    assert logged["train/masked_lm_perplexity"] == pytest.approx(math.exp(losses.item()), rel=1e-4)
    right = (logits.masked_lm.argmax(-1) == batch.masked_labels).float().mean().item()
    assert logged["train/masked_lm_accuracy"] == pytest.approx(right)
    ones = batch.next_sentence_labels.float().mean().item()
    assert logged["train/next_sentence_majority"] == pytest.approx(max(ones, 1 - ones))
    assert logged["optim/lr"] == 0.5  # of the step itself, not of the next one
    assert logged["optim/gradient_norm"] > 0
    assert {"val/loss", "val/masked_lm_loss", "val/next_sentence_accuracy"} <= logged.keys()


def test_without_pairs_the_next_sentence_loss_is_zero_and_not_reported() -> None:
    batch = random_batch([5, 9], VOCAB_SIZE)
    batch = batch._replace(next_sentence_labels=torch.full((2,), IGNORED_LABEL), global_pairs=0)
    losses = pretraining_losses(model(), batch)
    assert losses.next_sentence.loss == 0
    assert losses.next_sentence.correct == 0
