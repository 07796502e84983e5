"""`cloze.load`: an encoder, its tokenizer and its head, from any folder."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import cloze
from cloze.batch import TaskBatch
from cloze.errors import InputError
from cloze.model.bert import BertForPreTraining
from cloze.model.task_heads import SequenceClassifier
from tests import forks, processes
from tests.checkpoint.folders import CONFIG, their_folder

TEXTS: list[str | tuple[str, str]] = ["the cab", ("a bed", "the bad cab"), "", "abc def ghi"]


def test_the_five_lines_of_the_docstring(tmp_path: Path) -> None:
    theirs = their_folder("BertModel", tmp_path)
    bert = cloze.load(tmp_path)
    packed = bert.pack(["the cab", ("a bed", "the bad cab"), "abc"])
    with torch.inference_mode():
        vectors = bert.encoder(packed)
    texts = vectors.tensor_split(packed.cu_seqlens[1:-1].long())
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for ours, given in zip(texts, (("the cab",), ("a bed", "the bad cab"), ("abc",)), strict=True):
        with torch.inference_mode():
            expected = theirs(**tokenizer(*given, return_tensors="pt"))
        torch.testing.assert_close(ours, expected.last_hidden_state[0], atol=1e-5, rtol=0)
    assert bert.pooler is not None
    with torch.inference_mode():
        torch.testing.assert_close(bert.pooler(vectors, packed)[-1:], expected.pooler_output, atol=1e-5, rtol=0)
    assert bert.model is None
    assert bert.config == CONFIG
    assert not bert.encoder.training


def test_pretraining_heads_that_are_there_and_one_that_is_not(tmp_path: Path) -> None:
    theirs = their_folder("BertForMaskedLM", tmp_path)
    bert = cloze.load(tmp_path)
    packed = bert.pack(["the [MASK] cab"])
    assert isinstance(bert.model, BertForPreTraining)
    with torch.inference_mode():
        hidden = bert.encoder(packed)
        head = bert.model.masked_lm_head
        ours = head(hidden) @ bert.model.decoder_weight.T + head.decoder_bias
        torch.testing.assert_close(ours, theirs(packed.input_ids[None]).logits[0], atol=1e-4, rtol=0)
        with pytest.raises(InputError, match=r"holds no next_sentence_head \(BertForMaskedLM: encoder, masked_lm_head"):
            bert.model.next_sentence_head(hidden)
    assert bert.pooler is None
    assert bert.model.encoder is bert.encoder


def test_a_fine_tuned_head_with_its_labels(tmp_path: Path) -> None:
    theirs = their_folder("BertForSequenceClassification", tmp_path, id2label={0: "bad", 1: "good", 2: "odd"})
    bert = cloze.load(str(tmp_path))
    assert isinstance(bert.model, SequenceClassifier)
    assert bert.labels == ["bad", "good", "odd"]
    packed = bert.pack(["the cab"])
    with torch.inference_mode():
        ours = bert.model(TaskBatch(packed, torch.empty(0), torch.arange(1), len(packed.input_ids), 1))
        torch.testing.assert_close(ours, theirs(packed.input_ids[None]).logits, atol=1e-4, rtol=0)


def test_what_is_packed(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path)
    bert = cloze.load(tmp_path)
    packed = bert.pack(TEXTS)
    lengths = [len(encoding) for encoding in bert.tokenizer.encode_batch(TEXTS)]
    assert packed.cu_seqlens.diff().tolist() == lengths
    assert packed.max_seqlen == max(lengths)
    assert packed.position_ids.tolist() == [place for length in lengths for place in range(length)]
    second = packed.token_type_ids[lengths[0] : lengths[0] + lengths[1]]
    assert second.tolist() == [0] * 6 + [1] * 8
    assert bert.pack([]).cu_seqlens.tolist() == [0]
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than the 48 tokens that this model reaches"):
        cut = bert.pack(["a b " * 40, "a"])
    assert cut.cu_seqlens.tolist() == [0, 48, 51]
    assert cut.input_ids[47] == bert.tokenizer.token_to_id("[SEP]")
    assert len(bert.tokenizer.encode("a b " * 40)) == 82  # its own tokenizer still cuts nothing


def rows_of(*words: str, folder: Path) -> list[dict[str, Any]]:
    done = forks.run("cloze-predict", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_close(ours: Any, theirs: Any) -> bool:
    """Whether two predictions are the same, numbers up to rounding."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(is_close(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_close, ours, theirs))
    return bool(ours == pytest.approx(theirs, abs=1e-6))


def test_a_pretrained_model_predicts_as_the_command(tmp_path: Path) -> None:
    their_folder("BertForPreTraining", tmp_path / "m")
    (tmp_path / "run").mkdir()
    (tmp_path / "m").rename(tmp_path / "run" / "model")
    bert = cloze.load(tmp_path / "run")
    assert repr(bert) == f"<BertForPreTraining of {tmp_path}/run: 4 layers, 32 wide, 58 tokens>"
    model = "model=run/model"
    said = rows_of(model, "text=the [MASK]", "text=a [MASK] [MASK]", folder=tmp_path)
    assert is_close(bert.fill_mask(["the [MASK]", "a [MASK] [MASK]"]), said)
    assert is_close(bert.predict(["the [MASK]", "a [MASK] [MASK]"]), said)
    said = rows_of(model, "text=the [MASK]", "targets=[the,b]", folder=tmp_path)
    assert is_close(bert.fill_mask(iter(["the [MASK]"]), targets=["the", "b"]), said)
    said = rows_of(model, "task=next-sentence", "text=the cab", "text_pair=bad", folder=tmp_path)
    assert is_close(bert.predict([("the cab", "bad")], task="next-sentence"), said)
    with pytest.warns(UserWarning, match="1 texts truncated to 48 tokens"):
        bert.fill_mask(["[MASK] " + "a b " * 40])
    assert len(bert.tokenizer.encode("[MASK]", add_special_tokens=False)) == 1  # its own is not touched
    assert bert.predict([]) == []


