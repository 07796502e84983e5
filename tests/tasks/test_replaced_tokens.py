"""Replaced token detection held against a plain statement of it, on packed tokens of any encoder."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.batches import random_batch
from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.errors import InputError
from cloze.model.config import BertConfig, EncoderConfig
from cloze.model.flops import work_of
from cloze.model.modern_config import ModernBertConfig
from cloze.model.replaced_tokens import forward_flops, generator_shape
from cloze.optim.schedules import Linear
from cloze.tasks.replaced_tokens import ReplacedTokensPretraining, replaced_tokens_losses
from cloze.tasks.training import Recipe
from tests.tasks.test_pretraining import check_micro_batches
from tests.tiny import NO_DROPOUT, SHAPE, shaken

VOCAB_SIZE = 60
RECIPE = Recipe(optimizer=partial(torch.optim.SGD, lr=0.5), schedule=Linear(), length=3)
FAMILIES = [BertConfig, ModernBertConfig]


def module(
    family: type[EncoderConfig] = BertConfig, layers: int = SHAPE["num_hidden_layers"], **settings: Any
) -> ReplacedTokensPretraining:
    torch.manual_seed(0)
    kind: Any = family
    shape = kind(vocab_size=VOCAB_SIZE, **SHAPE | NO_DROPOUT | {"num_hidden_layers": layers})
    made = ReplacedTokensPretraining(shape=shape, recipe=RECIPE, **{"generator_size": 0.5, **settings})
    shaken(made.model, 0.05)
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_the_losses_are_those_of_the_paper(family: type[EncoderConfig]) -> None:
    """Section 3.1: the generator's cross-entropy, and lambda times the binary one over every token of what it draws."""
    task, batch = module(family), random_batch([7, 30, 12], VOCAB_SIZE, mask_rate=0.3)
    positions, labels, ids = batch.masked_positions, batch.masked_labels, batch.packed.input_ids.clone()
    logits = task.masked_lm_logits(batch.packed, positions)
    sums = logits.double().softmax(-1).detach().numpy().cumsum(-1)
    drawn = [
        int(np.searchsorted(row, number, side="right"))
        for row, number in zip(sums, batch.uniforms.tolist(), strict=True)
    ]
    ids[positions] = torch.tensor(drawn)
    is_replaced = torch.zeros(len(ids))
    is_replaced[positions] = (ids[positions] != labels).float()
    assert 0 < is_replaced.sum() <= len(labels)
    told = task.model.discriminator_head(task.model.encoder(batch.packed._replace(input_ids=ids)))
    chances = told.sigmoid()
    discriminator = -(is_replaced * chances.log() + (1 - is_replaced) * (1 - chances).log()).mean()
    expected = F.cross_entropy(logits, labels) + 50 * discriminator
    loss, found = task.step(batch)
    torch.testing.assert_close(loss, expected)
    metrics = task.metrics(found.tolist())
    called = told > 0
    assert metrics == pytest.approx(
        {
            "loss": expected.item(),
            "masked_lm_loss": F.cross_entropy(logits, labels).item(),
            "masked_lm_accuracy": (logits.argmax(-1) == labels).double().mean().item(),
            "sampled_accuracy": (torch.tensor(drawn) == labels).double().mean().item(),
            "discriminator_loss": discriminator.item(),
            "discriminator_accuracy": (called == is_replaced.bool()).double().mean().item(),
            "replaced_precision": is_replaced[called].mean().item() if called.any() else 0.0,
            "replaced_recall": (called[is_replaced.bool()].double().mean()).item(),
        }
    )
    theirs, ours = ([*torch.autograd.grad(each, [*task.model.parameters()])] for each in (expected, loss))
    for name, (a, b) in zip(dict(task.model.named_parameters()), zip(ours, theirs, strict=True), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4, msg=name)


def test_the_embeddings_are_one_and_the_discriminators_loss_does_not_reach_the_generator() -> None:
    task, batch = module(), random_batch([7, 30], VOCAB_SIZE)
    names = [*task.model.state_dict()]
    assert len(names) == len(dict(task.model.named_parameters()))
    assert not [name for name in names if name.startswith("generator.encoder.embeddings")]
    found = task.model(batch.packed, batch.masked_positions, batch.masked_labels, batch.uniforms)
    found.logits.sum().backward()
    assert all(parameter.grad is None for parameter in task.model.generator.parameters())
    for part in task.model.encoder.embeddings.parameters():  # tokens, positions, segments, the norm: of both
        (alone,) = torch.autograd.grad(task.masked_lm_logits(batch.packed, batch.masked_positions).square().sum(), part)
        assert alone.abs().max() > 0


