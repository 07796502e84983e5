"""RetroMAE held against a plain statement of it, sequence by sequence, on packed tokens of any encoder."""

import itertools
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.batches import random_batch
from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.data.splitmix import GAMMA, mix
from cloze.errors import InputError
from cloze.model.config import BertConfig, ElectraConfig, EncoderConfig
from cloze.model.flops import work_of
from cloze.model.modern_config import ModernBertConfig
from cloze.model.retromae import Places, sampled_context
from cloze.optim.schedules import Linear
from cloze.tasks.retromae import RetroMAE
from cloze.tasks.training import Recipe
from tests.tasks.test_pretraining import check_micro_batches
from tests.tasks.test_replaced_tokens import filled
from tests.tiny import NO_DROPOUT, SHAPE, shaken

VOCAB_SIZE = 60
RECIPE = Recipe(optimizer=partial(torch.optim.SGD, lr=0.5), schedule=Linear(), length=3)
FAMILIES = [BertConfig, ElectraConfig, ModernBertConfig]


def module(family: type[EncoderConfig] = BertConfig, **settings: Any) -> RetroMAE:
    torch.manual_seed(0)
    kind: Any = family
    narrow = {"embedding_size": 16} if family is ElectraConfig else {}
    made = RetroMAE(shape=kind(vocab_size=VOCAB_SIZE, **SHAPE | NO_DROPOUT | narrow), recipe=RECIPE, **settings)
    shaken(made.model, 0.05)
    return made


def masked(lengths: list[int], mask_rate: float = 0.3) -> PretrainingBatch:
    """A batch in which [CLS] and [SEP] are not masked."""
    batch = random_batch(lengths, VOCAB_SIZE, mask_rate)
    special = torch.cat([batch.packed.cu_seqlens[:-1], batch.packed.cu_seqlens[1:] - 1]).long()
    kept = ~torch.isin(batch.masked_positions, special)
    return batch._replace(
        masked_positions=batch.masked_positions[kept],
        masked_labels=batch.masked_labels[kept],
        uniforms=batch.uniforms[kept],
        global_masked=int(kept.sum()),
    )