@pytest.mark.parametrize(
    ("kind", "texts", "words"),
    [
        ("BertForSequenceClassification", ["a bad cab", ("a", "cab")], ["text=a bad cab"]),
        ("BertForTokenClassification", ["a bad cab", ["a", "cab"]], ["text=a bad cab"]),
        ("BertForTokenClassification", [{"text": "a bad cab"}], ["text=a bad cab"]),
        ("BertForQuestionAnswering", [("a bad", "cab bed fed")], ["text=a bad", "text_pair=cab bed fed"]),
        ("BertForMultipleChoice", [("a", ["cab", "bed"])], ["text=a", "text_pair=cab", "text_pair=bed"]),
    ],
)
def test_a_fine_tuned_model_predicts_as_the_command(
    tmp_path: Path, kind: str, texts: list[Any], words: list[str]
) -> None:
    their_folder(kind, tmp_path / "m", num_hidden_layers=1)
    bert = cloze.load(tmp_path / "m")
    said = bert.predict(texts)
    assert is_close(said[:1], rows_of("model=./m", *words, folder=tmp_path))
    assert len(said) == len(texts)
    with pytest.raises(InputError, match=f"holds a {kind}, but task=fill-mask needs its masked_lm_head"):
        bert.fill_mask(["[MASK]"])


def test_vectors_are_those_of_the_command(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path / "m", num_hidden_layers=2)
    bert = cloze.load(tmp_path / "m")
    texts = ["the cab", "", "a b " * 60, "abc def ghi"]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    for number, level in enumerate(("mean", "max", "cls", "pooler")):
        words = ["model=./m", "input=texts.jsonl", f"level={level}", f"output={number}.npy"]
        assert forks.run("cloze-features", *words, cwd=tmp_path).returncode == 0
        ours = bert.embed(texts, level=level)  # type: ignore[arg-type]
        assert ours.dtype == np.float32
        assert ours.shape == (4, 32)
        np.testing.assert_allclose(ours, np.load(tmp_path / f"{number}.npy"), atol=1e-5)
    every = bert.embed([("the", "cab"), "a"], layers="all")
    assert every.shape == (2, 3, 32)
    np.testing.assert_allclose(every[:, 2], bert.embed([("the", "cab"), "a"]), atol=1e-6)
    assert bert.embed([]).shape == (0, 32)


def test_one_sentence_for_what_cannot_be_done(tmp_path: Path) -> None:
    their_folder("BertForMaskedLM", tmp_path)
    bert: Any = cloze.load(tmp_path)
    for method in (bert.pack, bert.predict, bert.fill_mask, bert.embed):
        for bare in ("One text.", b"One text.", {"text": "a"}, 3):
            with pytest.raises(InputError, match=r"texts is .*, but must be a list: give \[\.\.\.\] around it"):
                method(bare)
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: bert.fill_mask(["[MASK]"], targets="the"), "targets is 'the', but must be a list"),
        (lambda: bert.fill_mask(["[MASK]"], targets=["cab"]), r"targets: 'cab' is 3 tokens \(c ##a ##b\)"),
        (lambda: bert.fill_mask(["[MASK]", "the"]), r"texts\[1\]: has no \[MASK\]; write it where"),
        (lambda: bert.predict(["a"], task="task"), "which is fine-tuned on no task"),
        (lambda: bert.predict(["a"], task="mask"), "task is 'mask', but must be one of fill-mask"),
        (lambda: bert.pack(["a", ("a", "b", "c")]), r"texts\[1\] is .*, but must be a text or a pair"),
        (lambda: bert.embed([None]), r"texts\[0\] is None, but must be a text or a pair"),
        (lambda: bert.embed(["a"], level="pooler"), "has no pooler; take level=cls or mean"),
        (lambda: bert.embed(["a"], level="words"), "level is 'words', but a text has one embedding with mean, max"),
        (lambda: bert.embed(["a"], layers=9), "layers=9: the model has the layers 0"),
        (lambda: bert.embed(["a"], max_length=99), "max_length=99: must be at most 48"),
        (lambda: bert.attention("a", heads=[(9, 0)]), r"heads has \(9, 0\), but must have pairs from \(0, 0\)"),
    ]
    for call, sentence in refused:
        with pytest.raises(InputError, match=sentence):
            call()


def test_attention_is_a_figure(tmp_path: Path) -> None:
    their_folder("BertModel", tmp_path)
    bert = cloze.load(tmp_path)
    figure = bert.attention(("the cab", "a"), heads=[(0, 1), (3, 2)])
    assert [axes.get_title() for axes in figure.axes] == ["layer 0, head 1", "layer 3, head 2"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][:3] == ["[CLS]", "the", "c"]
    np.testing.assert_allclose(figure.axes[1].images[0].get_array().sum(axis=1), 1, atol=1e-5)


def test_a_head_that_would_be_random_is_refused(tmp_path: Path) -> None:
    their_folder("BertForSequenceClassification", tmp_path, num_hidden_layers=1)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({name: t for name, t in tensors.items() if "pooler" not in name}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="its weights have no pooler, classifier; copy the folder again"):
        cloze.load(tmp_path)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import cloze, sys; assert 'torch' not in sys.modules; assert callable(cloze.load)"
    processes.run([sys.executable, "-c", code], check=True)
