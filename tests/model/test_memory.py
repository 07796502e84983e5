"""The formula of a step's memory against what autograd keeps, byte by byte."""

import pytest

from benchmarks.batches import random_batch
from benchmarks.memory import bf16_step, kept_by_formula, kept_bytes, largest
from benchmarks.shapes import shape
from cloze.model.architecture import Kernels, architecture_of
from cloze.model.bert import BertForPreTraining
from cloze.model.heads import PretrainingModel
from cloze.model.memory import count_parameters, step_memory
from cloze.model.modern_config import EuroBertConfig, ModernBertConfig, NomicBertConfig

SIZES = ["tiny", "mini"]
VOCAB_SIZE = 1000
LENGTHS = [64, 64, 128, 128]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "changed",
    [{}, {"attention_probs_dropout_prob": 0.0}, {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}],
    ids=["dropout", "no dropout of attention", "no dropout"],
)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["all kept", "checkpointing"])
def test_in_fp32(size: str, changed: dict[str, float], checkpointing: bool) -> None:
    config, batch = shape(size, vocab_size=VOCAB_SIZE, **changed), random_batch(LENGTHS, VOCAB_SIZE)
    model = BertForPreTraining(config).train()
    model.encoder.gradient_checkpointing = checkpointing
    found = kept_bytes(model, batch, half=False)
    expected = kept_by_formula(config, Kernels.of("32-true", on_gpu=False), batch, checkpointing=checkpointing)
    assert found == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("family", [ModernBertConfig, EuroBertConfig, NomicBertConfig])
def test_of_encoders_with_rotary_positions(family: type[ModernBertConfig], dropout: float) -> None:
    config = family(
        vocab_size=VOCAB_SIZE, hidden_size=128, num_hidden_layers=3, num_attention_heads=2, intermediate_size=192,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    batch = random_batch(LENGTHS, VOCAB_SIZE)
    model = architecture_of(config).pretraining(config).train()
    assert isinstance(model, PretrainingModel)
    found = kept_bytes(model, batch, half=False)
    expected = kept_by_formula(config, Kernels.of("32-true", on_gpu=False), batch, checkpointing=False)
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("length", [128, 1024, 8192])
def test_of_modernbert_at_its_lengths(length: int) -> None:
    config = ModernBertConfig(
        vocab_size=VOCAB_SIZE, hidden_size=64, num_hidden_layers=4, num_attention_heads=2, intermediate_size=96,
        local_attention=32,
    )  # fmt: skip
    batch = random_batch([length] * max(1, 1024 // length), VOCAB_SIZE)
    model = architecture_of(config).pretraining(config).train()
    assert isinstance(model, PretrainingModel)
    expected = kept_by_formula(config, Kernels.of("32-true", on_gpu=False), batch, checkpointing=False)
    assert kept_bytes(model, batch, half=False) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("attention_dropout", [0.0, 0.1])
def test_in_bf16(size: str, attention_dropout: float) -> None:
    """On a CPU as on a GPU, but for the kernel of attention: the reference copies its result."""
    config = shape(size, vocab_size=VOCAB_SIZE, attention_probs_dropout_prob=attention_dropout)
    batch = random_batch(LENGTHS, VOCAB_SIZE)
    model = BertForPreTraining(config).train()
    kernels = Kernels.of("bf16-mixed", on_gpu=False)
    casts = 2 * sum(p.numel() for p in model.parameters() if p.ndim == 2)  # at most: autocast's copies of matrices
    found = kept_bytes(model, batch, half=True)
    expected = kept_by_formula(config, kernels, batch, checkpointing=False)
    assert expected * 0.98 < found < (expected + casts) * 1.02


@pytest.mark.parametrize("size", SIZES)
def test_parameters_are_counted(size: str) -> None:
    config = shape(size, vocab_size=VOCAB_SIZE)
    assert count_parameters(config) == sum(parameter.numel() for parameter in BertForPreTraining(config).parameters())


def test_a_share_of_the_parameters_on_each_device() -> None:
    config, kernels = shape("tiny", vocab_size=VOCAB_SIZE), Kernels.of("bf16-mixed", on_gpu=True)
    one, four = (
        step_memory(config, kernels, tokens=512, length=128, masked=77, optimizer_bytes=8, shards=shards)
        for shards in (1, 4)
    )
    assert four.parameters == one.parameters // 4
    assert four.optimizer == one.optimizer // 4
    assert four.activations == one.activations
    assert one.total == sum(one)
    assert one.optimizer == 8 * count_parameters(config)
    assert one.parameters == 6 * count_parameters(config)


def test_the_largest_micro_batch_is_the_last_one_with_room() -> None:
    config = shape("base", attention_probs_dropout_prob=0.0)
    for checkpointing in (False, True):
        tokens = largest(config, 24e9, checkpointing=checkpointing)
        assert tokens % 512 == 0
        assert bf16_step(config, tokens, checkpointing=checkpointing) <= 22e9
        assert bf16_step(config, tokens + 512, checkpointing=checkpointing) > 22e9
    assert largest(config, 24e9, checkpointing=True) > 3 * largest(config, 24e9, checkpointing=False)
    assert largest(config, 1e9, checkpointing=False) == 0
