"""ELECTRA, the encoder, both pre-training heads and the heads of tasks, held against `transformers`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers

from benchmarks.batches import padded, random_batch
from cloze.batch import TaskBatch
from cloze.checkpoint.averaging import average
from cloze.checkpoint.conversion import convert
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.modules import fine_tuned_model, pretraining_model
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import SUFFIXES, Head
from cloze.model.config import ElectraConfig
from cloze.model.electra import ElectraForPreTraining
from cloze.model.families.electra import NAMES
from cloze.model.replaced_tokens import ReplacedTokens, generator_shape
from cloze.model.task_heads import TASK_MODELS
from cloze.tasks.masked_lm import pretraining_losses
from cloze.text.tokenizer import build_tokenizer
from tests.tiny import NO_DROPOUT, SHAPE, VOCABULARY, shaken

LENGTHS = [3, 40, 17, 64]
TIGHT: dict[str, Any] = {"atol": 1e-5, "rtol": 0}
WIDTHS = [16, 32]  # of the embeddings, of hidden states of 32: with a projection and without


def config(width: int = 16) -> ElectraConfig:
    return ElectraConfig(vocab_size=len(VOCABULARY), embedding_size=width, **SHAPE, **NO_DROPOUT)  # type: ignore[arg-type]


def both_networks(width: int = 16, seed: int = 0) -> ReplacedTokens:
    torch.manual_seed(seed)
    return shaken(ReplacedTokens(config(width), generator_shape(config(width), 0.5, 0.5)), 0.05 + 0.01 * seed)


def theirs_of(kind: Any, folder: Path) -> Any:
    theirs, told = kind.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    assert not any(told.values()), told
    return theirs.eval()


@pytest.mark.parametrize("width", WIDTHS)
def test_hidden_states_logits_and_gradients_are_those_of_transformers(width: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = shaken(ElectraForPreTraining(config(width)))
    save_pretrained(model, build_tokenizer(VOCABULARY), tmp_path / "model")
    theirs = theirs_of(transformers.ElectraForMaskedLM, tmp_path / "model")
    batch = random_batch(LENGTHS, len(VOCABULARY))
    inputs = padded(batch)
    del inputs["next_sentence_label"]
    real, labels = inputs["attention_mask"].bool(), inputs.pop("labels")
    expected = theirs(**inputs, output_hidden_states=True)
    for ours, other in zip(model.encoder.hidden_states(batch.packed), expected.hidden_states, strict=True):
        torch.testing.assert_close(ours, other[real], **TIGHT)
    logits = expected.logits[labels != -100]
    torch.testing.assert_close(model(batch.packed, batch.masked_positions).masked_lm, logits, **TIGHT)
    F.cross_entropy(logits, batch.masked_labels, reduction="sum").backward()
    pretraining_losses(model, batch).masked_lm.loss.backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in model.named_parameters():
        if name.startswith("next_sentence_head"):
            continue
        assert parameter.grad is not None
        for there, ours in NAMES.to_hugging_face({name: parameter.grad}).items():
            assert (ours - gradients[there]).norm() <= 1e-4 * gradients[there].norm() + 1e-5, there


@pytest.mark.slow
def test_two_hundred_steps_follow_one_curve(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours: Any = ElectraForPreTraining(config()).train()
    save_pretrained(ours, build_tokenizer(VOCABULARY), tmp_path / "model")
    theirs = theirs_of(transformers.ElectraForMaskedLM, tmp_path / "model").train()
    curves: list[list[float]] = [[], []]
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3) for model in (ours, theirs)]
    for step in range(200):
        batch = random_batch([9, 20, 33], 40, seed=step)
        batch = batch._replace(masked_labels=batch.masked_labels % 7 + 5)
        inputs = padded(batch)
        del inputs["next_sentence_label"]
        losses = pretraining_losses(ours, batch).masked_lm.loss / len(batch.masked_labels), theirs(**inputs).loss
        for curve, optimizer, loss in zip(curves, optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
    assert curves[0][-1] < 0.7 * curves[0][0]
    for a, b in zip(*curves, strict=True):
        assert abs(a - b) <= 0.01 * b


@pytest.mark.parametrize("width", WIDTHS)
def test_the_folder_is_discriminator_and_generator_for_transformers(width: int, tmp_path: Path) -> None:
    model, folder = both_networks(width), tmp_path / "model"
    save_pretrained(model, build_tokenizer(VOCABULARY), folder)
    batch = random_batch(LENGTHS, len(VOCABULARY))
    inputs = padded(batch)
    del inputs["next_sentence_label"]
    real, labels = inputs["attention_mask"].bool(), inputs.pop("labels")
    discriminator = theirs_of(transformers.AutoModelForPreTraining, folder)
    generator = theirs_of(transformers.AutoModelForMaskedLM, folder / "generator")
    assert type(discriminator) is transformers.ElectraForPreTraining
    with torch.no_grad():
        expected = discriminator(**inputs, output_hidden_states=True)
        for ours, other in zip(model.encoder.hidden_states(batch.packed), expected.hidden_states, strict=True):
            torch.testing.assert_close(ours, other[real], **TIGHT)
        logits = model.discriminator_head(model.encoder(batch.packed))
        torch.testing.assert_close(logits, expected.logits[real], **TIGHT)
        drawn = model.masked_lm_logits(batch.packed, batch.masked_positions)
        torch.testing.assert_close(drawn, generator(**inputs).logits[labels != -100], **TIGHT)
    assert transformers.AutoTokenizer.from_pretrained(folder / "generator").mask_token == "[MASK]"

    convert(folder, tmp_path / "copy")
    for part in (folder, tmp_path / "copy"):
        found = read_pretrained(part)
        state = found.state | dict(found.own_heads)
        assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
        assert found.told().startswith("ElectraForPreTraining: encoder, discriminator_head, generator;")


def test_folders_that_transformers_wrote_are_read_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"vocab_size": len(VOCABULARY), "embedding_size": 16, **SHAPE}
    discriminator = shaken(transformers.ElectraForPreTraining(transformers.ElectraConfig(**shape)))
    small = {**shape, "hidden_size": 16, "num_attention_heads": 1, "intermediate_size": 32}
    generator = transformers.ElectraForMaskedLM(transformers.ElectraConfig(**small))
    generator.electra.embeddings = discriminator.electra.embeddings
    generator.tie_weights()
    for theirs, folder in ((discriminator, tmp_path / "model"), (shaken(generator, 0.0), tmp_path / "model/generator")):
        theirs.save_pretrained(folder)
        build_tokenizer(VOCABULARY).save(str(folder / "tokenizer.json"))
    found = read_pretrained(tmp_path / "model")
    model = ReplacedTokens(found.config, generator_shape(found.config, 0.5, 1.0)).eval()
    model.load_state_dict(found.state | dict(found.own_heads))
    batch = random_batch(LENGTHS, len(VOCABULARY))
    inputs = padded(batch)
    del inputs["next_sentence_label"]
    real, labels = inputs["attention_mask"].bool(), inputs.pop("labels")
    with torch.no_grad():
        logits = model.discriminator_head(model.encoder(batch.packed))
        torch.testing.assert_close(logits, discriminator(**inputs).logits[real], **TIGHT)
        drawn = model.masked_lm_logits(batch.packed, batch.masked_positions)
        torch.testing.assert_close(drawn, generator(**inputs).logits[labels != -100], **TIGHT)
    filler = pretraining_model(read_pretrained(tmp_path / "model/generator"))
    with torch.no_grad():
        hidden = filler.encoder(batch.packed, batch.masked_positions)
        torch.testing.assert_close(filler.masked_lm_logits(hidden), drawn, **TIGHT)


def test_the_generator_of_another_discriminator_is_refused_and_means_are_of_both(tmp_path: Path) -> None:
    models = [both_networks(seed=seed) for seed in (0, 1)]
    folders = [tmp_path / "a", tmp_path / "b"]
    for model, folder in zip(models, folders, strict=True):
        save_pretrained(model, build_tokenizer(VOCABULARY), folder)
    average(folders, folders, tmp_path / "mean")
    found = read_pretrained(tmp_path / "mean")
    for name, tensor in (found.state | dict(found.own_heads)).items():
        torch.testing.assert_close(tensor, sum(model.state_dict()[name] for model in models) / 2)
    (folders[0] / "generator").rename(tmp_path / "own")
    (folders[1] / "generator").rename(folders[0] / "generator")
    with pytest.raises(InputError, match=r"is no generator of the model in .*: they have not the same embeddings"):
        read_pretrained(folders[0])


LABELLED = ("sequence_classification", "token_classification")


@pytest.mark.parametrize("head", [head for head in TASK_MODELS if head in SUFFIXES])
def test_heads_of_tasks_are_those_of_transformers(head: Head, tmp_path: Path) -> None:
    """On a discriminator, whose own head is left behind; the folder says in the class's own names what was trained."""
    save_pretrained(both_networks(), build_tokenizer(VOCABULARY), tmp_path / "model")
    labels = [f"l{number}" for number in range(3)] if head in LABELLED else []
    model = shaken(task_model(head, read_pretrained(tmp_path / "model"), labels=labels, adaptation=Adaptation()))
    assert model.drawn == (("pooler", "classifier") if model.takes_whole_sequences else ("classifier",))
    save_task_model(model, build_tokenizer(VOCABULARY), tmp_path / "task", head=head, labels=labels)
    kind = {"question_answering": "QuestionAnswering", "multiple_choice": "MultipleChoice"}
    name = kind.get(head, head.title().replace("_", ""))
    theirs = theirs_of(getattr(transformers, f"ElectraFor{name}"), tmp_path / "task")
    batch = random_batch(LENGTHS, len(VOCABULARY))
    inputs = {key: rows for key, rows in padded(batch).items() if key not in ("labels", "next_sentence_label")}
    real = inputs["attention_mask"].bool()
    if head == "multiple_choice":
        inputs = {key: rows[:, None] for key, rows in inputs.items()}
    with torch.no_grad():
        said = theirs(**inputs)
        if head == "question_answering":
            expected = torch.stack([said.start_logits[real], said.end_logits[real]], -1)
        else:
            expected = said.logits[real] if head == "token_classification" else said.logits
        task = TaskBatch(batch.packed, torch.zeros(4), torch.arange(4), batch.num_tokens, 1)
        found = model(task)
        torch.testing.assert_close(found, expected, **TIGHT)
        again = fine_tuned_model(read_pretrained(tmp_path / "task"))
        assert again is not None
        assert torch.equal(again(task), found)
    convert(tmp_path / "task", tmp_path / "copy")
    assert type(theirs_of(getattr(transformers, f"ElectraFor{name}"), tmp_path / "copy")) is type(theirs)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    for changes, what in (
        ({"summary_type": "last"}, "summary_type is 'last', but only 'first' is read"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', but only 'gelu' is read"),
        ({"embedding_size": 0}, "embedding_size=0: it must be at least 1"),
    ):
        save_pretrained(both_networks(), build_tokenizer(VOCABULARY), tmp_path / "model")
        file = tmp_path / "model/config.json"
        settings = transformers.ElectraConfig.from_pretrained(tmp_path / "model").to_dict() | changes
        settings["architectures"] = ["ElectraForPreTraining"]
        file.write_text(json.dumps(settings), encoding="utf-8")
        with pytest.raises(InputError, match=what):
            read_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="embedding_size"):
        replace(config(), embedding_size=-1)


def test_onnxruntime_detects_what_the_packed_discriminator_detects(tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    save_pretrained(both_networks(), build_tokenizer(VOCABULARY), tmp_path / "model")
    written = convert(tmp_path / "model", tmp_path / "onnx", "onnx").written
    assert ": logits; onnxruntime is at most" in written  # a conversion that is further away fails
