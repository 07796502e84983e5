"""`cloze.load`: an encoder, its tokenizer and its head, from any folder."""

import sys
from pathlib import Path

import pytest
import torch
import transformers

import cloze
from cloze.batch import TaskBatch
from cloze.errors import InputError
from cloze.model.heads import BertForPreTraining
from cloze.model.task_heads import SequenceClassifier
from tests import processes
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


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import cloze, sys; assert 'torch' not in sys.modules; assert callable(cloze.load)"
    processes.run([sys.executable, "-c", code], check=True)
