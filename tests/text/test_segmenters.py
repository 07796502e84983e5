"""Words that a segmenter finds: in the tokens, in the shards, and in the masks."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.masking import Vocabulary
from cloze.errors import InputError
from cloze.text.bert_rules import SPECIAL_TOKENS, build_tokenizer
from cloze.text.characters import Characters
from cloze.text.prepare import Preparation
from cloze.text.segmenters import Words, _ends, check_words, continuations
from cloze.text.sentences import Lines
from cloze.text.shards import joined, read_shard, write_shard
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece, load_tokenizer
from tests.data.corpora import prose, shard_of
from tests.data.pretraining.test_masking import VOCABULARY, batch_of

CHINESE = "使用语言模型来预测下一个词的概率。"
THAI = "ภาษาไทยไม่มีช่องว่างระหว่างคำ"
PACKAGES = {"jieba": "jieba", "icu": "icu4py"}


def segmented(words: str) -> str:
    pytest.importorskip(PACKAGES[words])
    return words


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ("jieba", CHINESE, "使用 语言 模型 来 预测 下 一个 词 的 概率 。"),
        ("icu", CHINESE, "使用 语言 模型 来 预测 下 一个 词 的 概率 。"),
        ("icu", THAI, "ภาษา ไทย ไม่มี ช่อง ว่าง ระหว่าง คำ"),
        ("icu", "吾輩は猫である。", "吾輩 は 猫 で ある 。"),
        ("icu", "a 😀漢字 b", "a 😀 漢字 b"),
    ],
)
def test_characters_begin_words_where_the_segmenter_does(words: str, text: str, expected: str) -> None:
    tokenizer = Characters(normalization="none").train([text])
    continues = continuations(tokenizer, text, segmented(words))
    tokens = tokenizer.encode(text, add_special_tokens=False).tokens
    assert len(continues) == len(tokens)
    begins = np.flatnonzero(~continues)
    found = ["".join(tokens[a:b]) for a, b in pairwise([*begins, len(tokens)])]
    assert [word for word in found if word.strip()] == expected.split()


@given(st.text("使用语言 模型ab。é\u0301😀", max_size=20))
@settings(max_examples=60)
def test_a_token_is_of_the_word_of_its_first_character(text: str) -> None:
    """Against the plain statement, for WordPiece, which lets characters go and adds marks."""
    segmented("icu")
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, *"使用语言模型。ab😀e", "##a", "##b", "##ab"])
    encoding = tokenizer.encode(text, add_special_tokens=False)
    ends = list(_ends("icu")(text))
    assert ends[-1:] == ([len(text)] if text else [])
    word = [sum(end <= begin for end in ends) for begin, _ in encoding.offsets]
    assert continuations(tokenizer, text, "icu").tolist() == [
        i > 0 and word[i] == word[i - 1] for i in range(len(word))
    ]


def test_in_shards_each_token_keeps_its_mark(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    documents = []
    for length in (1, 7, 8, 9, 300):
        continues = numbers.random(length) < 0.5
        documents.append((numbers.integers(0, 99, length, np.uint16), np.array([length], np.int32), continues))
    write_shard(tmp_path / "a.arrow", documents, 100)
    shard = read_shard(tmp_path / "a.arrow")
    assert shard.continues is not None
    assert shard.continues.tolist() == np.concatenate([marks for _, _, marks in documents]).tolist()
    assert joined([shard, shard]).continues.tolist() == [*shard.continues, *shard.continues]  # type: ignore[union-attr]


@pytest.mark.parametrize("masking", ["whole_word", "span"])
def test_marks_that_are_the_tokens_own_give_the_same_masks(masking: str) -> None:
    shard, objective = shard_of(prose(60)), MaskedLM(masking=masking)
    plain, _ = batch_of(shard, objective)
    marked = shard._replace(continues=VOCABULARY.continues[shard.tokens])
    same, _ = batch_of(marked, objective, pieces=VOCABULARY._replace(continues=~VOCABULARY.continues))
    assert same.masked_positions.tolist() == plain.masked_positions.tolist()


def preparation(text: str, folder: Path, words: Words, **settings: object) -> Preparation:
    (folder / "a.txt").write_text(text, encoding="utf-8")
    defaults = {"tokenizer": WordPiece(vocab_size=100), "heldout_fraction": 0.0, "workers": 0}
    return Preparation(
        source=TextFiles(files=str(folder / "a.txt")),
        sentences=Lines(),
        words=words,
        **{**defaults, **settings},  # type: ignore[arg-type]
    )


def test_a_corpus_of_chinese_with_its_words(tmp_path: Path) -> None:
    """Each token of a shard, also where repeated lines are removed, has the mark that its sentence gives it."""
    words = segmented("jieba")
    text = "\n\n".join(f"{CHINESE}\n我爱北京天安门{i}。\n{CHINESE}" for i in range(8))
    corpus = tmp_path / "corpus"
    preparation(text, tmp_path, "jieba", duplicates="remove", heldout_fraction=0.3).run(corpus)
    tokenizer = load_tokenizer(corpus / "tokenizer")
    found = joined([read_shard(path) for path in sorted(corpus.glob("*-*.arrow"))])
    expected = {
        (*tokenizer.encode(line, add_special_tokens=False).ids,): continuations(tokenizer, line, words).tolist()
        for line in text.split("\n")
    }
    assert found.continues is not None
    for first, last in pairwise(found.sentence_offsets):
        assert found.continues[first:last].tolist() == expected[(*found.tokens[first:last].tolist(),)]
    assert (corpus / "train-00000.arrow").exists()
    assert (corpus / "heldout-00000.arrow").exists()
    with pytest.raises(InputError, match="prepared otherwise"):
        preparation(text, tmp_path, "tokenizer", duplicates="remove", heldout_fraction=0.3).run(corpus)


def test_whole_words_of_chinese_are_masked_whole(tmp_path: Path) -> None:
    segmented("jieba")
    corpus = tmp_path / "corpus"
    preparation("\n".join([CHINESE] * 40), tmp_path, "jieba").run(corpus)
    shard = read_shard(corpus / "train-00000.arrow")
    size = load_tokenizer(corpus / "tokenizer").get_vocab_size()
    pieces = Vocabulary(size, 2, 3, 4, 0, np.zeros(size, np.bool_))
    objective = MaskedLM(masking="whole_word", pairs="none", max_length=64, mask_rate=0.3)
    batch, plan = batch_of(shard, objective, pieces=pieces)
    masked = np.zeros(len(batch.packed.input_ids), bool)
    masked[batch.masked_positions.numpy()] = True
    assert shard.continues is not None
    several = 0
    for begin, row in zip(batch.packed.cu_seqlens.tolist(), plan.rows.tolist(), strict=False):
        marks = shard.continues[row[0] : row[0] + row[1]].copy()
        marks[0] = False
        own = masked[begin + 1 : begin + 1 + row[1]]
        for first, last in pairwise([*np.flatnonzero(~marks), len(marks)]):
            assert own[first:last].all() or not own[first:last].any()
            several += last - first > 1 and bool(own[first])
    assert several > 20


def test_a_segmenter_that_is_missing_or_unknown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"preparation.words=mecab: expected one of tokenizer, jieba, icu"):
        check_words("mecab")
    _ends.cache_clear()
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    with pytest.raises(InputError, match=r"needs the package icu4py, which is not installed: pip install .*words"):
        check_words("icu")
