"""The tokenizer against transformers.BertTokenizerFast, to the last token; vocabularies read, trained and saved."""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertTokenizerFast

from cloze.errors import InputError
from cloze.text.tokenizer import (
    SPECIAL_TOKENS,
    WordPiece,
    build_tokenizer,
    load_tokenizer,
    read_vocabulary,
    save_tokenizer,
    tokenizer_sha256,
    vocabulary,
)
from cloze.text.word_boundaries import continues_word
from cloze.text.wordpiece import train_vocabulary
from tests import processes

GOOGLE = [("uncased", True), ("cased", False), ("chinese", True)]
WORDS = "the cat sat on a mat and the dogs sat there too ; cats running , dog runs . un ##able"
PIECES = [*SPECIAL_TOKENS, *dict.fromkeys(WORDS.split()), "##s", "##ning", "run"]


def lines(shared_data: Path, name: str) -> list[str]:
    return (shared_data / "corpus" / name).read_text(encoding="utf-8").split("\n")


def google_vocabulary(shared_data: Path, name: str) -> Path:
    return shared_data / "vocab" / f"bert-base-{name}-vocab.txt"


def write_vocabulary(folder: Path, pieces: list[str]) -> Path:
    path = folder / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "lowercase"), GOOGLE)
@pytest.mark.parametrize("text", ["wikitext2/test.txt", "zh_clue_small.txt", "google_sample.txt"])
def test_ids_equal_hugging_face(shared_data: Path, name: str, lowercase: bool, text: str) -> None:
    pieces = read_vocabulary(google_vocabulary(shared_data, name), lowercase=lowercase)
    ours = build_tokenizer(pieces, lowercase=lowercase)
    theirs = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)}, do_lower_case=lowercase)
    content = lines(shared_data, text)
    expected = theirs(content)["input_ids"]
    assert [encoding.ids for encoding in ours.encode_batch_fast(content)] == expected


@pytest.mark.parametrize(("name", "lowercase"), GOOGLE)
def test_a_saved_folder_loads_in_transformers(shared_data: Path, tmp_path: Path, name: str, lowercase: bool) -> None:
    ours = build_tokenizer(read_vocabulary(google_vocabulary(shared_data, name)), lowercase=lowercase)
    save_tokenizer(ours, tmp_path)
    content = lines(shared_data, "wikitext2/test.txt")[:300] + lines(shared_data, "zh_clue_small.txt")[:100]
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(theirs, BertTokenizerFast)
    assert theirs(content)["input_ids"] == [encoding.ids for encoding in ours.encode_batch(content)]
    assert theirs.mask_token == "[MASK]"
    (tmp_path / "tokenizer.json").unlink()  # a folder as Google published them
    again = load_tokenizer(tmp_path)
    assert [e.ids for e in again.encode_batch(content)] == [e.ids for e in ours.encode_batch(content)]
    assert tokenizer_sha256(again) == tokenizer_sha256(ours)


@settings(max_examples=300, deadline=None)
@given(text=st.text(), lowercase=st.booleans(), chinese=st.booleans())
def test_any_text_gives_the_ids_of_hugging_face(text: str, lowercase: bool, chinese: bool) -> None:
    ours = build_tokenizer(PIECES, lowercase=lowercase, chinese_characters=chinese)
    vocab = {piece: i for i, piece in enumerate(PIECES)}
    theirs = BertTokenizerFast(vocab=vocab, do_lower_case=lowercase, tokenize_chinese_chars=chinese)
    assert ours.encode(text).ids == theirs(text)["input_ids"]


def test_pairs_and_special_tokens_in_the_text() -> None:
    ours = build_tokenizer(PIECES)
    theirs = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)})
    encoding = ours.encode("The cat [MASK] there.", "Dogs [SEP] running")
    expected = theirs("The cat [MASK] there.", "Dogs [SEP] running")
    assert (encoding.ids, encoding.type_ids) == (expected["input_ids"], expected["token_type_ids"])


