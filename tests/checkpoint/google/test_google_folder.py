"""Folders as Google released them, and as its scripts leave them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from cloze.checkpoint.folder import read_folder
from cloze.checkpoint.google import is_google_folder, read_google, write_google
from cloze.checkpoint.google.bundle import read_index, write_bundle
from cloze.checkpoint.google.names import from_google, is_of_training, to_google
from cloze.checkpoint.pretrained import read_pretrained
from cloze.errors import InputError
from cloze.model.families.bert import NAMES
from tests.checkpoint.folders import their_config, their_folder
from tests.tiny import VOCABULARY

FIXTURE = Path(__file__).parents[1] / "fixtures" / "tensorflow"
NUMBER = rb"([\x80-\xff]*[\x00-\x7f])"
RECORD = rb"\x08\x01\x12.((?:\x12\x02\x08.)*)(?:\x20" + NUMBER + rb")?\x28" + NUMBER + rb"\x35.{4}"


@pytest.fixture(scope="session")
def released(shared_data: Path) -> Path:
    return shared_data / "checkpoints"


def decoded(number: bytes) -> int:
    return sum((byte & 127) << 7 * place for place, byte in enumerate(number))


def walked(folder: Path) -> dict[str, np.ndarray]:
    """The float variables of a small index, read by a search for its records instead of its structure."""
    index = (folder / "bert_model.ckpt.index").read_bytes()
    data = (folder / "bert_model.ckpt.data-00000-of-00001").read_bytes()
    values, name, at = {}, b"", 3 + index[2]
    while index[at + 1]:  # behind the entries are the restarts, the first of them zero
        shared, own, length = index[at : at + 3]
        name = name[:shared] + index[at + 3 : at + 3 + own]
        record = index[at + 3 + own : at + 3 + own + length]
        at += 3 + own + length
        if found := re.fullmatch(RECORD, record, re.DOTALL):
            offset, size = (decoded(part or b"") for part in found.groups()[1:])
            values[name.decode()] = np.frombuffer(data[offset : offset + size], "<f4").reshape(*found[1][3::4])
    return values


def test_the_values_of_an_independent_reading(released: Path) -> None:
    folder = released / "google_tf_tiny"
    expected = walked(folder)
    assert len(expected) == 138  # 46 parameters with two slots each; global_step is no float
    google = read_google(folder)
    assert (len(google.theirs), google.skipped) == (46, 93)
    for variable, values in expected.items():
        if not variable.endswith(("/adam_m", "/adam_v")):
            name = from_google(variable)
            assert name
            given = google.theirs[name].numpy()
            assert np.array_equal(given, values.T if variable.endswith("kernel") else values), variable


def test_one_door(released: Path) -> None:
    folder = released / "google_tf_tiny"
    pretrained = read_pretrained(folder)
    assert pretrained.told() == "BertForPreTraining: encoder, pooler, masked_lm_head, next_sentence_head"
    assert read_folder(folder).skipped == 93


def test_the_names_and_shapes_of_a_release(released: Path) -> None:
    """The smaller BERTs of Turc et al. 2019: every variable has its parameter, and the other way round."""
    folder = released / "google_uncased_L-8_H-512_A-8_index_only"
    entries = read_index(folder / "bert_model.ckpt.index").entries
    config = transformers.BertConfig.from_json_file(folder / "bert_config.json")
    with torch.device("meta"):
        theirs = transformers.BertForPreTraining(config).state_dict()
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    theirs = {name: tensor for name, tensor in theirs.items() if name not in tied and NAMES.is_known(name)}
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.items()}
    found = {from_google(name): entry.shape for name, entry in entries.items() if from_google(name)}
    turned = {from_google(name): entry.shape[::-1] for name, entry in entries.items() if name.endswith("/kernel")}
    assert {name for name in entries if not from_google(name)} == set()
    assert found | turned == shapes
    with pytest.raises(InputError, match=r"data-00000-of-00001 is missing, but bert_model.ckpt.index says .*: copy it"):
        read_google(folder)


def test_what_tensorflow_wrote() -> None:
    google = read_google(FIXTURE)
    told = json.loads((FIXTURE / "values.json").read_text())
    assert google.settings["architectures"] == ["BertForSequenceClassification"]
    assert google.skipped == 2 * 25 + 1 + 2  # slots, the step, a string, a variable in slices
    kernel = np.frombuffer(bytes.fromhex(told["bert/encoder/layer_0/intermediate/dense/kernel"][2]), "<f4")
    given = google.theirs["bert.encoder.layer.0.intermediate.dense.weight"].numpy()
    assert np.array_equal(given, kernel.reshape(4, 6).T)
    pretrained = read_pretrained(FIXTURE)
    assert (pretrained.labels, pretrained.parts[-1]) == (["LABEL_0", "LABEL_1", "LABEL_2"], "classifier")


@pytest.mark.parametrize(
    "name",
    [
        "BertModel",
        "BertForPreTraining",
        "BertForMaskedLM",
        "BertForNextSentencePrediction",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertForMultipleChoice",
        "BertForQuestionAnswering",
    ],
)
def test_round_trip_bit_for_bit(tmp_path: Path, name: str) -> None:
    their_folder(name, tmp_path / "hf")
    before = read_folder(tmp_path / "hf")
    write_google(tmp_path / "google", before.settings, before.theirs, VOCABULARY, lowercase=True)
    assert sorted(file.name for file in (tmp_path / "google").iterdir()) == [
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "vocab.txt",
    ]
    assert is_google_folder(tmp_path / "google")
    assert not is_google_folder(tmp_path / "hf")
    after = read_folder(tmp_path / "google")
    assert after.config == before.config
    assert after.settings["architectures"] == [name]
    assert after.theirs.keys() == before.theirs.keys()
    assert all(torch.equal(after.theirs[key], tensor) for key, tensor in before.theirs.items())
    assert read_pretrained(tmp_path / "google").kind == name


def test_case_is_noted_only_where_the_vocabulary_misleads(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path / "hf")
    before = read_folder(tmp_path / "hf")
    for lowercase in (True, False, None):
        write_google(tmp_path / "google", before.settings, before.theirs, VOCABULARY, lowercase=lowercase)
        assert (tmp_path / "google" / "tokenizer_config.json").is_file() == (lowercase is False)
        assert read_pretrained(tmp_path / "google").tokenizer.normalizer.lowercase == (lowercase is not False)


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    settings = their_config().to_dict()
    with pytest.raises(InputError, match=r"'bert\.adapter\.weight' has no variable in Google's BERT"):
        write_google(tmp_path / "to", settings, {"bert.adapter.weight": torch.ones(1)}, VOCABULARY, lowercase=None)
    complex_values = {"bert.pooler.dense.bias": torch.ones(1, dtype=torch.complex64)}
    with pytest.raises(KeyError):
        write_google(tmp_path / "to", settings, complex_values, VOCABULARY, lowercase=None)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(FIXTURE, tmp_path / "folder")


@pytest.mark.parametrize("name", ["bert_config.json", "vocab.txt", "model.ckpt-1000.data-00001-of-00003"])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert is_google_folder(folder)
    with pytest.raises(InputError, match=rf"{name} is missing.*: copy it"):
        read_google(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"vocab_size": 8},
            r"'bert/embeddings/word_embeddings' has shape \(7, 4\), but .* says \(8, 4\); ",
        ),
        (
            {"intermediate_size": 7},
            r"intermediate/dense/kernel' has shape \(4, 6\), but .*\(4, 7\)",
        ),
        ({"num_hidden_layers": 2}, r"has no 'bert/encoder/layer_1/.*', which a model as in bert_config.json has"),
        ({"hidden_size": "4"}, r"bert_config\.json describes no encoder"),
    ],
)
def test_a_configuration_of_another_model(folder: Path, changes: dict[str, object], message: str) -> None:
    file = folder / "bert_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(InputError, match=message):
        read_google(folder)


def test_more_layers_than_configured(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path / "hf")
    before = read_folder(tmp_path / "hf")
    write_google(tmp_path / "to", before.settings | {"num_hidden_layers": 2}, before.theirs, VOCABULARY, lowercase=True)
    with pytest.raises(InputError, match=r"has 'bert/encoder/layer_2/.*', but .* num_hidden_layers=2; the two "):
        read_google(tmp_path / "to")


def test_a_vocabulary_of_another_model(folder: Path) -> None:
    with (folder / "vocab.txt").open("a") as stream:
        stream.write("one\nmore\n")
    with pytest.raises(InputError, match="its tokenizer has ids up to 8, but its model only 7 embeddings"):
        read_pretrained(folder)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("model/w/.ATTRIBUTES/VARIABLE_VALUE", "a checkpoint of TensorFlow 2's objects, which is not read"),
        ("electra/embeddings/word_embeddings", r"no checkpoint of a BERT: of its 1 variables \(electra/.*, \.\.\.\)"),
    ],
)
def test_other_models(folder: Path, variable: str, message: str) -> None:
    for file in folder.glob("model.ckpt*"):
        file.unlink()
    write_bundle(folder, "model.ckpt-1000", {variable: torch.ones(1)})
    with pytest.raises(InputError, match=message):
        read_google(folder)


def test_several_checkpoints(folder: Path) -> None:
    """The one that TensorFlow notes as the last; without its note, none."""
    write_bundle(folder, "model.ckpt-500", {"global_step": torch.tensor(500)})
    assert read_google(folder).index.name == "model.ckpt-1000.index"
    (folder / "checkpoint").unlink()
    with pytest.raises(InputError, match=r"holds 2 TensorFlow checkpoints \(model\.ckpt-1000, model.*\) and no "):
        read_google(folder)


@given(
    st.sampled_from(
        ["bert/encoder/layer_7/attention/self/query", "bert/pooler/dense", "bert/embeddings/LayerNorm", "x"]
    ),
    st.sampled_from(["kernel", "bias", "gamma", "beta", "weight", "word_embeddings", "adam_m"]),
)
def test_names_lead_back(module: str, kind: str) -> None:
    name = from_google(f"{module}/{kind}")
    assert name is None or to_google(name) == f"{module}/{kind}"


def test_variables_of_a_training() -> None:
    variables = {"a/kernel", "a/kernel/Adam", "a/kernel/Adam_1", "global_step", "beta1_power", "a/kernels"}
    assert {v for v in variables if not is_of_training(v, variables)} == {"a/kernel", "a/kernels"}
