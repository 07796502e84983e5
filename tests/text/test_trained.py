"""Trained tokenizers against transformers and plain statements of their rules, and the same in every process."""

import json
import os
import pickle
import re
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from cloze.errors import InputError
from cloze.text.bert_rules import SPECIAL_TOKENS
from cloze.text.characters import Characters, Kmers
from cloze.text.encoding import LONGEST_CACHED_CHUNK, LONGEST_ENCODED_CHUNK, WordEncoder
from cloze.text.trained import ByteLevelBPE, TrainedTokenizer, Unigram
from tests import processes
from tests.small_text import small_text

KINDS: dict[str, TrainedTokenizer] = {
    "bpe": ByteLevelBPE(vocab_size=400, special_tokens=["<user>"]),
    "bpe_without_space": ByteLevelBPE(vocab_size=400, add_prefix_space=False, normalization="none", lowercase=True),
    "unigram": Unigram(vocab_size=150, special_tokens=["<user>"]),
    "unigram_bytes": Unigram(vocab_size=400, byte_fallback=True),
    "characters": Characters(special_tokens=["<user>"]),
    "kmer": Kmers(k=3, alphabet="ACGT"),
}
BITS = [
    "the",
    " quick",
    "<user>",
    "[MASK]",
    "[CLS]",
    " ",
    "  ",
    "\t",
    "é",
    "e\u0301",
    "漢",
    "File",
    "▁",
    ".",
    "ﬁ",
    "ACGTA",
]
TEXT = st.lists(st.sampled_from(BITS)).map("".join) | st.text(max_size=12)


def corpus() -> list[str]:
    """Words, and sequences of letters for the k-mers."""
    return [line for line in small_text().splitlines() if line] + ["ACGTTGCAAC <user> the é", "acgtn"]


@cache
def trained(kind: str) -> Tokenizer:
    if isinstance(KINDS[kind], Unigram):
        pytest.importorskip("sentencepiece")
    return KINDS[kind].train(corpus())


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_gives_the_same_ids(kind: str) -> None:
    tokenizer = trained(kind)
    with TemporaryDirectory() as folder:
        tokenizer.save(f"{folder}/tokenizer.json")
        theirs = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json")

    @settings(max_examples=40)
    @given(TEXT, TEXT)
    def check(first: str, second: str) -> None:
        assert theirs(first, f"{second}a")["input_ids"] == tokenizer.encode(first, f"{second}a").ids

    check()
    assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))
    assert all(tokenizer.token_to_id(token) is not None for token in (*SPECIAL_TOKENS, *KINDS[kind].special_tokens))


UNUSUAL = [
    *"aEs\u0301\u03a3\u0130\uff0c\uff21\u2026\u3002\x1c\x85\u3000\u00a0\u2028\n\u1112\u1161\U0001f468",
    "AC",
    "Éa",
    "x" * LONGEST_CACHED_CHUNK,
]


@pytest.mark.parametrize("added", [[], [AddedToken("Éa", normalized=True), AddedToken("AC", normalized=False)]])
@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_is_encoded_with_the_ids_of_the_tokenizer(kind: str, added: list[AddedToken]) -> None:
    tokenizer = Tokenizer.from_str(trained(kind).to_str())
    tokenizer.add_tokens(added)
    encoder = WordEncoder(Tokenizer.from_str(tokenizer.to_str()))

    @settings(max_examples=100)
    @given(TEXT | st.lists(st.sampled_from([*BITS, *UNUSUAL])).map("".join))
    def check(text: str) -> None:
        text = re.sub(r"\[(MASK|CLS)\]", "", text)
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        for _ in range(2):  # the second time from the cache
            assert np.frombuffer(encoder.encode(text), encoder.dtype).tolist() == expected

    check()


