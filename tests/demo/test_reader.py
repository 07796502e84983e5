"""What the page asks the model for, without the page."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from cloze.api import load
from cloze.checkpoint.pretrained import read_pretrained
from cloze.data.tables.row_examples import ExampleMaker
from cloze.demo.reader import MOST_DRAWN, Reader
from cloze.inference.predictor import Inference
from tests.demo.world import pretrained_folder, task_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained_folder(tmp_path_factory.mktemp("demo") / "model")


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return Reader(read_pretrained(folder), Inference(), top_k=3)


def test_vectors_are_the_mean_of_the_last_layer(reader: Reader, folder: Path) -> None:
    texts = ["the cat sat", "dog", "the cat sat", "北 ran?"]
    found = reader.vectors(texts)
    ready = load(folder)
    for text, vector in zip(texts, found, strict=True):
        with torch.no_grad():
            packed = ready.pack([text])
            mean = ready.encoder(packed).mean(0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)


def test_attention_reads_all_and_draws_a_part(reader: Reader) -> None:
    found = reader.attention("the cat " * 10, "a dog ran")
    assert found.pieces == ["[CLS]", *["the", "cat"] * 10, "[SEP]", "a", "dog", "ran", "[SEP]"]
    assert found.segments == [0] * 22 + [1] * 4
    assert [m.shape for m in found.maps] == [(4, 26, 26)] * 2
    assert not found.notes
    long = reader.attention("cat " * 200)
    assert len(long.pieces) == min(64, MOST_DRAWN)
    assert long.notes == ("The text has 202 tokens; the model reads the first 64.",)
    pair = reader.attention("cat " * 200, "dog " * 3)
    assert pair.pieces[-5:] == ["[SEP]", "dog", "dog", "dog", "[SEP]"]
    assert len(pair.pieces) == 64


def test_many_at_once_get_their_own_answers(reader: Reader) -> None:
    """The predictors switch the tokenizer to and fro: without the lock, masks of some are read as text."""
    texts = [f"{'the cat ' * (n % 7)}[MASK] {'dog ' * (n % 5)}" for n in range(40)]
    alone = [reader.predict("fill-mask", {"text": text}) for text in texts]
    pairs = [reader.predict("next-sentence", {"text": text, "text_pair": "[MASK] a"}) for text in texts]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            filled, judged, near, looks = [], [], [], []
            for number, text in enumerate(texts):
                filled.append(pool.submit(reader.predict, "fill-mask", {"text": text}))
                judged.append(pool.submit(reader.predict, "next-sentence", {"text": text, "text_pair": "[MASK] a"}))
                near.append(pool.submit(reader.vectors, [f"cat {number % 9}", "dog"]))
                looks.append(pool.submit(reader.attention, text))
        assert [one.result(timeout=120) for one in filled] == alone
        assert [one.result(timeout=120) for one in judged] == pairs
        assert all(one.result(timeout=120).shape == (2, 32) for one in near)
        assert [one.result(timeout=120).pieces.count("[MASK]") for one in looks] == [1] * len(texts)
    finally:
        sys.setswitchinterval(before)


def test_what_is_off_says_why(folder: Path, tmp_path: Path) -> None:
    tagger = Reader(read_pretrained(task_folder("entities", tmp_path / "ner")), Inference(), top_k=3)
    assert set(tagger.chosen) == {"task"}
    assert tagger.make is ExampleMaker.words
    assert tagger.off["fill-mask"].endswith("needs its masked_lm_head: give the folder of a pre-trained model")


def test_unknown_pieces_are_told(reader: Reader) -> None:
    assert reader.unknown("the cat [MASK]") == ()
    assert reader.unknown("the 😀 cat 東 [UNK]") == ("Not in the vocabulary, and read as [UNK]: 😀 東",)
    assert reader.knows("the cat")
    assert not reader.knows("東")
