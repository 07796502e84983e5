"""What every family does, each at a tiny size: heads, adaptations, folders, predictions, features, new tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import cloze
from benchmarks.batches import random_batch
from cloze.batch import IGNORED_LABEL, Packed, TaskBatch
from cloze.checkpoint.conversion import convert
from cloze.checkpoint.folder import save_pretrained
from cloze.checkpoint.growth import with_own_tokens
from cloze.checkpoint.modules import fine_tuned_model, pretraining_model
from cloze.checkpoint.onnx import real_tokens
from cloze.checkpoint.padded import PaddedPretraining
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.demo.reader import Reader
from cloze.errors import InputError
from cloze.inference.predictor import Inference
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Architecture
from cloze.model.task_heads import TASK_MODELS
from cloze.tasks.masked_lm import pretraining_losses
from cloze.text.tokenizer import build_tokenizer
from tests.model.families import FAMILIES, tiny_shape
from tests.tiny import SHAPE, VOCABULARY, shaken

LENGTHS = (9, 3, 30, 1)
LABELS = {"sequence_classification": ["bad", "good"], "token_classification": ["O", "B-X", "I-X"]}
pytestmark = pytest.mark.parametrize("family", FAMILIES)


def record_of(family: str) -> Architecture[Any]:
    return FAMILIES[family]


def saved(family: str, folder: Path) -> Path:
    """The folder of a pre-trained model."""
    torch.manual_seed(0)
    model = shaken(record_of(family).pretraining(tiny_shape(family)))
    save_pretrained(model, build_tokenizer(VOCABULARY), folder / family)
    return folder / family


def packed() -> Packed:
    numbers = np.random.default_rng(0)
    return Packed.of([numbers.integers(5, len(VOCABULARY), length) for length in LENGTHS])


def test_packed_tokens_are_padded_rows_under_both_heads(family: str, tmp_path: Path) -> None:
    model = PaddedPretraining(
        pretraining_model(read_pretrained(saved(family, tmp_path))), masked_lm=True, next_sentence=True
    )
    batch = packed()
    real = real_tokens(batch)
    ids, segments = (torch.zeros(real.shape, dtype=torch.long).masked_scatter(real, row) for row in batch[:2])
    with torch.no_grad():
        (words, pairs), (words_packed, pairs_packed) = model(ids, real.long(), segments), model.packed(batch)
    torch.testing.assert_close(words[real], words_packed, atol=1e-5, rtol=0)
    torch.testing.assert_close(pairs, pairs_packed, atol=1e-5, rtol=0)


def test_every_objective_teaches_all_that_it_needs(family: str) -> None:
    """With pairs (of next sentences or of their order alike) every parameter; without, all but the head of pairs."""
    record, batch = record_of(family), random_batch(LENGTHS, len(VOCABULARY))
    for pairs in (True, False):
        torch.manual_seed(0)
        model: Any = record.pretraining(tiny_shape(family)).train()
        labels = batch.next_sentence_labels if pairs else torch.full_like(batch.next_sentence_labels, IGNORED_LABEL)
        losses = pretraining_losses(model, batch._replace(next_sentence_labels=labels))
        (losses.masked_lm.loss + losses.next_sentence.loss).backward()
        taught = {name for name, each in model.named_parameters() if each.grad is not None and each.grad.any()}
        own = {name for name, _ in model.named_parameters() if name.startswith(record.pair_parts)}
        everything = {name for name, _ in model.named_parameters()}
        assert taught == (everything if pairs else everything - own), everything ^ taught


def test_a_folder_is_read_by_transformers_and_converted(family: str, tmp_path: Path) -> None:
    folder, record = saved(family, tmp_path), record_of(family)
    theirs, told = transformers.AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert type(theirs).__name__ == f"{record.classes}ForMaskedLM"
    assert not told["missing_keys"]
    convert(folder, tmp_path / "copy")
    state = pretraining_model(read_pretrained(folder)).state_dict()
    again = pretraining_model(read_pretrained(tmp_path / "copy")).state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    if family == "bert":
        convert(folder, tmp_path / "google", "google")
    else:
        with pytest.raises(InputError, match="Google's format is for BERT alone"):
            convert(folder, tmp_path / "google", "google")


@pytest.mark.parametrize(
    "adaptation",
    [
        Adaptation(),
        Adaptation(frozen_layers="all", layers="weighted_sum", head="bilstm", lstm_hidden_size=4),
        Adaptation(frozen_layers=1, reinitialized_layers=1),
    ],
    ids=["fine-tuned", "feature-based", "half frozen"],
)
def test_heads_of_every_task_are_made_and_come_back(family: str, adaptation: Adaptation, tmp_path: Path) -> None:
    pretrained, batch = read_pretrained(saved(family, tmp_path)), packed()
    task = TaskBatch(batch, torch.zeros(0), torch.arange(len(LENGTHS)), sum(LENGTHS), 1)
    for head in TASK_MODELS:
        if head == "embedding" and adaptation.layers != "last":
            continue  # which it refuses
        labels = LABELS.get(head, [])
        model = shaken(task_model(head, pretrained, labels=labels, adaptation=adaptation))
        save_task_model(model, pretrained.tokenizer, tmp_path / head, head=head, labels=labels)
        again = fine_tuned_model(read_pretrained(tmp_path / head))
        assert again is not None
        with torch.no_grad():
            assert torch.equal(again(task), model(task)), head
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert ("encoder.embeddings.word_embeddings.weight" in trained) == (adaptation.frozen_layers == 0)


def test_masked_tokens_pairs_and_hidden_states_are_predicted(family: str, tmp_path: Path) -> None:
    model = cloze.load(saved(family, tmp_path))
    (filled,) = model.fill_mask(["the [MASK] cab"], top_k=3)
    assert len(filled["masks"][0]["candidates"]) == 3
    (pair,) = model.predict([("the cab", "a bed")], task="next-sentence")
    assert 0 < pair["probability"] < 1
    for level in ("mean", "max", "cls"):
        assert model.embed(["the cab", ("a bed", "the cab")], level=level).shape == (2, SHAPE["hidden_size"])


def test_maps_of_attention_are_distributions(family: str, tmp_path: Path) -> None:
    encoder = pretraining_model(read_pretrained(saved(family, tmp_path))).encoder
    with torch.no_grad():
        maps = encoder.attention_weights(Packed.of([np.arange(5, 35)]))
    assert len(maps) == SHAPE["num_hidden_layers"]
    for weights in maps:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 30))


def test_the_demo_fills_masks_and_draws_attention(family: str, tmp_path: Path) -> None:
    reader = Reader(read_pretrained(saved(family, tmp_path)), Inference(), top_k=3)
    seen = reader.attention("the cat", "sat on")
    length, heads = len(seen.pieces), SHAPE["num_attention_heads"]
    assert [layer.shape for layer in seen.maps] == [(heads, length, length)] * SHAPE["num_hidden_layers"]
    assert seen.segments == sorted(seen.segments)
    assert set(seen.segments) == {0, 1}
    answer: Any = reader.predict("fill-mask", {"text": "the [MASK]"}).prediction
    assert len(answer["masks"][0]["candidates"]) == 3
    assert reader.vectors(["the cat", "sat"]).shape == (2, SHAPE["hidden_size"])


def test_new_tokens_begin_as_the_mean_of_what_they_were_read_as(family: str, tmp_path: Path) -> None:
    pretrained = read_pretrained(saved(family, tmp_path))
    grown = with_own_tokens(pretrained, ["<cab>"])
    name = record_of(family).vocabulary[0]
    old, new = pretrained.state[name], grown.state[name]
    parts = pretrained.tokenizer.encode("<cab>", add_special_tokens=False).ids
    assert torch.equal(new[: len(old)], old)
    torch.testing.assert_close(new[grown.tokenizer.token_to_id("<cab>")], old[parts].mean(0))
    assert pretraining_model(grown).config.vocab_size == len(old) + 1