@pytest.mark.parametrize("kind", ["bpe", "bpe_without_space", "characters", "kmer"])
def test_a_very_long_text_without_spaces_has_the_ids_of_the_tokenizer(kind: str) -> None:
    tokenizer = Tokenizer.from_str(trained(kind).to_str())
    encoder = WordEncoder(trained(kind))
    for piece in ("the,é", "漢.\tACGT!", "(x)"):
        text = piece * (LONGEST_ENCODED_CHUNK // len(piece) + 2)
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        assert np.frombuffer(encoder.encode(text), encoder.dtype).tolist() == expected


def test_to_a_corpus_a_mask_is_text_however_it_was_added() -> None:
    tokenizer = Tokenizer.from_str(trained("bpe").to_str())
    tokenizer.add_tokens(["<m>"])
    mask = tokenizer.token_to_id("<m>")
    encoder = WordEncoder(tokenizer, {"tokenizer_config.json": b'{"mask_token": "<m>"}'})
    for text in ("the <m>", "the <m> <user>"):
        assert mask not in np.frombuffer(encoder.encode(text), encoder.dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_of_its_own_text_nothing_is_unknown(kind: str) -> None:
    text = "ACGTNTGCAAC" if kind == "kmer" else " ".join(small_text().splitlines()[:20])
    encoding = trained(kind).encode(text, add_special_tokens=False)
    assert "[UNK]" not in encoding.tokens
    expected = text.lower() if KINDS[kind].lowercase else text
    assert re.sub(r"\s+", " ", trained(kind).decode(encoding.ids)).strip() == re.sub(r"\s+", " ", expected).strip()


def test_special_tokens_are_found_as_in_modernbert() -> None:
    encoding = trained("bpe").encode("the <user> one [MASK]", add_special_tokens=False)
    assert encoding.tokens[1:] == ["Ġ", "<user>", "Ġone", " [MASK]"]  # the space goes with the mask
    assert [trained("bpe").token_to_id(token) for token in (*SPECIAL_TOKENS, "<user>")] == list(range(6))
    assert trained("characters").encode("a [MASK]", add_special_tokens=False).tokens == ["a", " ", "[MASK]"]


@given(TEXT)
@settings(max_examples=40)
def test_characters_are_those_of_the_normalised_text(text: str) -> None:
    tokenizer = trained("characters")
    tokenizer.encode_special_tokens = True
    normalized = tokenizer.normalizer.normalize_str(text.replace("<user>", ""))
    known = set(tokenizer.get_vocab())
    tokens = tokenizer.encode(text.replace("<user>", ""), add_special_tokens=False).tokens
    assert tokens == [character if character in known else "[UNK]" for character in normalized]


@given(st.text("ACGTNacgtn \t", max_size=40))
def test_kmers_are_those_of_the_nucleotide_transformer(text: str) -> None:
    """Its rule, as a regular expression of Python: k-mers from the left, single characters where there are none."""
    expected = re.findall("[ACGT]{3}|.", re.sub(r"\s", "", text).upper())
    assert trained("kmer").encode(text, add_special_tokens=False).tokens == expected


def test_kmers_of_letters_of_the_text() -> None:
    tokenizer = Kmers(k=2, alphabet=None).train(["MKRIST", "mk]-\\"])
    assert tokenizer.encode("MK]-\\RX", add_special_tokens=False).tokens == ["MK", "]-", "\\R", "[UNK]"]


@given(st.lists(st.sampled_from(["the", "quick", "quickly", "filed", "objects", "xyz"]), min_size=1, max_size=6))
@settings(max_examples=30)
def test_unigram_takes_the_likeliest_tokens(words: list[str]) -> None:
    """Against the search through all ways to split a word."""
    tokenizer = trained("unigram")
    scores = dict(json.loads(tokenizer.to_str())["model"]["vocab"])

    @cache
    def best(word: str) -> float:
        if not word:
            return 0.0
        ways = [scores[word[:end]] + best(word[end:]) for end in range(1, len(word) + 1) if word[:end] in scores]
        return max(ways, default=float("-inf"))

    for word in words:
        tokens = tokenizer.encode(word, add_special_tokens=False).tokens
        if (likeliest := best(f"▁{word}")) > float("-inf"):
            assert sum(scores[token] for token in tokens) == pytest.approx(likeliest)


PROGRAM = (
    "import pickle, sys; kinds, lines = pickle.load(open(sys.argv[1], 'rb'))\n"
    "for kind in kinds: print(kind.train(lines).to_str())"
)


def test_training_gives_the_same_tokenizer_in_every_process(shared_data: Path, tmp_path: Path) -> None:
    """In this one, and in one with other hashes and one thread."""
    pytest.importorskip("sentencepiece")
    text = (shared_data / "corpus" / "wikitext2" / "test.txt").read_text(encoding="utf-8").splitlines()
    lines, kinds = [*corpus(), *text[:200]], list(KINDS.values())
    (tmp_path / "all").write_bytes(pickle.dumps((kinds, lines)))
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "1"}
    done = processes.run([sys.executable, "-c", PROGRAM, tmp_path / "all"], env=environment, check=True)
    assert done.stdout.splitlines() == [kind.train(lines).to_str() for kind in kinds]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ByteLevelBPE(vocab_size=200), "vocab_size=200: must be at least 261"),
        (lambda: ByteLevelBPE(normalization="nfd"), "normalization=nfd: expected one of none, nfc, nfkc"),  # type: ignore[arg-type]
        (lambda: Unigram(vocab_size=300, byte_fallback=True), "must be at least 356"),
        (lambda: Characters(alphabet_size=0), "alphabet_size=0: must be positive"),
        (lambda: Kmers(stride=1), r"stride=1: only 6, the k of tokenizer.k, is possible"),
        (lambda: Kmers(alphabet="acgt"), "take ACGT, or set tokenizer.uppercase=false"),
        (lambda: Kmers(alphabet="AAC"), "expected different letters"),
        (lambda: Kmers(k=12, alphabet="ACGT"), "of 4 letters there are 16,777,216 k-mers"),
        (lambda: Kmers(lowercase=True), "exclude each other"),
        (lambda: ByteLevelBPE().train(["", " "]), "there is no text"),
        (lambda: Characters().train([]), "there is no text"),
    ],
)
def test_refused(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]
