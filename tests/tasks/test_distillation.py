"""Each loss of a distillation as its paper states it, sequence by sequence; value and gradient."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.batches import random_batch
from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch
from cloze.errors import InputError
from cloze.model.architecture import architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.encoder import EncoderWithHeads
from cloze.model.modern_config import ModernBertConfig
from cloze.optim.schedules import Linear
from cloze.tasks.distillation import Distillation
from cloze.tasks.teacher import Teacher
from cloze.tasks.training import Recipe
from tests.tasks.test_pretraining import global_batch
from tests.tiny import NO_DROPOUT, shaken, tiny_config, tiny_tokenizer

VOCABULARY = 60
STUDENT = tiny_config(VOCABULARY, **NO_DROPOUT)
WIDE = tiny_config(VOCABULARY + 4, hidden_size=48, num_hidden_layers=4, intermediate_size=96)
ALIKE = tiny_config(VOCABULARY, num_hidden_layers=4)
MODERN = ModernBertConfig(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2,
    global_attn_every_n_layers=3, local_attention=8, max_position_embeddings=64,
)  # fmt: skip
NONE: dict[str, Any] = {"soft_targets": 0.0, "masked_lm": 0.0, "cosine": 0.0}
RECIPE = Recipe(optimizer=partial(torch.optim.SGD, lr=0.1), schedule=Linear(), length=1)


def teacher(shape: EncoderConfig, parts: tuple[str, ...] = ("encoder", "masked_lm_head")) -> Teacher[Any]:
    torch.manual_seed(1)
    model = shaken(architecture_of(shape).pretraining(shape)).requires_grad_(False)
    return Teacher(name="teacher", model=model, parts=parts, tokenizer=tiny_tokenizer(), sha256="0")


def module(shape: EncoderConfig, other: EncoderConfig, **settings: Any) -> Distillation:
    torch.manual_seed(0)
    made = Distillation(**{**NONE, **settings}, teacher=teacher(other), shape=shape, recipe=RECIPE)
    shaken(made.model)
    return made.train()


def alone(batch: PretrainingBatch) -> list[Packed]:
    """Each sequence as a batch of its own."""
    bounds = batch.packed.cu_seqlens.tolist()
    columns = (batch.packed.input_ids, batch.packed.token_type_ids)
    return [Packed.of(*([column[begin:end]] for column in columns)) for begin, end in itertools.pairwise(bounds)]


def states(model: EncoderWithHeads, packed: Packed) -> list[Tensor]:
    return model.encoder.hidden_states(packed)


def vectors(model: EncoderWithHeads, packed: Packed, layer: int, heads: int) -> list[Tensor]:
    """Queries, keys and values of a BERT's layer in a number of heads, (R, T, K) each."""
    block: Any = [*model.encoder.stack][layer - 1]
    attention = block.attention
    qkv = F.linear(states(model, packed)[layer - 1], attention.query_key_value.weight, attention.query_key_value.bias)
    return [part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in qkv.chunk(3, dim=-1)]


def divergence(theirs: Tensor, ours: Tensor) -> Tensor:
    """The KL of rows of probabilities, the mean over heads, the sum over tokens."""
    return (theirs * (theirs.log() - ours.log())).sum(-1).mean(0).sum()


def relation(one: Tensor, other: Tensor) -> Tensor:
    return torch.softmax(one @ other.mT / one.shape[-1] ** 0.5, -1)


def matrix(made: Distillation, name: str, hidden: Tensor) -> Tensor:
    """Through the learned matrix."""
    found: Any = made.model.training_only
    return F.linear(hidden, found[name].weight)


def cosine(made: Distillation, packed: Packed) -> Tensor:
    ours, theirs = (states(model, packed)[-1] for model in (made.model, made.teacher.model))
    cosines: Tensor = (ours * theirs).sum(-1) / (ours.norm(dim=-1) * theirs.norm(dim=-1))
    return (1 - cosines).sum()


def hidden(made: Distillation, packed: Packed, pairs: tuple[tuple[int, int], ...] = ((1, 2), (2, 4))) -> Tensor:
    ours, theirs = states(made.model, packed), states(made.teacher.model, packed)
    return torch.stack([((matrix(made, "hidden", ours[a]) - theirs[b]) ** 2).mean(-1).sum() for a, b in pairs]).sum()


def embeddings(made: Distillation, packed: Packed) -> Tensor:
    ours, theirs = (states(model, packed)[0] for model in (made.model, made.teacher.model))
    squares: Tensor = (matrix(made, "embeddings", ours) - theirs) ** 2
    return squares.mean(-1).sum()


def attention(made: Distillation, packed: Packed) -> Tensor:
    ours, theirs = (model.encoder.attention_weights(packed)[-1] for model in (made.model, made.teacher.model))
    return divergence(theirs, ours)


def related(made: Distillation, packed: Packed, *, part: int, layer: int = 4, heads: int = 2) -> Tensor:
    ours = vectors(made.model, packed, 2, heads)[part]
    theirs = vectors(made.teacher.model, packed, layer, heads)[part]
    return divergence(relation(theirs, theirs), relation(ours, ours))


