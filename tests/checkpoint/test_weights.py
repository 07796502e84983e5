"""Weights in every form that BERTs were published in, and what is refused."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from cloze.checkpoint.folder import read_folder
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.weights import read_tensors, read_weights
from cloze.errors import InputError
from cloze.model.families.bert import NAMES
from tests.checkpoint.folders import their_config, their_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    their_folder("BertForPreTraining", tmp_path)
    return tmp_path


@pytest.fixture
def expected(folder: Path) -> dict[str, Tensor]:
    return read_pretrained(folder).state


def is_same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in state)


def shard(folder: Path, save: Callable[[dict[str, Tensor], Path], object], kind: str) -> list[Path]:
    """Cut model.safetensors into three files with an index, as `transformers` names them."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stem, suffix = ("pytorch_model", "bin") if kind == "bin" else ("model", "safetensors")
    files = [folder / f"{stem}-0000{number}-of-00003.{suffix}" for number in (1, 2, 3)]
    places = {name: files[number % 3].name for number, name in enumerate(sorted(tensors))}
    for file in files:
        save({name: tensor for name, tensor in tensors.items() if places[name] == file.name}, file)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return files


def test_shards_that_transformers_wrote(folder: Path, expected: dict[str, Tensor], tmp_path: Path) -> None:
    theirs = transformers.BertForPreTraining.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    theirs.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert is_same(read_pretrained(folder).state, expected)


def test_pickled_shards(folder: Path, expected: dict[str, Tensor]) -> None:
    files = shard(folder, torch.save, "bin")
    assert is_same(read_pretrained(folder).state, expected)
    files[1].unlink()
    with pytest.raises(InputError, match=r"model-00002-of-00003\.bin is missing, but pytorch_model\.bin\.index\.json"):
        read_weights(folder)
    torch.save({}, files[1])
    with pytest.raises(
        InputError, match=r"00002-of-00003\.bin has no '.*', which pytorch_model\.bin\.index\.json sees"
    ):
        read_weights(folder)


@pytest.mark.parametrize("places", [{"x": "../secret.bin"}, {}, [], {"x": "/etc/passwd"}])
def test_an_index_reads_nothing_elsewhere(tmp_path: Path, places: object) -> None:
    torch.save({"x": torch.ones(1)}, tmp_path / "secret.bin")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(InputError, match=r"index\.json is damaged"):
        read_weights(tmp_path / "m")


@pytest.mark.parametrize("how", ["zip", "legacy", "protocol 2", "whole module"])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path, how: str) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    file = tmp_path / "pytorch_model.bin"
    content = torch.nn.Linear(1, 1) if how == "whole module" else {"bert.x": torch.ones(2), "y": Code()}
    if how == "protocol 2":
        file.write_bytes(pickle.dumps({"y": Code()}, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how != "legacy")
    with pytest.raises(InputError, match=r"pytorch_model\.bin would run code when it is read \((posix\.system|torch)"):
        read_tensors(file)
    assert not (tmp_path / "ran").exists()
    if how == "zip":  # the payload is a real one
        torch.load(file, weights_only=False)
        assert (tmp_path / "ran").exists()


@given(cut=st.integers(0, 3000), place=st.integers(0, 3000), flip=st.integers(1, 255))
def test_a_damaged_pickle_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int, place: int, flip: int
) -> None:
    file = tmp_path_factory.mktemp("damaged") / "pytorch_model.bin"
    torch.save({"x": torch.arange(8.0)}, file)
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= flip
    for damaged in (bytes(content), bytes(content[: cut % len(content)])):
        file.write_bytes(damaged)
        try:
            read_tensors(file)
        except InputError as error:
            assert "pytorch_model.bin " in str(error)  # noqa: PT017


