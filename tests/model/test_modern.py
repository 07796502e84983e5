"""Encoders with rotary positions against transformers: hidden states, logits of every head, gradients, folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from benchmarks.batches import random_batch
from cloze.batch import IGNORED_LABEL, Packed, PretrainingBatch, TaskBatch
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head, architecture_of
from cloze.model.modern import ModernBertForPreTraining, ModernBlock
from cloze.model.modern_config import EuroBertConfig, ModernBertConfig, NomicBertConfig
from cloze.tasks.masked_lm import pretraining_losses
from cloze.text.tokenizer import build_tokenizer
from tests.model.families import LENGTHS, POOLINGS, TOLERANCE, VOCABULARY, YARN, config, pair, rows_of, settings
from tests.tiny import shaken

SHAPES = {
    "ModernBERT": {},
    "small windows": {"local_attention": 6, "global_attn_every_n_layers": 2},
    "every switch": {
        "attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True, "decoder_bias": False,
        "hidden_activation": "silu", "classifier_activation": "relu", "global_rope_theta": 1000.0,
        "local_rope_theta": 50.0, "norm_eps": 1e-3,
        "layer_types": ["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
    },
    "an untied decoder": {"tie_word_embeddings": False},
    "stretched positions": {
        "global_rope_theta": 500.0, "global_rope_scaling": YARN,
        "local_rope_scaling": {"rope_type": "linear", "factor": 2.5},
    },
    "EuroBERT": {"family": EuroBertConfig},
    "EuroBERT with biases": {
        "family": EuroBertConfig, "attention_bias": True, "mlp_bias": True, "decoder_bias": True, "norm_eps": 1e-3,
        "hidden_activation": "gelu", "global_rope_theta": 500.0, "tie_word_embeddings": True,
    },
    "EuroBERT with stretched positions": {
        "family": EuroBertConfig,
        "global_rope_scaling": {**YARN, "attention_factor": 1.25, "beta_fast": 16.0, "beta_slow": 2},
    },
    "NomicBERT": {"family": NomicBertConfig},
    "NomicBERT with GELU": {
        "family": NomicBertConfig, "hidden_activation": "gelu", "classifier_activation": "gelu", "type_vocab_size": 3,
        "norm_eps": 1e-3,
    },
}  # fmt: skip


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_hidden_states_logits_and_gradients_are_those_of_transformers(changes: dict[str, Any], tmp_path: Path) -> None:
    shape = config(**changes)
    model, theirs = pair(shape, tmp_path / "model")
    batch = random_batch(LENGTHS, shape.vocab_size)
    inputs = rows_of(batch, shape)
    real = inputs["attention_mask"].bool()
    expected = theirs(**inputs, output_hidden_states=True)
    for ours, other in zip(model.encoder.hidden_states(batch.packed), expected.hidden_states, strict=True):
        torch.testing.assert_close(ours, other[real], **TOLERANCE)
    logits = expected.logits[real][batch.masked_positions]
    torch.testing.assert_close(model(batch.packed, batch.masked_positions).masked_lm, logits, **TOLERANCE)

    assert isinstance(batch, PretrainingBatch)
    F.cross_entropy(logits, batch.masked_labels, reduction="sum", ignore_index=IGNORED_LABEL).backward()
    pretraining_losses(model, batch).masked_lm.loss.backward()
    theirs_by_name = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in model.named_parameters():
        if name.startswith("next_sentence_head"):
            continue
        assert parameter.grad is not None
        for there, ours in architecture_of(shape).names(shape).to_hugging_face({name: parameter.grad}).items():
            expected_grad = theirs_by_name[there]
            assert expected_grad is not None
            assert (ours - expected_grad).norm() < 1e-4 * expected_grad.norm(), there


@pytest.mark.parametrize("family", POOLINGS)
def test_maps_of_attention_are_those_of_transformers(family: type[ModernBertConfig], tmp_path: Path) -> None:
    model, theirs = pair(config(family, local_attention=6), tmp_path / "model")
    batch = random_batch([40], model.config.vocab_size)
    with torch.no_grad():
        expected = theirs(**rows_of(batch, model.config), output_attentions=True).attentions
        for ours, other in zip(model.encoder.attention_weights(batch.packed), expected, strict=True):
            torch.testing.assert_close(ours, other[0], atol=1e-5, rtol=0)


OUTPUTS: dict[Head, int] = {
    "sequence_classification": 3,
    "token_classification": 3,
    "question_answering": 2,
    "multiple_choice": 1,
}
HEADS = [
    (family, head, pooling)
    for family, poolings in POOLINGS.items()
    for head in architecture_of(family(vocab_size=1)).heads
    if head in OUTPUTS
    for pooling in (poolings if head in ("sequence_classification", "multiple_choice") else poolings[:1])
]


def their_logits(head: Head, theirs: Any, batch: PretrainingBatch, shape: ModernBertConfig) -> Tensor:
    inputs = rows_of(batch, shape)
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        if head == "multiple_choice":
            logits: Tensor = theirs.eval()(**{key: value[:, None] for key, value in inputs.items()}).logits
            return logits
        said = theirs.eval()(**inputs)
        if head == "question_answering":
            return torch.stack([said.start_logits[real], said.end_logits[real]], -1)
        return said.logits if head == "sequence_classification" else said.logits[real]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("family", "head", "pooling"), HEADS)
def test_heads_of_tasks_are_those_of_transformers(
    family: type[ModernBertConfig], head: Head, pooling: str, tmp_path: Path
) -> None:
    """When a task begins from a pre-trained folder, whose transform it may take over, and when it has been trained."""
    outputs, shape = OUTPUTS[head], config(family, classifier_pooling=pooling)
    name = architecture_of(shape).class_of(head)
    save_pretrained(shaken(ModernBertForPreTraining(shape)), build_tokenizer(VOCABULARY), tmp_path / "model")
    pretrained = read_pretrained(tmp_path / "model")
    labels = [f"l{number}" for number in range(outputs)] if outputs == 3 else []
    batch = random_batch(LENGTHS, shape.vocab_size)
    assert isinstance(batch, PretrainingBatch)
    task = TaskBatch(batch.packed, torch.zeros(len(LENGTHS)), torch.arange(len(LENGTHS)), batch.num_tokens, 1)
    model = task_model(head, pretrained, labels=labels, adaptation=Adaptation()).eval()
    kept = ("pooler",) if family is ModernBertConfig else ()
    drawn = ("classifier",) if kept or model.pooler is None else ("pooler", "classifier")
    assert (model.kept, model.drawn) == (kept, drawn)
    options = {"output_loading_info": True, "attn_implementation": "eager"}
    theirs, told = getattr(transformers, name).from_pretrained(tmp_path / "model", num_labels=outputs, **options)
    heads = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(drawn)}
    translated = architecture_of(shape).names(shape).to_hugging_face(heads, head=head)
    assert told["missing_keys"] == translated.keys()
    theirs.load_state_dict(translated, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(model(task), their_logits(head, theirs, batch, shape), **TOLERANCE)

    save_task_model(shaken(model), build_tokenizer(VOCABULARY), tmp_path / "task", head=head, labels=labels)
    theirs, told = getattr(transformers, name).from_pretrained(tmp_path / "task", **options)
    assert not any(told.values()), told
    with torch.no_grad():
        found = model(task)
    torch.testing.assert_close(found, their_logits(head, theirs, batch, shape), **TOLERANCE)
    again = fine_tuned_model(read_pretrained(tmp_path / "task"))
    assert again is not None
    with torch.no_grad():
        assert torch.equal(again(task), found)


@pytest.mark.parametrize("family", POOLINGS)
def test_muon_takes_queries_keys_values_gate_and_value_apart(family: type[ModernBertConfig]) -> None:
    (block, *_) = ModernBertForPreTraining(config(family)).encoder.stack
    names = {parameter: name for name, parameter in block.named_parameters()}
    assert {names[parameter]: parts for parameter, parts in block.matrices().items()} == {
        "attention.query_key_value.weight": 3, "attention.output.weight": 1, "feed_forward.intermediate.weight": 2,
        "feed_forward.output.weight": 1,
    }  # fmt: skip


@pytest.mark.parametrize("family", POOLINGS)
def test_initialisation_has_the_deviations_of_transformers(family: type[ModernBertConfig]) -> None:
    torch.manual_seed(0)
    wide = {"vocab_size": 2000, "hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 8}
    shape = config(family, **wide, initializer_range=0.03)
    record = architecture_of(shape)
    theirs_config = getattr(transformers, f"{record.classes}Config")(**settings(shape))
    theirs = getattr(transformers, record.class_of("masked_lm"))(theirs_config)
    expected = {name: tensor.detach().std() for name, tensor in theirs.named_parameters() if tensor.ndim == 2}
    model = ModernBertForPreTraining(shape)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and not name.startswith("next_sentence_head"):
            for there, ours in record.names(shape).to_hugging_face({name: parameter.detach()}).items():
                close = max(0.03, 4 * (2 * ours.numel()) ** -0.5)  # four times the error of both estimates
                assert float(ours.std()) == pytest.approx(float(expected[there]), rel=close), there
    assert all(not bias.any() for name, bias in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("family", POOLINGS)
def test_two_hundred_steps_follow_one_curve(family: type[ModernBertConfig], tmp_path: Path) -> None:
    shape = config(family, num_hidden_layers=2)
    model, theirs = pair(shape, tmp_path / "model")
    batches = [random_batch([70, 3, 17], len(VOCABULARY), seed=number) for number in range(8)]
    ours: list[float] = []
    their_losses: list[float] = []
    for module, losses in ((model, ours), (theirs.train(), their_losses)):
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
        for step in range(200):
            loss = _loss(module, batches[step % 8], shape)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    for one, other in zip(ours, their_losses, strict=True):
        assert one == pytest.approx(other, rel=0.01)
    assert ours[-1] < 0.8 * ours[0]


def _loss(module: nn.Module, batch: PretrainingBatch, shape: ModernBertConfig) -> Tensor:
    if isinstance(module, ModernBertForPreTraining):
        logits = module(batch.packed, batch.masked_positions).masked_lm
    else:
        inputs = rows_of(batch, shape)
        logits = module(**inputs).logits[inputs["attention_mask"].bool()]
        logits = logits[batch.masked_positions]
    return F.cross_entropy(logits, batch.masked_labels, ignore_index=IGNORED_LABEL)


def test_dropout_on_the_output_of_attention_alone() -> None:
    torch.manual_seed(0)
    shape = ModernBertConfig(vocab_size=9, hidden_size=64, num_attention_heads=2, attention_output_dropout=0.3)
    block, hidden = ModernBlock(shape, layer=0), torch.randn(500, 64)
    block.feed_forward.output = nn.Linear(shape.intermediate_size, 64, bias=False).requires_grad_(False)
    block.feed_forward.output.weight.zero_()
    packed = Packed.of([np.zeros(500, dtype=np.int64)])
    with torch.no_grad():
        added, dropped = block.eval()(hidden, packed) - hidden, block.train()(hidden, packed) - hidden
    kept = dropped.abs() > 1e-6
    assert kept.float().mean() == pytest.approx(0.7, abs=0.02)
    torch.testing.assert_close(dropped[kept], added[kept] / 0.7, atol=1e-5, rtol=1e-4)