STATED: dict[str, tuple[EncoderConfig, dict[str, Any], Callable[[Distillation, Packed], Tensor]]] = {
    "cosine": (ALIKE, {"cosine": 0.7}, cosine),
    "hidden": (WIDE, {"hidden": 0.7}, hidden),
    "hidden_of_chosen": (WIDE, {"hidden": 0.7, "layers": [1, 4]}, partial(hidden, pairs=((1, 1), (2, 4)))),
    "embeddings": (WIDE, {"embeddings": 0.7}, embeddings),
    "attention": (WIDE, {"attention": 0.7}, attention),
    "values": (WIDE, {"values": 0.7}, partial(related, part=2)),
    "queries": (WIDE, {"queries": 0.7, "relation_heads": 8}, partial(related, part=0, heads=8)),
    "keys": (WIDE, {"keys": 0.7, "relation_heads": 4, "relation_layer": 3}, partial(related, part=1, layer=3, heads=4)),
}


def batch_of(lengths: list[int]) -> PretrainingBatch:
    """Without pairs."""
    batch = random_batch(lengths, VOCABULARY)
    return batch._replace(next_sentence_labels=torch.full_like(batch.next_sentence_labels, IGNORED_LABEL))


def masked_logits(model: Any, batch: PretrainingBatch, *, apart: bool = False) -> Tensor:
    """(M, V), sequence by sequence."""
    hidden = torch.cat([states(model, packed)[-1] for packed in alone(batch)])[batch.masked_positions]
    weight = model.encoder.embeddings.word_embeddings.weight
    if apart:
        hidden, weight = hidden.detach(), weight.detach()
    return F.linear(model.masked_lm_head(hidden), weight, model.masked_lm_head.decoder_bias)


def compare(made: Distillation, found: Tensor, stated: Tensor) -> None:
    """Value, and gradient of every parameter."""
    torch.testing.assert_close(found, stated, rtol=1e-5, atol=1e-5)
    named = dict(made.model.named_parameters())
    ours, theirs = (
        torch.autograd.grad(one, [*named.values()], allow_unused=True, materialize_grads=True)
        for one in (found, stated)
    )
    torch.testing.assert_close(
        dict(zip(named, ours, strict=True)), dict(zip(named, theirs, strict=True)), rtol=1e-3, atol=2e-6
    )


@pytest.mark.parametrize("name", STATED)
def test_a_loss_over_tokens_is_as_its_paper_states_it(name: str) -> None:
    shape, settings, loss = STATED[name]
    made, batch = module(STUDENT, shape, **settings), batch_of([7, 20, 1, 12])
    found, sums = made.step(batch)
    over_tokens = torch.stack([loss(made, packed) for packed in alone(batch)]).sum() / batch.num_tokens
    # The head of masked tokens learns by itself where neither of its losses has a weight.
    head = F.cross_entropy(masked_logits(made.model, batch, apart=True), batch.masked_labels)
    compare(made, found, 0.7 * over_tokens + head)
    told = made.metrics(sums.tolist())
    assert told["loss"] == pytest.approx(found.item(), rel=1e-5)
    assert told[f"{name.partition('_')[0]}_loss"] == pytest.approx(over_tokens.item(), rel=1e-5)
    assert {key for key in told if key.endswith("_loss")} == {"masked_lm_loss", f"{name.partition('_')[0]}_loss"}


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("lengths", [[7, 20, 1, 12], [900, 900]])  # the latter with more masked tokens than at once
def test_soft_targets_are_hintons_next_to_the_labels(temperature: float, lengths: list[int]) -> None:
    positions = {"max_position_embeddings": 900}
    shapes = [tiny_config(VOCABULARY, **NO_DROPOUT, **positions), tiny_config(VOCABULARY + 4, **positions)]
    made, batch = module(*shapes, soft_targets=0.7, masked_lm=0.4, temperature=temperature), batch_of(lengths)
    batch.masked_labels[1] = IGNORED_LABEL
    found, sums = made.step(batch)
    ours, theirs = masked_logits(made.model, batch), masked_logits(made.teacher.model, batch)[:, :VOCABULARY]
    shares = (theirs / temperature).softmax(-1)
    rows = (shares * (shares.log() - (ours / temperature).log_softmax(-1))).sum(-1) * temperature**2
    soft = rows[batch.masked_labels != IGNORED_LABEL].sum() / batch.global_masked
    hard = F.cross_entropy(ours, batch.masked_labels, reduction="sum") / batch.global_masked
    compare(made, found, 0.7 * soft + 0.4 * hard)
    told, count = made.metrics(sums.tolist()), batch.global_masked - 1
    assert told["soft_targets_loss"] == pytest.approx(soft.item() * batch.global_masked / count, rel=1e-5)
    assert told["masked_lm_loss"] == pytest.approx(hard.item() * batch.global_masked / count, rel=1e-5)


ALL = {"soft_targets": 1.0, "masked_lm": 1.0, "cosine": 1.0, "hidden": 1.0, "embeddings": 1.0, "attention": 1.0}
ALL |= {"queries": 1.0, "keys": 1.0, "values": 1.0}