@pytest.mark.filterwarnings("ignore")  # torch's, about kinds of tensors that are not finished
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: torch.eye(3).to_sparse(), "x is a sparse tensor"),
        (lambda: torch.eye(3).to_sparse_csr(), "x is a sparse tensor"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "x is a quantised tensor"),
        (lambda: torch.empty(3, device="meta"), "x is a meta tensor"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "x is a nested tensor"),
        (lambda: torch.ones(2, dtype=torch.complex64), "x is a complex64 tensor"),
        (lambda: torch.ones(1).expand(10**6, 10**6), r"x has the shape \(1000000, 1000000\), but the file holds fewer"),
    ],
)
def test_what_a_pickle_holds_and_is_no_weight_is_named(make: Callable[[], Tensor], reason: str, tmp_path: Path) -> None:
    torch.save({"x": make()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=rf"pytorch_model\.bin: {reason}"):
        read_weights(tmp_path)


def test_an_archive_that_expands_out_of_proportion_is_refused(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1 << 25)}, tmp_path / "stored.bin")
    with (
        zipfile.ZipFile(tmp_path / "stored.bin") as stored,
        zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in stored.namelist():
            deflated.writestr(name, stored.read(name))
    with pytest.raises(InputError, match=r"pytorch_model\.bin: it expands to more than 250 times"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("num_hidden_layers", 10**9, "num_hidden_layers=1000000000: it must be at most 4,096"),
        ("vocab_size", 10**30, "it must be at most 2,147,483,647"),
        ("max_position_embeddings", 2**63, "it must be at most 2,147,483,647"),
        ("hidden_size", 8.5, "hidden_size is 8.5, but must be a whole number"),
        ("layer_norm_eps", 10**400, "layer_norm_eps=1000"),
        ("initializer_range", float("nan"), "initializer_range=nan: it must be from 0 to 1"),
        ("architectures", [["x"]], "architectures is .* but must be a list of names"),
        ("architectures", {"a": 1}, "architectures is .* but must be a list of names"),
    ],
)
def test_a_shape_is_not_believed_whatever_it_says(folder: Path, key: str, value: object, reason: str) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {key: value}))
    with pytest.raises(InputError, match=rf"config\.json.*{reason}"):
        read_pretrained(folder)


def test_whole_numbers_may_be_written_as_other_languages_do(folder: Path, expected: dict[str, Tensor]) -> None:
    settings = json.loads((folder / "config.json").read_text())
    floats = {key: float(value) if type(value) is int else value for key, value in settings.items()}
    assert "hidden_size" in floats
    (folder / "config.json").write_text(json.dumps(floats))
    pretrained = read_pretrained(folder)
    assert is_same(pretrained.state, expected)
    assert isinstance(pretrained.config.hidden_size, int)


def test_what_other_libraries_wrote_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "tf_model.h5")
    with pytest.raises(InputError, match=r"holds tf_model\.h5, which is not read: put model\.safetensors"):
        read_pretrained(folder)


def test_three_files_as_google_released_them_for_pytorch(folder: Path, expected: dict[str, Tensor]) -> None:
    """bert_config.json, pytorch_model.bin, vocab.txt: no model_type, no tokenizer.json, the decoder written out."""
    tensors = load_file(folder / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    settings = json.loads((folder / "config.json").read_text())
    google = {name: settings[name] for name in settings if name not in ("model_type", "architectures")}
    (folder / "bert_config.json").write_text(json.dumps(google))
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    pretrained = read_pretrained(folder)
    assert is_same(pretrained.state, expected)
    assert read_folder(folder).unknown == []
    assert pretrained.tokenizer.encode("The CAB").tokens == ["[CLS]", "the", "c", "##a", "##b", "[SEP]"]
    assert pretrained.told() == "BERT: encoder, pooler, masked_lm_head, next_sentence_head"


def test_case_is_told_by_the_vocabulary_where_nothing_else_tells_it(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    pieces = (folder / "vocab.txt").read_text().splitlines()
    (folder / "vocab.txt").write_text("\n".join([*pieces[:-2], "The", "C"]) + "\n")
    assert read_pretrained(folder).tokenizer.encode("The C").tokens == ["[CLS]", "The", "C", "[SEP]"]
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    tokens = ["[CLS]", "t", "##h", "##e", "c", "[SEP]"]
    assert read_pretrained(folder).tokenizer.encode("The C").tokens == tokens


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("BertModel", "BertModel: encoder, pooler; no masked_lm_head, no next_sentence_head"),
        ("BertForMaskedLM", "BertForMaskedLM: encoder, masked_lm_head; no pooler, no next_sentence_head"),
        (
            "BertForNextSentencePrediction",
            "BertForNextSentencePrediction: encoder, pooler, next_sentence_head; no masked_lm_head",
        ),
        (
            "BertForTokenClassification",
            "BertForTokenClassification: encoder, classifier; no pooler, no masked_lm_head, no next_sentence_head",
        ),
    ],
)
def test_what_is_there_and_what_is_not_is_one_line(tmp_path: Path, name: str, told: str) -> None:
    their_folder(name, tmp_path)
    assert read_pretrained(tmp_path).told() == told


def test_half_a_head_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["cls.predictions.transform.dense.bias"]
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no 'cls\.predictions\.transform\.dense\.bias': .* the masked_lm_head$"):
        read_pretrained(folder)


def test_a_decoder_that_is_not_tied_is_no_masked_lm_head(tmp_path: Path) -> None:
    their_folder("BertForMaskedLM", tmp_path, tie_word_embeddings=False)
    pretrained = read_pretrained(tmp_path)
    assert pretrained.parts == ("encoder",)
    assert "no masked_lm_head" in pretrained.told()


