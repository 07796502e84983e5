"""`cloze-convert`'s work: what goes out comes back bit for bit, and nothing half-written is left."""

import json
import resource
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from cloze.checkpoint.conversion import convert
from cloze.checkpoint.folder import read_folder
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.checkpoint.training import KEY, description
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head
from cloze.model.bert import BertForPreTraining
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, vocabulary
from tests.checkpoint.folders import CONFIG, their_folder
from tests.tiny import VOCABULARY, shaken, tiny_config

CLASSES = [
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
]


def assert_same(first: Path, second: Path) -> None:
    one, two = read_pretrained(first), read_pretrained(second)
    assert one.state.keys() == two.state.keys()
    for name, tensor in one.state.items():
        assert torch.equal(tensor, two.state[name]), name
    assert one.config == two.config
    assert vocabulary(one.tokenizer) == vocabulary(two.tokenizer)
    text = "The Cab, déjà vu 中"
    assert one.tokenizer.encode(text).ids == two.tokenizer.encode(text).ids


@pytest.mark.parametrize("name", CLASSES)
def test_to_google_and_back(tmp_path: Path, name: str) -> None:
    theirs = their_folder(name, tmp_path / "hf", num_hidden_layers=1)
    convert(tmp_path / "hf", tmp_path / "google", "google")
    files = {file.name for file in (tmp_path / "google").iterdir()}
    assert files == {
        "bert_config.json", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001", "vocab.txt"
    }  # fmt: skip
    assert_same(tmp_path / "hf", tmp_path / "google")
    convert(tmp_path / "google", tmp_path / "again")
    assert_same(tmp_path / "hf", tmp_path / "again")
    again, info = getattr(transformers, name).from_pretrained(tmp_path / "again", output_loading_info=True)
    assert not any(info.values()), info
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_the_shared_checkpoint_of_google_s(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "checkpoints" / "google_tf_tiny"
    done = convert(source, tmp_path / "hf")
    assert "TensorFlow checkpoint" in done.read
    assert_same(source, tmp_path / "hf")
    assert transformers.AutoModelForPreTraining.from_pretrained(tmp_path / "hf").config.num_hidden_layers == 2


def test_a_missing_shard_of_google_s_is_one_sentence(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.data-00000-of-00001"):
        convert(shared_data / "checkpoints" / "google_uncased_L-8_H-512_A-8_index_only", tmp_path / "hf")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_written_is_what_transformers_would_have_written(tmp_path: Path, name: str) -> None:
    """From an old pickle, with its settings, to a folder that `transformers` loads whole."""
    theirs = their_folder(name, tmp_path / "old", num_hidden_layers=1, classifier_dropout=0.3)
    torch.save(load_file(tmp_path / "old/model.safetensors"), tmp_path / "old/pytorch_model.bin")
    (tmp_path / "old/model.safetensors").unlink()
    done = convert(tmp_path / "old", tmp_path / "new")
    assert done.read.startswith(f"{tmp_path / 'old'}: {name}: encoder")
    assert "model.safetensors" in done.written
    again, info = getattr(transformers, name).from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(info.values()), info
    assert again.config.architectures == [name]
    assert again.config.classifier_dropout == 0.3
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


def test_labels_are_kept(tmp_path: Path) -> None:
    their_folder("BertForTokenClassification", tmp_path / "a", id2label={0: "O", 1: "B-X"}, label2id={"O": 0, "B-X": 1})
    convert(tmp_path / "a", tmp_path / "b")
    assert read_pretrained(tmp_path / "b").labels == ["O", "B-X"]


def test_half_precision_becomes_full_and_extra_tensors_are_told(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path / "a")
    tensors = {name: tensor.half() for name, tensor in load_file(tmp_path / "a/model.safetensors").items()}
    save_file({**tensors, "crf.weight": torch.ones(1)}, tmp_path / "a/model.safetensors")
    done = convert(tmp_path / "a", tmp_path / "b")
    assert "1 that are no part of a BERT left out (crf.weight, ...)" in done.read
    assert {tensor.dtype for tensor in load_file(tmp_path / "b/model.safetensors").values()} == {torch.float32}
    assert json.loads((tmp_path / "b/config.json").read_text())["dtype"] == "float32"
    assert_same(tmp_path / "a", tmp_path / "b")


def test_a_head_of_our_own_is_copied_and_has_no_place_in_google_s_format(tmp_path: Path) -> None:
    head: Head = "token_classification"
    tokenizer = build_tokenizer(VOCABULARY)
    adaptation = Adaptation(layers="concat_last_4")
    model = task_model(head, Pretrained(config=CONFIG, tokenizer=tokenizer), labels=["O", "X"], adaptation=adaptation)
    shaken(model)
    save_task_model(model, tokenizer, tmp_path / "a", head=head, labels=["O", "X"])
    convert(tmp_path / "a", tmp_path / "b")
    assert_same(tmp_path / "a", tmp_path / "b")
    assert read_pretrained(tmp_path / "b").adaptation == adaptation
    with pytest.raises(InputError, match=r"has a head of its own \(cloze\.json\), which has no place in Google's"):
        convert(tmp_path / "a", tmp_path / "c", "google")
    assert not (tmp_path / "c").exists()


def test_the_class_is_told_by_the_heads_where_nothing_else_tells_it(tmp_path: Path) -> None:
    their_folder("BertForMaskedLM", tmp_path / "a")
    settings = json.loads((tmp_path / "a/config.json").read_text())
    del settings["architectures"]
    (tmp_path / "a/config.json").write_text(json.dumps(settings))
    convert(tmp_path / "a", tmp_path / "b")
    assert read_folder(tmp_path / "b").settings["architectures"] == ["BertForMaskedLM"]


@pytest.mark.parametrize("target", ["hf", "google"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, target: str) -> None:
    their_folder("BertModel", tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match=r"b exists already: give another folder, or remove it"):
        convert(tmp_path / "a", tmp_path / "b", target)  # type: ignore[arg-type]
    assert not any((tmp_path / "b").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"to=.*file/c cannot be written"):
        convert(tmp_path / "a", tmp_path / "file" / "c", target)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["hf", "google"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, target: str) -> None:
    their_folder("BertModel", tmp_path / "a", num_hidden_layers=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # writing more fails, as on a full disk
    try:
        with pytest.raises(InputError, match=r"to=.*b cannot be written .*: nothing is left there"):
            convert(tmp_path / "a", tmp_path / "b", target)  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_checkpoint_becomes_no_larger_than_its_tensors(tmp_path: Path) -> None:
    vocabulary = [*SPECIAL_TOKENS, "a"]
    shape = tiny_config(len(vocabulary))
    model = BertForPreTraining(shape)
    told = description(model, build_tokenizer(vocabulary), head="pretraining")
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    file = tmp_path / "step-00000001.ckpt"
    torch.save({KEY: told, "state_dict": state}, file)
    convert(file, tmp_path / "good")
    assert read_pretrained(tmp_path / "good").config == shape
    torch.save({KEY: told | {"architecture": "BertForPreTraining"}, "state_dict": state}, file)  # as earlier versions
    convert(file, tmp_path / "earlier")
    assert read_pretrained(tmp_path / "earlier").head == "pretraining"

    torch.save({KEY: told | {"config": told["config"] | {"vocab_size": 2**31 - 1}}, "state_dict": state}, file)
    with pytest.raises(InputError, match="its model is not the one that it describes"):  # and not 64 GiB
        convert(file, tmp_path / "large")
    for odd in (torch.eye(8).to_sparse(), torch.empty(8, 8, device="meta")):
        torch.save({KEY: told, "state_dict": state | {"model.odd": odd}}, file)
        with pytest.raises(InputError, match=r"model\.odd is a (sparse|meta) tensor"):
            convert(file, tmp_path / "odd")

    torch.save({KEY: told, "state_dict": state | {"model.odd": torch.zeros(1 << 25)}}, tmp_path / "stored")
    with (
        zipfile.ZipFile(tmp_path / "stored") as stored,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in stored.namelist():
            deflated.writestr(name, stored.read(name))
    with pytest.raises(InputError, match="expands to more than 250 times"):
        convert(file, tmp_path / "compressed")
    assert {path.name for path in tmp_path.iterdir()} == {file.name, "good", "earlier", "stored"}


@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForQuestionAnswering"])
def test_the_mean_of_several_models(tmp_path: Path, name: str) -> None:
    for number in range(3):
        their_folder(name, tmp_path / str(number), num_hidden_layers=1)
        file = tmp_path / str(number) / "model.safetensors"
        shifted = {key: tensor + number**2 * torch.rand_like(tensor) for key, tensor in load_file(file).items()}
        save_file(shifted, file, {"format": "pt"})
    folders = [str(tmp_path / str(number)) for number in range(3)]
    done = convert(folders, tmp_path / "mean")
    assert f"mean of {', '.join(folders)}: " in done.read
    models = [
        getattr(transformers, name).from_pretrained(folder).state_dict() for folder in (*folders, tmp_path / "mean")
    ]
    *states, mean = models
    assert not torch.equal(*(state["bert.encoder.layer.0.output.dense.weight"] for state in states[:2]))
    for key, tensor in mean.items():
        expected = torch.stack([state[key].double() for state in states]).mean(0).float()
        torch.testing.assert_close(tensor, expected, atol=1e-7, rtol=1e-6)


def test_the_mean_of_one_model_is_the_model_with_heads_of_its_own(tmp_path: Path) -> None:
    """Also under a name of its own, as of a checkpoint."""
    their_folder("BertForMaskedLM", tmp_path / "a", num_hidden_layers=1)
    own = {"own_head.weight": torch.randn(3, 2)}
    save_file(own, tmp_path / "a/head.safetensors")
    save_file({"own_head.weight": own["own_head.weight"] + 2}, tmp_path / "b.safetensors")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.move(tmp_path / "b.safetensors", tmp_path / "b/head.safetensors")
    convert([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "mean")
    assert_same(tmp_path / "a", tmp_path / "mean")
    torch.testing.assert_close(
        load_file(tmp_path / "mean/head.safetensors")["own_head.weight"], own["own_head.weight"] + 1
    )


def test_what_has_no_mean_is_refused(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path / "a", num_hidden_layers=1)
    their_folder("BertModel", tmp_path / "deeper", num_hidden_layers=2)
    their_folder("BertForMaskedLM", tmp_path / "headed", num_hidden_layers=1)
    shutil.copytree(tmp_path / "a", tmp_path / "other")
    for file in (tmp_path / "other/vocab.txt", tmp_path / "other/tokenizer.json"):
        file.write_text(file.read_text(encoding="utf-8").replace("the", "tho"), encoding="utf-8")
    faults = {
        "deeper": "config.json differ in num_hidden_layers", "headed": "config.json differ in architectures",
        "other": "tokenizers differ",
    }  # fmt: skip
    for other, fault in faults.items():
        with pytest.raises(InputError, match=f"a and .*{other} have no mean: their {fault}"):
            convert([str(tmp_path / "a"), str(tmp_path / other)], tmp_path / "mean")
    with pytest.raises(InputError, match="names no model"):
        convert([], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
