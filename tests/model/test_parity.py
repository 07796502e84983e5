"""Parity of BERT with ``transformers.BertForPreTraining`` given the same weights, on sequences of mixed lengths."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from transformers import BertConfig as TheirConfig
from transformers import BertForPreTraining as TheirBert

from benchmarks.batches import padded, random_batch
from cloze.batch import PretrainingBatch
from cloze.model.bert import BertForPreTraining
from cloze.model.config import BertConfig
from cloze.model.families.bert import NAMES
from cloze.tasks.masked_lm import pretraining_losses

LENGTHS = [3, 17, 17, 40, 64, 64, 64, 5]


def both(layers: int = 3, vocab_size: int = 211, segments: int = 2) -> tuple[BertForPreTraining, TheirBert]:
    """Our model and theirs with the same random weights, biases and norms included, and no dropout."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=64,
        type_vocab_size=segments,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    ours = BertForPreTraining(config)
    for parameter in ours.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    theirs = TheirBert(TheirConfig(**dataclasses.asdict(config), attn_implementation="sdpa"))
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    keys = theirs.load_state_dict(NAMES.to_hugging_face(ours.state_dict()), strict=False)
    assert keys.unexpected_keys == []
    assert set(keys.missing_keys) <= tied
    theirs.tie_weights()
    return ours, theirs


def our_loss(model: BertForPreTraining, batch: PretrainingBatch) -> Tensor:
    losses = pretraining_losses(model, batch)
    return losses.masked_lm.loss / batch.global_masked + losses.next_sentence.loss / batch.global_pairs


def their_gradients(model: TheirBert) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("segments", [2, 1])
def test_logits_equal(segments: int) -> None:
    ours, theirs = both(segments=segments)
    batch = random_batch(LENGTHS, 211)
    inputs = in_segments(padded(batch), segments)
    with torch.no_grad():
        logits = ours.eval()(batch.packed, batch.masked_positions)
        expected = theirs.eval()(**inputs)
    torch.testing.assert_close(logits.next_sentence, expected.seq_relationship_logits, atol=1e-4, rtol=0)
    at_masks = expected.prediction_logits[inputs["labels"] != -100]
    torch.testing.assert_close(logits.masked_lm, at_masks, atol=1e-4, rtol=0)
    assert logits.masked_lm.abs().max() > 0.5  # the comparison is not one of zeros


def in_segments(rows: dict[str, Tensor], segments: int) -> dict[str, Tensor]:
    """With one segment, `transformers` must be told that both texts of a pair are segment 0."""
    assert rows["token_type_ids"].max() == 1
    return {**rows, "token_type_ids": rows["token_type_ids"].clamp(max=segments - 1)}


@pytest.mark.parametrize("segments", [2, 1])
def test_gradients_of_every_parameter_equal(segments: int) -> None:
    ours, theirs = both(segments=segments)
    batch = random_batch(LENGTHS, 211)
    loss = our_loss(ours, batch)
    loss.backward()
    expected = theirs(**in_segments(padded(batch), segments)).loss
    expected.backward()
    torch.testing.assert_close(loss, expected)
    state = ours.state_dict()
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    mapped = NAMES.from_hugging_face(their_gradients(theirs), list(state))
    for name, gradient in gradients.items():
        assert gradient is not None
        # The gradient of a key's bias is zero in exact arithmetic: compare on the scale of the whole projection.
        scale = mapped[name].norm()
        assert (gradient - mapped[name]).norm() <= 1e-4 * scale, name


def batches() -> Iterator[PretrainingBatch]:
    generator = torch.Generator().manual_seed(5)
    for step in range(200):
        lengths = torch.randint(4, 33, (8,), generator=generator).tolist()
        # Few distinct tokens: something to learn, so that the curve falls.
        batch = random_batch(lengths, 40, seed=step)
        yield batch._replace(masked_labels=batch.masked_labels % 7 + 5)


@pytest.mark.slow
def test_200_steps_follow_the_same_curve() -> None:
    ours, theirs = both(vocab_size=40, layers=2)
    curves: list[list[float]] = [[], []]
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3) for model in (ours, theirs)]
    for batch in batches():
        losses = our_loss(ours, batch), theirs(**padded(batch)).loss
        for curve, optimizer, loss in zip(curves, optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
    assert curves[0][-1] < 0.7 * curves[0][0]
    for a, b in zip(*curves, strict=True):
        assert abs(a - b) <= 0.01 * b