@pytest.mark.parametrize(
    ("student", "other"),
    [(STUDENT, ALIKE), (MODERN, MODERN), (STUDENT, MODERN), (MODERN, STUDENT)],
    ids=["bert", "modern", "bert_of_modern", "modern_of_bert"],
)
def test_micro_batches_and_what_fills_them_change_nothing(student: EncoderConfig, other: EncoderConfig) -> None:
    layers = {"layers": [1] * student.num_hidden_layers}
    made = module(student, other, **ALL, **layers, relation_layer=1)
    tokens = sum(batch.num_tokens for batch in global_batch(0, 1))
    results = []
    for cut in (1, 4):
        made.zero_grad()
        parts = [made.step(batch._replace(global_tokens=tokens)) for batch in global_batch(0, cut)]
        total = torch.stack([loss for loss, _ in parts]).sum()
        total.backward()
        gradients = [parameter.grad.clone() for parameter in made.model.parameters() if parameter.grad is not None]
        results.append((total, torch.stack([sums for _, sums in parts]).sum(0), gradients))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)
    filled = global_batch(0, 1)[0]._replace(global_tokens=tokens)
    more = Packed.of([*(part.input_ids for part in alone(filled)), torch.zeros(9, dtype=torch.int64)])
    segments = torch.cat([filled.packed.token_type_ids, torch.zeros(9, dtype=torch.int64)])
    labels = torch.cat([filled.next_sentence_labels, torch.tensor([IGNORED_LABEL])])
    filled = filled._replace(packed=more._replace(token_type_ids=segments), next_sentence_labels=labels)
    torch.testing.assert_close(made.step(filled), results[0][:2], rtol=1e-4, atol=1e-4)


def test_layers_of_the_teacher_are_copied() -> None:
    made = Distillation(
        **NONE | {"cosine": 1.0}, init_layers=[1, 4], teacher=teacher(ALIKE), shape=STUDENT, recipe=RECIPE
    )
    ours, theirs = made.model.state_dict(), made.teacher.model.state_dict()
    for name, tensor in ours.items():
        if name.startswith("encoder.blocks.1."):
            name = name.replace("blocks.1.", "blocks.3.")
        is_known = name.startswith(("encoder", "masked_lm_head"))  # the teacher's folder has no others
        assert torch.equal(tensor, theirs[name]) == is_known, name


@pytest.mark.parametrize(
    ("shape", "other", "settings", "message"),
    [
        (
            STUDENT,
            WIDE,
            {"cosine": 1.0},
            "module.cosine compares hidden states of the same width, but the student has 32",
        ),
        (STUDENT, ALIKE, {"cosine": -1.0}, "module.cosine is -1.0, but a weight must be at least 0"),
        (STUDENT, ALIKE, {"soft_targets": 1.0, "temperature": 0.0}, "module.temperature is 0.0, but must be above 0"),
        (STUDENT, ALIKE, {"masked_lm": 1.0}, "nothing is learned from the teacher: give one of module.soft_targets"),
        (ALIKE, STUDENT, {"hidden": 1.0}, "the 2 layers of teacher=teacher cannot be shared evenly by the student's 4"),
        (
            STUDENT,
            ALIKE,
            {"hidden": 1.0, "layers": [1, 5]},
            r"module.layers is \[1, 5\], but must be a number from 1 to 4",
        ),
        (STUDENT, ALIKE, {"values": 1.0, "relation_layer": 5}, "module.relation_layer is 5, but must be from 1 to 4"),
        (STUDENT, ALIKE, {"values": 1.0, "relation_heads": 5}, "relation_heads is 5, by which 32 and 32, the widths"),
        (
            tiny_config(VOCABULARY, num_attention_heads=4),
            ALIKE,
            {"values": 1.0},
            "the student has 4 attention heads and teacher=teacher 2: give a number of relation heads",
        ),
        (STUDENT, MODERN, {"attention": 1.0, "relation_layer": 2}, "that of layer 2 of teacher=teacher has a window"),
        (
            STUDENT,
            ALIKE,
            {"cosine": 1.0, "init_layers": [0, 3]},
            r"module.init_layers is \[0, 3\], but must be a number",
        ),
        (
            STUDENT,
            WIDE,
            {"keys": 1.0, "init_layers": [1, 2]},
            "copies layers, but model.hidden_size is 32, and teacher=",
        ),
        (STUDENT, MODERN, {"cosine": 1.0, "init_layers": [1, 2]}, "are of other kinds, BERT and ModernBERT"),
        (
            MODERN,
            MODERN,
            {"cosine": 1.0, "init_layers": [1, 2, 3, 3]},
            "layer 3 of teacher=teacher has sliding_attention",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    shape: EncoderConfig, other: EncoderConfig, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Distillation(**{**NONE, **settings}, teacher=teacher(other), shape=shape, recipe=RECIPE)
    if settings.get("soft_targets"):
        with pytest.raises(InputError, match="teacher=teacher has no head of masked tokens"):
            Distillation(teacher=teacher(other, parts=("encoder",)), shape=shape, recipe=RECIPE)
