"""ModernBERT against transformers: hidden states of every layer, logits of every head, gradients, folders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from benchmarks.batches import padded, random_batch
from cloze.batch import IGNORED_LABEL, PretrainingBatch, TaskBatch
from cloze.checkpoint.conversion import convert
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.modules import fine_tuned_model, pretraining_model
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head, architecture_of
from cloze.model.modern import ModernBertForPreTraining
from cloze.model.modern_config import ModernBertConfig
from cloze.tasks.masked_lm import pretraining_losses
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny import shaken

VOCABULARY = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(92))]
LENGTHS = [3, 70, 17, 1, 40, 64, 65, 66, 129]
"""On both sides of the window of 64 tokens, and over a block of them."""
TOLERANCE: dict[str, Any] = {"atol": 1e-4, "rtol": 0}


def config(**changes: Any) -> ModernBertConfig:
    shape: dict[str, Any] = {
        "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 256,
    }  # fmt: skip
    return ModernBertConfig(**shape | changes)


def settings(shape: ModernBertConfig) -> dict[str, Any]:
    special = {key: number for number, key in enumerate(architecture_of(shape).special_ids)}
    return {**architecture_of(shape).write_config(shape), **special, "attn_implementation": "eager"}


def pair(shape: ModernBertConfig, folder: Path) -> tuple[ModernBertForPreTraining, Any]:
    """Ours with shaken weights, and theirs as it reads the folder of ours."""
    torch.manual_seed(0)
    model = shaken(ModernBertForPreTraining(shape))
    save_pretrained(model, build_tokenizer(VOCABULARY), folder)
    theirs, told = transformers.ModernBertForMaskedLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(told.values()), told
    return model, theirs.eval()


SHAPES = {
    "as published": {},
    "small windows": {"local_attention": 6, "global_attn_every_n_layers": 2},
    "every switch": {
        "attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True, "decoder_bias": False,
        "hidden_activation": "silu", "classifier_activation": "relu", "global_rope_theta": 1000.0,
        "local_rope_theta": 50.0, "norm_eps": 1e-3,
        "layer_types": ["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
    },
}  # fmt: skip


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_hidden_states_logits_and_gradients_are_those_of_transformers(changes: dict[str, Any], tmp_path: Path) -> None:
    shape = config(**changes)
    model, theirs = pair(shape, tmp_path / "model")
    batch = random_batch(LENGTHS, shape.vocab_size)
    rows = padded(batch)
    inputs = {"input_ids": rows["input_ids"], "attention_mask": rows["attention_mask"]}
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
        (theirs_name,) = architecture_of(shape).names(shape).to_hugging_face({name: parameter.detach()})
        there = theirs_by_name[theirs_name]
        assert parameter.grad is not None
        assert there is not None
        assert (parameter.grad - there).norm() < 1e-4 * there.norm(), name


def test_maps_of_attention_are_those_of_transformers(tmp_path: Path) -> None:
    model, theirs = pair(config(local_attention=6), tmp_path / "model")
    batch = random_batch([40], model.config.vocab_size)
    with torch.no_grad():
        expected = theirs(input_ids=batch.packed.input_ids[None], output_attentions=True).attentions
        for ours, other in zip(model.encoder.attention_weights(batch.packed), expected, strict=True):
            torch.testing.assert_close(ours, other[0], atol=1e-5, rtol=0)


HEADS: dict[Head, tuple[str, int]] = {
    "sequence_classification": ("ModernBertForSequenceClassification", 3),
    "token_classification": ("ModernBertForTokenClassification", 3),
    "question_answering": ("ModernBertForQuestionAnswering", 2),
    "multiple_choice": ("ModernBertForMultipleChoice", 1),
}


def their_logits(head: Head, theirs: Any, batch: PretrainingBatch) -> Tensor:
    rows = padded(batch)
    inputs = {"input_ids": rows["input_ids"], "attention_mask": rows["attention_mask"]}
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        if head == "multiple_choice":
            logits: Tensor = theirs.eval()(**{key: value[:, None] for key, value in inputs.items()}).logits
            return logits
        said = theirs.eval()(**inputs)
        if head == "question_answering":
            return torch.stack([said.start_logits[real], said.end_logits[real]], -1)
        return said.logits if head == "sequence_classification" else said.logits[real]  # type: ignore[no-any-return]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("head", HEADS)
def test_heads_of_tasks_are_those_of_transformers(head: Head, pooling: str, tmp_path: Path) -> None:
    """When a task begins from a pre-trained folder, whose transform they take over, and when it has been trained."""
    name, outputs = HEADS[head]
    shape = config(classifier_pooling=pooling)
    save_pretrained(shaken(ModernBertForPreTraining(shape)), build_tokenizer(VOCABULARY), tmp_path / "model")
    pretrained = read_pretrained(tmp_path / "model")
    labels = [f"l{number}" for number in range(outputs)] if outputs == 3 else []
    batch = random_batch(LENGTHS, shape.vocab_size)
    assert isinstance(batch, PretrainingBatch)
    task = TaskBatch(batch.packed, torch.zeros(len(LENGTHS)), torch.arange(len(LENGTHS)), batch.num_tokens, 1)
    model = task_model(head, pretrained, labels=labels, adaptation=Adaptation()).eval()
    assert (model.kept, model.drawn) == (("pooler",), ("classifier",))
    options = {"output_loading_info": True, "attn_implementation": "eager"}
    theirs, told = getattr(transformers, name).from_pretrained(tmp_path / "model", num_labels=outputs, **options)
    assert told["missing_keys"] == {"classifier.weight", "classifier.bias"}
    theirs.classifier.load_state_dict(model.classifier.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(model(task), their_logits(head, theirs, batch), **TOLERANCE)

    save_task_model(shaken(model), build_tokenizer(VOCABULARY), tmp_path / "task", head=head, labels=labels)
    theirs, told = getattr(transformers, name).from_pretrained(tmp_path / "task", **options)
    assert not any(told.values()), told
    with torch.no_grad():
        found = model(task)
    torch.testing.assert_close(found, their_logits(head, theirs, batch), **TOLERANCE)
    again = fine_tuned_model(read_pretrained(tmp_path / "task"))
    assert again is not None
    with torch.no_grad():
        assert torch.equal(again(task), found)


def test_a_folder_comes_back_bit_for_bit_with_the_head_of_pairs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = shaken(ModernBertForPreTraining(config()))
    save_pretrained(model, build_tokenizer(VOCABULARY), tmp_path / "model")
    again = pretraining_model(read_pretrained(tmp_path / "model"))
    assert again.config == model.config
    states = again.state_dict(), model.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())
    convert(tmp_path / "model", tmp_path / "copy")
    copy = pretraining_model(read_pretrained(tmp_path / "copy")).state_dict()
    assert all(torch.equal(copy[name], tensor) for name, tensor in states[1].items())
    with pytest.raises(InputError, match="is a ModernBERT, but Google's format is for BERT alone: give format=hf"):
        convert(tmp_path / "model", tmp_path / "google", "google")


def test_configurations_of_both_versions_of_transformers_are_read_and_written(tmp_path: Path) -> None:
    shape = config(global_rope_theta=80_000.0, local_rope_theta=500.0)
    record = architecture_of(shape)
    written = record.write_config(shape)
    assert transformers.ModernBertConfig(**written).rope_parameters == {
        "full_attention": {"rope_type": "default", "rope_theta": 80_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
    }
    file = tmp_path / "config.json"
    version_5 = {key: value for key, value in written.items() if "rope_theta" not in key}
    version_4 = {key: value for key, value in written.items() if key not in ("rope_parameters", "layer_types")}
    for settings_ in (written, version_5, version_4, transformers.ModernBertConfig(**written).to_dict()):
        assert record.read_config(json.loads(json.dumps(settings_)), file) == shape
    scaled = {**written, "rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}}
    with pytest.raises(InputError, match="only rope_type 'default' is read"):
        record.read_config(scaled, file)
    with pytest.raises(InputError, match="hidden_activation is 'tanh', but must be one of gelu, silu, relu"):
        record.read_config({**written, "hidden_activation": "tanh"}, file)


def test_initialisation_has_the_deviations_of_transformers() -> None:
    torch.manual_seed(0)
    shape = config(vocab_size=2000, hidden_size=256, intermediate_size=384, num_hidden_layers=8)
    theirs = transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(**settings(shape)))
    expected = {name: tensor.detach().std() for name, tensor in theirs.named_parameters() if tensor.ndim == 2}
    model = ModernBertForPreTraining(shape)
    for name, parameter in model.named_parameters():
        if parameter.ndim != 2 or name.startswith("next_sentence_head"):
            continue
        (there,) = architecture_of(shape).names(shape).to_hugging_face({name: parameter.detach()})
        assert float(parameter.detach().std()) == pytest.approx(float(expected[there]), rel=0.03), name
    assert all(not bias.any() for name, bias in model.named_parameters() if name.endswith("bias"))


def test_a_shape_that_cannot_be_is_refused() -> None:
    for changes, message in (
        ({"hidden_size": 30, "num_attention_heads": 6}, "a head's size must be even"),
        ({"layer_types": ["full_attention"]}, "for each of the 4 layers"),
        ({"local_attention": 0}, "local_attention=0: it must be from 1"),
        ({"local_rope_theta": 0.0}, "it must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            config(**changes)


def test_two_hundred_steps_follow_one_curve(tmp_path: Path) -> None:
    model, theirs = pair(config(), tmp_path / "model")
    batches = [random_batch(LENGTHS, len(VOCABULARY), seed=number) for number in range(8)]
    ours: list[float] = []
    their_losses: list[float] = []
    for module, losses in ((model, ours), (theirs.train(), their_losses)):
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
        for step in range(200):
            loss = _loss(module, batches[step % 8])
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    for one, other in zip(ours, their_losses, strict=True):
        assert one == pytest.approx(other, rel=0.01)
    assert ours[-1] < 0.8 * ours[0]


def _loss(module: nn.Module, batch: PretrainingBatch) -> Tensor:
    if isinstance(module, ModernBertForPreTraining):
        logits = module(batch.packed, batch.masked_positions).masked_lm
    else:
        rows = padded(batch)
        real = rows["attention_mask"].bool()
        logits = module(input_ids=rows["input_ids"], attention_mask=rows["attention_mask"]).logits[real]
        logits = logits[batch.masked_positions]
    return F.cross_entropy(logits, batch.masked_labels, ignore_index=IGNORED_LABEL)
