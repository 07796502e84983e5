"""What is measured of a document, against plain statements of Rae et al. 2021 (appendix A1.1)."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.text.quality.measures import Measures, words_of

LINES = st.lists(
    st.lists(st.sampled_from(["a", "bb", "ccc", "dddd", "語"]), min_size=1, max_size=9).map(" ".join), max_size=6
)


def covered(words: list[str], size: int, chosen: set[tuple[str, ...]]) -> float:
    """Share of the characters of the words that are in a chosen sequence."""
    inside = [
        any(
            tuple(words[begin : begin + size]) in chosen and len(words[begin : begin + size]) == size
            for begin in range(max(0, at - size + 1), at + 1)
        )
        for at in range(len(words))
    ]
    return sum(len(word) for word, is_inside in zip(words, inside, strict=True) if is_inside) / len("".join(words))


@given(lines=LINES, size=st.integers(2, 6))
def test_repeated_sequences_of_words(lines: list[str], size: int) -> None:
    words = [word for line in lines for word in line.split()]
    counts = Counter(tuple(words[begin : begin + size]) for begin in range(len(words) - size + 1))
    repeated = {ngram for ngram, count in counts.items() if count > 1}
    measures = Measures(lines)
    expected = covered(words, size, repeated) if repeated else 0.0
    assert measures.duplicate_ngrams(size) == pytest.approx(expected)
    most = max(counts.values(), default=0)
    longest = max((len("".join(ngram)) for ngram in counts if counts[ngram] == most), default=0)
    top = [ngram for ngram in counts if counts[ngram] == most > 1 and len("".join(ngram)) == longest]
    assert measures.top_ngram(size) == pytest.approx(covered(words, size, set(top[:1])) if top else 0.0)


@given(lines=LINES)
def test_lines_and_words(lines: list[str]) -> None:
    measures, words = Measures(lines), [word for line in lines for word in line.split()]
    repeated = [line for index, line in enumerate(lines) if line in lines[:index]]
    assert measures.words == words
    assert measures.repeated_lines == repeated
    assert measures.duplicate_line_characters == pytest.approx(len("".join(repeated)) / max(len("".join(lines)), 1))
    assert measures.mean_word_length == pytest.approx(sum(map(len, words)) / max(len(words), 1))


def test_symbols_bullets_and_letters() -> None:
    measures = Measures(["# one # two", "• three ...", "- 4 five…", "6 7 %"])
    assert measures.words == ["#", "one", "#", "two", "•", "three", "...", "-", "4", "five…", "6", "7", "%"]
    assert measures.symbols_per_word == 2 / 13
    assert measures.alphabetic_words == 4 / 13
    assert measures.share_of_lines(lambda line: line.startswith("-")) == 1 / 4
    assert Measures(["The dog, that OF that"]).count_stop_words(["the", "of", "that", "be"]) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("two  words", ["two", "words"]),
        ("東京は Tokyo。", ["東", "京", "は", "Tokyo。"]),
        ("ab語cd", ["ab", "語", "cd"]),
        ("กา go", ["ก", "า", "go"]),
        ("", []),
    ],
)
def test_words_of_scripts_without_spaces_are_single_characters(line: str, words: list[str]) -> None:
    assert words_of(line) == words