def test_tensors_of_others_are_counted(folder: Path, expected: dict[str, Tensor]) -> None:
    tensors = load_file(folder / "model.safetensors") | {"crf.transitions": torch.ones(2)}
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert read_folder(folder).unknown == ["crf.transitions"]
    assert is_same(read_pretrained(folder).state, expected)


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path, vocab_size=58 + 127)  # rounded up
    assert read_pretrained(tmp_path).config.vocab_size == 185
    their_folder("BertModel", tmp_path, vocab_size=58 + 128)
    with pytest.raises(InputError, match=r"its tokenizer has ids up to 57 only, but its model 186 embeddings"):
        read_pretrained(tmp_path)


WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
HOLDERS = ("model", "net", "encoder", "bert", "backbone", "bert_model", "transformer")


@given(
    outer=st.lists(st.sampled_from([*WRAPPERS, *HOLDERS]), max_size=3),
    inside=st.sampled_from(["", *WRAPPERS]),
    bare=st.booleans(),
    head=st.sampled_from(["next to", "outside"]),
)
def test_modules_around_a_model_leave_only_their_names(
    outer: list[str], inside: str, bare: bool, head: Literal["next to", "outside"]
) -> None:
    names = [
        f"{name}.weight" for name in ("embeddings.word_embeddings", "encoder.layer.0.output.dense", "pooler.dense")
    ]
    heads = ["cls.predictions.bias", "classifier.weight"]
    expected = {**{f"bert.{name}": torch.ones(1) for name in names}, **{name: torch.ones(1) for name in heads}}
    around = "".join(f"{word}." for word in outer)

    def wrapped(name: str) -> str:
        first, _, rest = name.partition(".")
        return f"{first}.{inside}.{rest}" if inside else name

    holders = [word for word in outer if word in HOLDERS]
    theirs = {around + ("" if bare else "bert.") + wrapped(name): torch.ones(1) for name in names}
    beside = around
    if bare and holders:  # the encoder itself is the last of them
        words = outer[: len(outer) - 1 - outer[::-1].index(holders[-1])]
        beside = "".join(f"{word}." for word in words)
    theirs |= {(beside if head == "next to" else "") + name: torch.ones(1) for name in heads}
    assert NAMES.present_spelling(theirs).keys() == expected.keys()


@pytest.mark.parametrize(
    "around", ["_orig_mod.{}", "module._orig_mod.{}", "_forward_module.model.{}", "net._fsdp_wrapped_module.{}"]
)
def test_a_compiled_or_sharded_model_as_it_was_saved(folder: Path, expected: dict[str, Tensor], around: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({around.format(name): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    assert is_same(read_pretrained(folder).state, expected)
    (folder / "model.safetensors").unlink()
    state = {around.format(name): tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer_states": [{}]}, folder / "pytorch_model.bin")
    assert is_same(read_pretrained(folder).state, expected)


def test_several_models_in_one_file_are_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    for one, two in (("student.", "teacher."), ("", "teacher."), ("module.", "")):
        both = {f"{around}{name}": tensor.clone() for name, tensor in tensors.items() for around in (one, two)}
        save_file(both, folder / "model.safetensors")
        with pytest.raises(InputError, match=r"model\.safetensors holds several encoders \(.*bert.*\): save the one"):
            read_pretrained(folder)
    twice = {f"net.{name}": tensor for name, tensor in tensors.items()}
    save_file({**twice, "cls.predictions.bias": twice["net.cls.predictions.bias"] + 1}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"holds a head twice"):
        read_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"model": tensors, "ema": tensors, "step": 3}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin holds several models \(model, ema\)"):
        read_pretrained(folder)


def test_configurations_of_others_are_named(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    for changes, sentence in (
        (
            {"model_type": "distilbert"},
            "is 'distilbert', but only bert, electra, eurobert, modernbert and nomic_bert are read",
        ),
        ({"vocab_size": None, "architectures": ["T5Model"], "model_type": "t5"}, "model_type is 't5'"),
    ):
        (folder / "config.json").write_text(json.dumps(settings | changes))
        with pytest.raises(InputError, match=sentence):
            read_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"_from": "sentence_bert", "model_type": "bert"}))
    with pytest.raises(InputError, match=r"describes no encoder: it has no vocab_size"):
        read_pretrained(folder)


def test_every_name_of_theirs_is_known() -> None:
    for name in ("BertForPreTraining", "BertForSequenceClassification", "BertForQuestionAnswering"):
        theirs = getattr(transformers, name)(their_config()).state_dict()
        assert [spelt for spelt in NAMES.present_spelling(dict(theirs)) if not NAMES.is_known(spelt)] == []
    assert not NAMES.is_known("bert.encoder.layer.0.attention.self.distance_embedding.weight")