@pytest.mark.parametrize("micro_batches", [2, 4])
def test_micro_batches_make_the_same_update(micro_batches: int) -> None:
    check_micro_batches(module(), micro_batches)


def filled(batch: PretrainingBatch) -> PretrainingBatch:
    """As constants have it: a sequence of [PAD], an empty one, and predictions that are ignored, at the first token."""
    packed, tokens = batch.packed, batch.num_tokens
    nothing = torch.zeros(5, dtype=torch.int64)
    return batch._replace(
        packed=packed._replace(
            input_ids=torch.cat([packed.input_ids, nothing]),
            token_type_ids=torch.cat([packed.token_type_ids, nothing]),
            position_ids=torch.cat([packed.position_ids, torch.arange(5)]),
            cu_seqlens=torch.cat([packed.cu_seqlens, torch.tensor([tokens + 5, tokens + 5], dtype=torch.int32)]),
        ),
        masked_positions=torch.cat([batch.masked_positions, nothing]),
        masked_labels=torch.cat([batch.masked_labels, torch.full((5,), IGNORED_LABEL)]),
        uniforms=torch.cat([batch.uniforms, torch.full((5,), 0.7)]),
    )


@pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated:DeprecationWarning")  # of dynamo itself
def test_padding_to_constants_is_unseen_and_the_step_is_one_graph() -> None:
    task, batch = module(layers=1), random_batch([7, 30, 12], VOCAB_SIZE)
    batch.masked_positions[batch.masked_positions == 0] = 1  # [CLS] is never masked
    loss, sums = task.step(batch)
    other, same = task.step(filled(batch))
    torch.testing.assert_close((other, same), (loss, sums))
    for encoder in task.model.encoders:
        encoder.use_kernel("sdpa")
    task.losses = torch.compile(replaced_tokens_losses, fullgraph=True, dynamic=False, backend="aot_eager")
    found, counts = task.step(filled(batch))
    torch.testing.assert_close((found, counts), (loss, sums))
    whole, parts = (torch.autograd.grad(each, [*task.model.parameters()]) for each in (loss, found))
    for a, b in zip(parts, whole, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "hidden", "heads", "layers"), [(0.25, 256, 4, 12), (1 / 3, 768, 12, 12), (0.25, 1024, 16, 24)]
)
def test_published_generators(size: float, hidden: int, heads: int, layers: int) -> None:
    """Appendix A, table 6, and ``get_generator_config``: 64, 256 and 256 wide, heads of 64, four times that within."""
    shape: Any = BertConfig(
        vocab_size=9,
        hidden_size=hidden,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        intermediate_size=4 * hidden,
    )
    found: Any = generator_shape(shape, size, 1.0)
    expected = {256: 64, 768: 256, 1024: 256}[hidden]
    assert (found.hidden_size, found.intermediate_size, found.num_attention_heads) == (
        expected,
        4 * expected,
        expected // 64,
    )
    assert found.num_hidden_layers == layers


@pytest.mark.parametrize("family", FAMILIES)
def test_the_flops_are_those_of_a_count(family: type[EncoderConfig]) -> None:
    task, lengths = module(family).eval(), [10, 20, 33]
    task.requires_grad_(False)  # else cross-entropy makes the decoder's gradients in the forward pass
    batch = random_batch(lengths, VOCAB_SIZE)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        task.model(batch.packed, batch.masked_positions, batch.masked_labels, batch.uniforms)
    counts = counter.get_flop_counts()["Global"]
    attention = sum(count for operator, count in counts.items() if "attention" in str(operator))
    generator: Any = task.model.generator.encoder.config
    pairs, masked, layers = sum(length**2 for length in lengths), len(batch.masked_labels), generator.num_hidden_layers
    by_hand = 4 * pairs * layers * (32 + generator.hidden_size)
    by_hand -= 4 * generator.hidden_size * pairs * (sum(lengths) - masked) // sum(lengths)
    segments = 2 * 2 * sum(lengths) * task.model.config.type_vocab_size * 32
    counted = counter.get_total_flops() - attention - segments + by_hand
    assert forward_flops(task.model, work_of(task.model.config, lengths, masked)) == counted


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"generator_size": 0.0}, "generator_size=0.0: expected a share above 0 and at most 1"),
        ({"generator_layers": 1.5}, "generator_layers=1.5: expected a share above 0 and at most 1"),
        ({"discriminator_weight": -1.0}, "discriminator_weight=-1.0: expected a factor of at least 0"),
        ({"generator_size": 0.01}, "a generator of generator_size=0.01 .* cannot be"),
    ],
)
def test_shares_that_cannot_be(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        module(**settings)
