"""Windows of tagged sentences."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cloze.batch import IGNORED_LABEL
from cloze.data.finetuning.conll import TaggedFiles
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.data.tables.examples import TaggedExample
from cloze.errors import InputError
from cloze.text.tokenizer import CLS, SEP, SPECIAL_TOKENS, UNK, build_tokenizer, read_vocabulary

LABELS = ["O", "B-PER", "I-PER"]


def letters() -> Tokenizer:
    """A tokenizer that makes a token of every letter."""
    return build_tokenizer([*SPECIAL_TOKENS, *"abcdefgh", *(f"##{letter}" for letter in "abcdefgh")])


def example(words: str, tags: str | None = None, document: int = 0) -> TaggedExample:
    given = tuple(words.split(" "))
    return TaggedExample(
        id="0", where="a.txt, line 7", words=given, document=document,
        tags=("O",) * len(given) if tags is None else tuple(tags.split()),
    )  # fmt: skip


def shown(item: Item, tokenizer: Tokenizer) -> str:
    return " ".join(str(tokenizer.id_to_token(number)) for number in item.sequences[0].input_ids)


def test_labels_are_at_first_pieces() -> None:
    tokenizer = letters()
    (item,) = TaggingFeatures(max_length=12).items([example("ab c dea", "B-PER I-PER O")], tokenizer, LABELS)
    assert shown(item, tokenizer) == "[CLS] a ##b c d ##e ##a [SEP]"
    ignored = IGNORED_LABEL
    assert item.labels.tolist() == [ignored, 1, ignored, 2, 0, ignored, ignored, ignored]
    assert item.origin.tolist() == [1, 3, 4]
    assert not item.sequences[0].token_type_ids.any()


def test_words_of_which_nothing_is_left() -> None:
    tokenizer, features = letters(), TaggingFeatures(max_length=12)
    (item,) = features.items([example("a \ufe0f b \x07", "O B-PER O O")], tokenizer, LABELS)
    assert shown(item, tokenizer) == f"[CLS] a {UNK} b {UNK} [SEP]"
    assert item.labels[1:-1].tolist() == [0, 1, 0, 0]
    assert features.counts == {"words without a visible character, shown as [UNK]": 2}


def test_special_tokens_in_the_text_are_special_as_in_transformers() -> None:
    tokenizer = letters()
    (item,) = TaggingFeatures(max_length=12).items([example("a [MASK] b")], tokenizer, LABELS)
    assert shown(item, tokenizer) == "[CLS] a [MASK] b [SEP]"


def test_unlabelled_sentences() -> None:
    words = ("ab", "c")
    (item,) = TaggingFeatures(max_length=12).items(
        [TaggedExample(id="0", where="", words=words, tags=None)], letters(), LABELS
    )
    assert (item.labels == IGNORED_LABEL).all()
    assert item.origin.tolist() == [1, 3]


def test_a_long_sentence_is_cut_between_words() -> None:
    tokenizer, features = letters(), TaggingFeatures(max_length=10)
    items = features.items([example("a b c d e f g h a b c d", "B-PER" + " O" * 11)], tokenizer, LABELS)
    # Of eight tokens an eighth on each side is for the neighbours, so six words are predicted in each.
    assert [shown(item, tokenizer) for item in items] == [
        "[CLS] a b c d e f g h [SEP]",
        "[CLS] e f g h a b c d [SEP]",
    ]
    assert [item.origin.tolist() for item in items] == [[1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8]]
    assert [item.example for item in items] == [0, 0]
    assert features.counts == {"sentences of more than 8 tokens, in several windows": 1}


def test_a_word_longer_than_a_window() -> None:
    tokenizer, features = letters(), TaggingFeatures(max_length=5)
    first, second, third = features.items([example("a abcdefgh b", "O B-PER O")], tokenizer, LABELS)
    assert shown(second, tokenizer) == "[CLS] a ##b ##c [SEP]"
    assert [item.origin.tolist() for item in (first, second, third)] == [[1], [1], [1]]
    assert features.counts["words truncated to 3 tokens"] == 1


def test_document_context() -> None:
    tokenizer = letters()
    sentences = [example("a b c d"), example("ef"), example("g h g h"), example("a", document=1)]
    windows = TaggingFeatures(max_length=10, document_context=True).items(sentences, tokenizer, LABELS)
    assert [shown(item, tokenizer) for item in windows] == [
        "[CLS] a b c d e ##f g h [SEP]",  # all on one side, where the other has nothing
        "[CLS] b c d e ##f g h g [SEP]",
        "[CLS] c d e ##f g h g h [SEP]",
        "[CLS] a [SEP]",
    ]
    assert [item.origin.tolist() for item in windows] == [[1, 2, 3, 4], [4], [5, 6, 7, 8], [1]]
    assert [(item.labels != IGNORED_LABEL).sum() for item in windows] == [4, 1, 4, 1]
    windows = TaggingFeatures(max_length=10, document_context=1).items(sentences, tokenizer, LABELS)
    assert [shown(item, tokenizer) for item in windows] == [
        "[CLS] a b c d [SEP]",  # the next word has two tokens
        "[CLS] d e ##f g [SEP]",
        "[CLS] g h g h [SEP]",
        "[CLS] a [SEP]",
    ]


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=9), min_size=1, max_size=12)


@given(
    st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=6),
    st.integers(3, 24),
    st.sampled_from([False, True, 2]),
)
def test_every_word_is_predicted_once(
    sentences: Sequence[tuple[list[str], bool]], max_length: int, context: bool | int
) -> None:
    tokenizer, capacity = letters(), max_length - 2
    numbers = np.cumsum([starts for _, starts in sentences])
    examples = [example(" ".join(words), document=int(n)) for (words, _), n in zip(sentences, numbers, strict=True)]
    items = TaggingFeatures(max_length=max_length, document_context=context).items(examples, tokenizer, LABELS)
    pieces = {
        number: [[tokenizer.token_to_id(p) for p in pieces_of(word, capacity)] for word in each.words]
        for number, each in enumerate(examples)
    }
    for number, windows in groupby(items, key=lambda item: item.example):
        words = pieces[number]
        document = [
            word for n, each in enumerate(examples) for word in pieces[n] if each.document == examples[number].document
        ]
        before = [n for n in range(number) if examples[n].document == examples[number].document]
        place = sum(len(pieces[n]) for n in before)
        region = document if context else words
        place = place if context else 0
        for item in windows:
            ids, rows = item.sequences[0].input_ids.tolist(), item.origin.tolist()
            assert len(ids) <= max_length
            assert (ids[0], ids[-1]) == (tokenizer.token_to_id(CLS), tokenizer.token_to_id(SEP))
            assert np.flatnonzero(item.labels != IGNORED_LABEL).tolist() == rows
            for row in rows:  # this word, the next to predict
                assert ids[row : row + len(region[place])] == region[place]
                place += 1
            predicted = region[place - len(rows) : place]
            # The whole window is words of the region, as many as fit.
            left = place - len(rows)
            size = rows[0] - 1
            while size:
                left -= 1
                size -= len(region[left])
            right, size = place, len(ids) - 1 - rows[-1] - len(predicted[-1])
            while size:
                size -= len(region[right])
                right += 1
            assert ids[1:-1] == sum(region[left:right], [])  # noqa: RUF017
            if context is True:
                assert right == len(region) or len(ids) - 2 + len(region[right]) > capacity
            if context == 2:
                assert rows[0] - 1 <= 2
                assert sum(map(len, region[place:right])) <= 2
        assert place == (sum(len(pieces[n]) for n in before) if context else 0) + len(words)
    assert {item.example for item in items} == set(range(len(examples)))


def pieces_of(word: str, most: int) -> list[str]:
    return [word[0], *(f"##{letter}" for letter in word[1:])][:most]


def test_labels() -> None:
    features = TaggingFeatures(max_length=8)
    sentences = [example("a b", "B-creative-work O"), example("a b", "B-PER I-PER"), example("a", "B-LOC")]
    assert features.labels(sentences) == [
        "O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-creative-work", "I-creative-work",
    ]  # fmt: skip
    words = [example("a b", "NOUN VERB"), example("a", "B-side")]
    assert features.labels(words) == ["B-side", "NOUN", "VERB"]
    assert features.labels([example("a b", "10 9")]) == ["9", "10"]
    with pytest.raises(InputError, match=r"task\.data\.train: every word has the tag '_'; set task\.data\.label"):
        features.labels([example("a b", "_ _")])
    with pytest.raises(InputError, match=r"task\.data\.train: has no entity.*task\.data\.label"):
        features.labels([example("a b")])
    with pytest.raises(
        InputError, match=r"a\.txt, line 7: has the tag 'B-LOC', but the model knows only O, B-PER, I-PER"
    ):
        features.items([example("a", "B-LOC")], letters(), LABELS)


def test_lengths() -> None:
    with pytest.raises(InputError, match=r"task\.max_length=2"):
        TaggingFeatures(max_length=2)
    with pytest.raises(InputError, match=r"document_context=-1"):
        TaggingFeatures(max_length=8, document_context=-1)


@pytest.mark.parametrize(
    ("files", "vocabulary"),
    [
        ("wnut17/wnut17train.conll", "bert-base-uncased"),
        ("wnut17/emerging.test.annotated", "bert-base-cased"),
        ("msra_zh/ymcui_peopledaily.zip/dev.txt", "bert-base-chinese"),
    ],
)
def test_the_tokenizers_own_alignment(shared_data: Path, files: str, vocabulary: str) -> None:
    """Hugging Face's recipe: words in one call, ``word_ids`` tell where each begins."""
    examples = TaggedFiles(train=str(shared_data / "ner" / files)).read("train")[:1500]
    vocab = read_vocabulary(shared_data / f"vocab/{vocabulary}-vocab.txt")
    tokenizer = build_tokenizer(vocab, lowercase=vocabulary != "bert-base-cased")
    features = TaggingFeatures(max_length=256)
    labels = features.labels(examples)
    items = features.items(examples, tokenizer, labels)
    compared = 0
    for each, item in zip(examples, items, strict=True):
        encoding = tokenizer.encode(list(each.words), is_pretokenized=True)
        if len({word for word in encoding.word_ids if word is not None}) < len(each.words):
            continue  # it forgets the words that it makes nothing of
        compared += 1
        last = None
        expected = []
        for word in encoding.word_ids:
            first = word is not None and word != last
            expected.append(labels.index((each.tags or ())[word or 0]) if first else IGNORED_LABEL)
            last = word
        assert item.sequences[0].input_ids.tolist() == encoding.ids
        assert item.labels.tolist() == expected
    assert compared > 0.98 * len(examples)


def test_every_word_of_msra_in_seconds(shared_data: Path) -> None:
    examples = TaggedFiles(train=str(shared_data / "ner/msra_zh/ymcui_peopledaily.zip/train.txt")).read("train")
    tokenizer = build_tokenizer(read_vocabulary(shared_data / "vocab/bert-base-chinese-vocab.txt"))
    features = TaggingFeatures(max_length=128)
    items = features.items(examples, tokenizer, features.labels(examples))
    assert len(items) == len(examples) == 50_658
    assert sum(int((item.labels != IGNORED_LABEL).sum()) for item in items) == 2_169_879
    # A character is a token, or [UNK].
    assert all(item.num_tokens == len(each.words) + 2 for item, each in zip(items, examples, strict=True))