def decoded(task: RetroMAE, hidden: Tensor, ids: Tensor, seen: Tensor) -> Tensor:
    """The decoder of one text by the paper's equations, head by head and query by query: (T, D).

    Args:
        task: whose parameters are used.
        hidden: (D,), the embedding of the text.
        ids: (T,) without masks.
        seen: (T, T) bool, which tokens each query sees.
    """
    part, encoder = task.decoder, task.model.encoder
    packed = Packed.of([ids.tolist()], [[0] * len(ids)])
    table: Any = part.position_embeddings or encoder.embeddings.position_embeddings
    positions = table.weight[: len(ids)]
    queries = hidden + positions  # equation 3
    embedded = encoder.embedded(packed) + (0 if part.position_embeddings is None else positions)
    read = torch.cat([hidden[None], embedded[1:]])
    heads, size = part.config.num_attention_heads, part.config.head_size
    mixed = []
    for at in range(len(ids)):
        ahead = []
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            query = F.linear(queries[at], part.query.weight[rows], part.query.bias[rows])
            both, biases = part.key_value.weight, part.key_value.bias
            keys = F.linear(read, both[rows], biases[rows])
            values = F.linear(read, both[len(both) // 2 :][rows], biases[len(both) // 2 :][rows])
            scores = (keys @ query / size**0.5).masked_fill(~seen[at], float("-inf"))  # equations 4 and 5
            ahead.append(scores.softmax(0) @ values)
        mixed.append(torch.cat(ahead))
    hidden_states = part.attention_norm(part.output(torch.stack(mixed)) + queries)
    return part.feed_forward_norm(part.feed_forward(hidden_states) + hidden_states)  # type: ignore[no-any-return]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_losses_are_those_of_the_paper(family: type[EncoderConfig]) -> None:
    task, batch = module(family, decoder_weight=0.7), masked([7, 30, 12])
    batch = batch._replace(packed=batch.packed._replace(token_type_ids=torch.zeros(49, dtype=torch.int64)))
    model, ids = task.model, batch.packed.input_ids.clone()
    ids[batch.masked_positions] = batch.masked_labels
    hidden = model.encoder(batch.packed)
    assert isinstance(hidden, Tensor)
    expected = F.cross_entropy(model.masked_lm_logits(hidden[batch.masked_positions]), batch.masked_labels)
    bounds, total, right = batch.packed.cu_seqlens.tolist(), torch.zeros(()), 0
    places = Places.of(batch.packed)
    keys = torch.zeros(3, dtype=torch.int64)
    for place, uniform in zip(batch.masked_positions.tolist(), batch.uniforms.tolist(), strict=True):
        keys[sum(place >= bound for bound in bounds[1:])] += int(uniform * 2**24)
    context = sampled_context(keys, places, 30, 0.5)
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        seen = context[number, : end - start, : end - start]
        logits = model.masked_lm_logits(decoded(task, hidden[start], ids[start:end], seen))[1:-1]
        total = total + F.cross_entropy(logits, ids[start + 1 : end - 1], reduction="sum")
        right += int((logits.argmax(-1) == ids[start + 1 : end - 1]).sum())
    loss, sums = task.step(batch)
    torch.testing.assert_close(loss, expected + 0.7 * total / 49)
    assert task.metrics(sums.tolist()) == pytest.approx(
        {
            "loss": expected.item() + 0.7 * total.item() / 43,
            "masked_lm_loss": expected.item(),
            "masked_lm_accuracy": sums[1].item() / len(batch.masked_labels),
            "decoder_loss": total.item() / 43,
            "decoder_accuracy": right / 43,
        },
        rel=1e-5,
    )
    theirs: Any
    theirs, ours = (
        torch.autograd.grad(each, [*model.parameters()], allow_unused=True)
        for each in (expected + 0.7 * total / 49, loss)
    )
    for name, (a, b) in zip(dict(model.named_parameters()), zip(ours, theirs, strict=True), strict=True):
        assert a is not None, name  # for which DDP waits
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b, atol=2e-5, rtol=1e-4, msg=name)


def test_each_token_is_made_of_a_part_of_the_others() -> None:
    packed = Packed.of([[5] * 40, [5] * 9], [[0] * 40, [0] * 9])
    places, keys = Places.of(packed), torch.tensor([11, 2**40])
    seen = sampled_context(keys, places, 40, 0.6)
    for number, length in enumerate((40, 9)):
        part = seen[number, :length, :length]
        assert not part.diagonal()[1:].any()
        assert part[:, 0].all()
        assert part[:-1, -1].all()
        assert not seen[number, :, length:].any()
    inner = seen[0, 1:-1, 1:-1]
    assert (inner.sum() / (38 * 37)).item() == pytest.approx(0.4, abs=0.05)
    assert len({tuple(row) for row in inner.tolist()}) == 38
    # By the same generator as all else, and whatever else is in the batch.
    root = int(mix(np.uint64(11 * int(GAMMA) % 2**64)))
    drawn = int(mix(np.uint64(root ^ ((3 << 32) | 7)))) >> 40
    assert seen[0, 3, 7].item() == (drawn >= round(0.6 * 2**24))
    alone = Packed.of([[5] * 9], [[0] * 9])
    assert torch.equal(sampled_context(keys[1:], Places.of(alone), 9, 0.6)[0], seen[1, :9, :9])
    assert not sampled_context(keys, places, 40, 0.999)[0, 1:-1, 1:-1].float().mean() > 0.01


@pytest.mark.parametrize("micro_batches", [2, 4])
def test_micro_batches_make_the_same_update(micro_batches: int) -> None:
    check_micro_batches(module(), micro_batches)


def test_padding_to_constants_is_unseen() -> None:
    task, batch = module(), masked([7, 30, 12])
    loss, sums = task.step(batch)
    other, same = task.step(filled(batch))
    torch.testing.assert_close((other, same), (loss, sums))
    assert (batch.masked_labels != IGNORED_LABEL).all()


@pytest.mark.parametrize("family", [BertConfig, ModernBertConfig])
def test_the_flops_are_those_of_a_count(family: type[EncoderConfig]) -> None:
    task, lengths = module(family).eval(), [20, 20, 20]
    task.requires_grad_(False)  # else cross-entropy makes the decoder's gradients in the forward pass
    batch = masked(lengths)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        task.step(batch)
    counts = counter.get_flop_counts()["Global"]
    attention = sum(count for operator, count in counts.items() if "attention" in str(operator))
    pairs = sum(length**2 for length in lengths)
    by_hand = 4 * pairs * 32 * (1 + SHAPE["num_hidden_layers"])
    segments = 2 * 2 * 2 * 60 * task.model.config.type_vocab_size * 32  # of the encoder and of the decoder
    counted = counter.get_total_flops() - attention - segments + by_hand
    assert task.flops(work_of(task.model.config, lengths, len(batch.masked_labels))) == pytest.approx(3 * counted, 0.01)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"decoder_mask_rate": 1.0}, "decoder_mask_rate=1.0: expected a share from 0 to below 1"),
        ({"decoder_weight": -1.0}, "decoder_weight=-1.0: expected a factor of at least 0"),
    ],
)
def test_values_that_cannot_be(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        module(**settings)
