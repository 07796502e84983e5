"""Which tokens are added to a vocabulary that exists."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.text.new_tokens import read_new_tokens, sample_lines, tokens_of_word, useful_tokens
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import SPECIAL_TOKENS, WordPiece, build_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
OLD = [*SPECIAL_TOKENS, *LETTERS, *(f"##{c}" for c in LETTERS), ".", "the", "##ing"]
UNCASED, CASED = WordPiece(), WordPiece(lowercase=False)
SYLLABLES = st.text("abc", min_size=1, max_size=4)


@given(st.sets(SYLLABLES, max_size=6), st.sets(SYLLABLES, max_size=6), st.text("abc", min_size=1, max_size=12))
def test_words_are_cut_as_the_tokenizers_library_does(begin: set[str], inside: set[str], word: str) -> None:
    vocab = [*SPECIAL_TOKENS, *sorted(begin), *(f"##{piece}" for piece in sorted(inside))]
    expected = build_tokenizer(vocab).encode(word, add_special_tokens=False).tokens
    assert (tokens_of_word(word, set(vocab)) or ["[UNK]"]) == expected


def test_a_file_gives_what_is_new_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "pieces.txt"
    file.write_text("tumour\n  the\n\n##oma\ntumour\nж\n中\n", encoding="utf-8")
    assert read_new_tokens(file, OLD, UNCASED) == ["tumour", "##oma", "ж", "中"]


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("fine\nTumour\n", UNCASED, r"line 2: 'Tumour' can never be found, since this tokenizer makes 'tumour' of it"),
        ("covid-19\na b\n", CASED, r"line 1: 'covid-19' .* 'covid' '-' '19' of it; .*; the same holds for 1 more line"),
        ("café\n", UNCASED, "makes 'cafe' of it"),
        ("中国\n", CASED, "makes '中' '国' of it"),
        ("##中\n", CASED, "'##中' can never be found"),
        ("##\n", CASED, "'##' can never be found"),
        ("[DRUG]\n", CASED, r"'\[DRUG\]' can never be found"),
        ("x" * 101, CASED, "can never be found"),
        ("the\n\n", CASED, "holds no token that is not in the vocabulary already"),
    ],
)
def test_what_no_text_could_give_is_refused(tmp_path: Path, content: str, words: WordPiece, message: str) -> None:
    file = tmp_path / "pieces.txt"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_new_tokens(file, OLD, words)


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_new_tokens(tmp_path / "absent.txt", OLD, UNCASED)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_new_tokens(tmp_path / "latin.txt", OLD, UNCASED)


CLINIC = ["the tumour was growing. Carcinoma, tumour and adenoma.", "Tumour growing in the carcinoma."] * 20


def test_the_most_useful_pieces_come_first_and_shorten_the_text() -> None:
    chosen = useful_tokens(CLINIC, OLD, UNCASED, 6)
    assert chosen[:2] == ["carcinoma", "tumour"]  # 40 times 8 tokens saved, 60 times 5
    assert set(chosen).isdisjoint(OLD)
    assert chosen == useful_tokens(CLINIC, OLD, UNCASED, 6)
    assert length(CLINIC, [*OLD, *chosen]) < 0.6 * length(CLINIC, OLD)


def test_letters_that_were_unknown_become_readable() -> None:
    text = ["жена и the муж."] * 10
    chosen = useful_tokens(text, OLD, UNCASED, 3)
    unknown = [tokens(text, vocab).count("[UNK]") for vocab in (OLD, [*OLD, *chosen])]
    assert unknown[1] < unknown[0]


def test_more_than_the_corpus_gives_is_refused_with_the_number_it_gives() -> None:
    with pytest.raises(InputError, match=r"grow.vocab_size=5060: the corpus gives only (\d+) useful") as found:
        useful_tokens(CLINIC, OLD, UNCASED, 5_000)
    most = int(str(found.value).rpartition(" ")[2])
    assert most > len(OLD)


def test_a_sample_is_spread_over_the_corpus(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.txt").write_text(f"{name} line\n\n" * 5_000, encoding="utf-8")
    source = TextFiles(files=str(tmp_path / "*.txt"))
    assert Counter(sample_lines(source, 64.0)) == {f"{name} line": 5_000 for name in "abcd"}
    few = Counter(sample_lines(source, 0.004))
    assert few.keys() == {f"{name} line" for name in "abcd"}
    assert 400 <= few.total() <= 600


def tokens(lines: list[str], vocab: list[str]) -> list[str]:
    return build_tokenizer(vocab).encode("\n".join(lines), add_special_tokens=False).tokens


def length(lines: list[str], vocab: list[str]) -> int:
    return len(tokens(lines, vocab))