def test_save_and_load(tmp_path: Path) -> None:
    tokenizer = WordPiece(lowercase=False).build(PIECES)
    save_tokenizer(tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert vocabulary(loaded) == PIECES == read_vocabulary(tmp_path)
    assert tokenizer_sha256(loaded) == tokenizer_sha256(tokenizer)
    assert loaded.to_str() == tokenizer.to_str()


def test_the_hash_tells_vocabularies_and_normalisations_apart() -> None:
    tokenizers = [
        build_tokenizer(PIECES),
        build_tokenizer(PIECES, lowercase=False),
        build_tokenizer(PIECES, chinese_characters=False),
        build_tokenizer(PIECES, strip_accents=False),
        build_tokenizer([*PIECES, "more"]),
        build_tokenizer([*PIECES[:-2], PIECES[-1], PIECES[-2]]),
    ]
    assert len({tokenizer_sha256(tokenizer) for tokenizer in tokenizers}) == len(tokenizers)


def test_continuation_pieces() -> None:
    continues = continues_word(build_tokenizer(PIECES))
    assert continues is not None
    assert np.flatnonzero(continues).tolist() == [
        PIECES.index("##able"),
        PIECES.index("##s"),
        PIECES.index("##ning"),
    ]


def test_wrong_vocabularies(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.txt: the vocabulary cannot be read"):
        read_vocabulary(tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"vocab.txt, line 8: repeats 'sat' of line 7"):
        read_vocabulary(write_vocabulary(tmp_path, [*SPECIAL_TOKENS, "the", "sat", "sat"]))
    with pytest.raises(InputError, match=r"vocab.txt: has no \[CLS\], \[MASK\]; a BERT vocabulary needs"):
        read_vocabulary(write_vocabulary(tmp_path, ["[PAD]", "[UNK]", "[SEP]", "the"]))
    with pytest.raises(InputError, match=r"vocab.txt, line 6: is empty"):
        read_vocabulary(write_vocabulary(tmp_path, [*SPECIAL_TOKENS, "", "the"]))
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")
    with pytest.raises(InputError, match=r"vocab.txt: the vocabulary is not UTF-8"):
        read_vocabulary(tmp_path)


def test_case_must_fit_the_vocabulary(shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"is a cased vocabulary .* set tokenizer.lowercase=false"):
        read_vocabulary(google_vocabulary(shared_data, "cased"), lowercase=True)
    with pytest.raises(InputError, match=r"is an uncased vocabulary .* set tokenizer.lowercase=true"):
        read_vocabulary(google_vocabulary(shared_data, "uncased"), lowercase=False)


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds neither tokenizer.json nor vocab.txt"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer.json: is not a tokenizer"):
        load_tokenizer(tmp_path)


def test_training_gives_the_same_vocabulary_in_every_process(shared_data: Path) -> None:
    program = (
        "import sys; from cloze.text.tokenizer import WordPiece; from cloze.text.wordpiece import train_vocabulary\n"
        "config = WordPiece(vocab_size=2000, alphabet_size=80)\n"
        "sys.stdout.buffer.write('\\n'.join(train_vocabulary(open(sys.argv[1], encoding='utf-8'), config)).encode())"
    )
    path = shared_data / "corpus" / "wikitext2" / "test.txt"
    hashes = set()
    for parallel in ("true", "true", "false"):
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": parallel}
        run = processes.run([sys.executable, "-c", program, path], env=environment, text=False, check=True)
        hashes.add(hashlib.sha256(run.stdout).hexdigest())
    assert len(hashes) == 1


def test_a_trained_vocabulary_covers_its_text(shared_data: Path) -> None:
    content = lines(shared_data, "wikitext2/test.txt")
    config = WordPiece(vocab_size=3000)
    pieces = train_vocabulary(content, config)
    assert pieces[:5] == list(SPECIAL_TOKENS)
    assert len(pieces) == len(set(pieces)) == 3000
    assert "the" in pieces
    assert not any(piece != piece.lower() for piece in pieces[5:])
    encodings = config.build(pieces).encode_batch(content, add_special_tokens=False)
    words = sum(len(set(encoding.word_ids)) for encoding in encodings)
    tokens = sum(len(encoding.ids) for encoding in encodings)
    assert sum(encoding.ids.count(1) for encoding in encodings) < 1e-3 * tokens
    assert tokens < 1.6 * words


def test_training_options(shared_data: Path) -> None:
    english = lines(shared_data, "wikitext2/test.txt")[:500]
    cased = train_vocabulary(english, WordPiece(vocab_size=500, lowercase=False))
    assert any(re.match("[A-Z]", piece) for piece in cased)
    small = train_vocabulary(english, WordPiece(vocab_size=500, alphabet_size=30))
    assert len({character for piece in small[5:] for character in piece.removeprefix("##")}) == 30
    chinese = lines(shared_data, "zh_clue_small.txt")[:2000]
    apart = train_vocabulary(chinese, WordPiece(vocab_size=3000, alphabet_size=1400))
    assert not [piece for piece in apart if len(re.findall("[\u4e00-\u9fff]", piece)) > 1]
    together = WordPiece(vocab_size=3000, chinese_characters=False, alphabet_size=500)
    assert [piece for piece in train_vocabulary(chinese, together) if len(re.findall("[\u4e00-\u9fff]", piece)) > 2]


def test_training_stops_reading_at_the_sample() -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "the same sentence again and again"

    assert "sentence" in train_vocabulary(endless(), WordPiece(vocab_size=200, sample_megabytes=2))
    assert read < 200_000


def test_training_needs_text() -> None:
    with pytest.raises(InputError, match="there is no text to train a vocabulary from"):
        train_vocabulary([" ", ""], WordPiece())
    with pytest.raises(InputError, match=r"tokenizer.vocab_size=10: must be at least 100"):
        WordPiece(vocab_size=10)
