"""Tokenizers of every kind against transformers: ids, special tokens, words, and the files written back."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer

from cloze.data.finetuning.items import Sequences, encode
from cloze.errors import InputError
from cloze.text.documents import Document
from cloze.text.encoding import WordEncoder
from cloze.text.parts import PartBuilder
from cloze.text.sentences import English
from cloze.text.special_tokens import SpecialToken, SpecialTokens
from cloze.text.tokenizer import FolderTokenizer, read_tokenizer, save_tokenizer, tokenizer_sha256
from cloze.text.tokenizer_source import GivenTokenizer
from cloze.text.word_boundaries import Spelling, continues_word, shown
from tests.kinds import KINDS, ROLES

TEXTS = [
    "The function returns a list.", "two  spaces, a\ttab and\nlines ", " a 12345 don't", "",
    "naïve é e\u0301 日本語 ก็ 😀",
    "x [MASK] <mask> <|mask|> y", "|||EMAIL_ADDRESS||| [unused0]",
]  # fmt: skip


def ours(read: FolderTokenizer, texts: list[str]) -> list[list[int]]:
    sequences = Sequences(read.tokenizer, 512)
    return [sequences.of(ids)[0].input_ids.tolist() for ids in encode(read.tokenizer, texts)]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_transformers_and_files_are_written_back(
    kind_folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    theirs, read = AutoTokenizer.from_pretrained(kind_folders[kind]), read_tokenizer(kind_folders[kind])
    expected = theirs(TEXTS)["input_ids"]
    assert ours(read, TEXTS) == expected
    pairs = Sequences(read.tokenizer, 512).of(*encode(read.tokenizer, TEXTS[:2]))[0]
    assert pairs.input_ids.tolist() == theirs(*TEXTS[:2])["input_ids"]
    for name, files in (("again", read.files), ("anew", None)):
        save_tokenizer(read.tokenizer, tmp_path / name, files)
        (tmp_path / name / "config.json").write_text('{"model_type": "modernbert"}')
        assert AutoTokenizer.from_pretrained(tmp_path / name)(TEXTS)["input_ids"] == expected
        again = read_tokenizer(tmp_path / name)
        assert ours(again, TEXTS) == expected
        assert again.special._replace(pad=None) == read.special._replace(pad=None)
        assert tokenizer_sha256(again.tokenizer) == tokenizer_sha256(read.tokenizer)
    assert read_tokenizer(tmp_path / "again").special == read.special
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "again" / file).read_bytes() == (kind_folders[kind] / file).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_those_of_transformers(kind_folders: dict[str, Path], kind: str) -> None:
    theirs, read = AutoTokenizer.from_pretrained(kind_folders[kind]), read_tokenizer(kind_folders[kind])
    special = read.special
    read.tokenizer.enable_truncation(2)
    read.tokenizer.enable_padding(length=9)
    switched = read.tokenizer.truncation, read.tokenizer.padding
    assert read.special == special
    assert (read.tokenizer.truncation, read.tokenizer.padding) == switched  # they are the caller's
    for role in SpecialTokens._fields:
        token = getattr(special, role)
        named = ROLES[kind].get(f"{role}_token")
        if role == "unk" and kind == "modernbert":
            assert token is None  # it is named, but bytes need none
        else:
            assert token == (None if named is None else (named, theirs.convert_tokens_to_ids(named)))
    assert special.filler == theirs.pad_token_id


def test_a_mask_is_found_by_its_name_and_one_of_several_has_to_be_named(kind_folders: dict[str, Path]) -> None:
    read = read_tokenizer(kind_folders["mmbert"])
    assert FolderTokenizer(read.tokenizer, {}).special == read.special
    read.tokenizer.add_special_tokens(["[MASK]"])
    assert read.special.mask == SpecialToken("<mask>", 4)
    with pytest.raises(InputError, match=r"has <mask> and \[MASK\]: name one of them as mask_token"):
        _ = FolderTokenizer(read.tokenizer, {}).special


def test_words_begin_where_the_rules_of_a_tokenizer_say(kind_folders: dict[str, Path]) -> None:
    text = "the returned-list, returns isn't"
    joined = {
        "modernbert": ["the", " returned", "-list", ",", " returns", " isn", "'t"],
        "eurobert": ["the", " returned", "-list", ",", " returns", " isn", "'t"],
        "mmbert": ["the", " returned-list,", " returns", " isn't"],
    }
    for kind, expected in joined.items():
        tokenizer = read_tokenizer(kind_folders[kind]).tokenizer
        continues, ids = continues_word(tokenizer), tokenizer.encode(text, add_special_tokens=False).ids
        assert continues is not None
        found = [""]
        for number, token in zip(ids, shown(tokenizer, ids), strict=True):
            found += [""] * (not continues[number] and bool(found[-1]))
            found[-1] += token
        assert found == expected, kind
        assert not continues[[token.id for token in read_tokenizer(kind_folders[kind]).special if token]].any()


@pytest.mark.parametrize("kind", ["modernbert", "eurobert", "mmbert", "unigram"])
def test_a_token_continues_a_word_by_its_whole_text(kind_folders: dict[str, Path], kind: str) -> None:
    """The plain statement, a token at a time: it begins with no space, and is not split from a letter before it."""
    tokenizer = read_tokenizer(kind_folders[kind]).tokenizer
    more = ["12", "'s", "-a", "é", "日本", "e\u0301", "\ufffd", ".a", "_a", "\u0301", "aB"]
    if kind in ("modernbert", "eurobert"):
        more = ["".join(part for part, _ in ByteLevel(False, use_regex=False).pre_tokenize_str(text)) for text in more]
    state = json.loads(tokenizer.to_str())
    vocab = state["model"]["vocab"]
    for piece in more:
        if kind == "unigram":
            vocab.append([piece, -9.0])
        else:
            vocab.setdefault(piece, max(tokenizer.get_vocab().values()) + 1 + len(vocab))
    grown = Tokenizer.from_str(json.dumps(state))
    found, added = continues_word(grown), grown.get_added_tokens_decoder()
    assert found is not None
    for piece, number in grown.get_vocab().items():
        text = grown.decoder.decode(["a", piece])[1:]
        whole = f"a{text}"
        parts = [] if "\ufffd" in text or grown.pre_tokenizer is None else grown.pre_tokenizer.pre_tokenize_str(whole)
        splits = any(end == 1 for _, (_, end) in parts)
        assert found[number] == (not splits and number not in added and piece[0] not in "\u2581ĠĊĉč"), piece


def test_masks_are_filled_in_as_tokens_are_written(kind_folders: dict[str, Path]) -> None:
    filled = {
        "modernbert": (["Ġlist", "Ġthe", "s"], "a list of thes."),
        "eurobert": (["list", "the", "s"], "a list of the s."),
        "mmbert": (["\u2581list", "\u2581the", "s"], "a list of the s."),
    }
    for kind, (tokens, expected) in filled.items():
        read = read_tokenizer(kind_folders[kind])
        assert read.special.mask is not None
        mask = read.special.mask.content
        numbers = [number for token in tokens if (number := read.tokenizer.token_to_id(token)) is not None]
        if len(numbers) == len(tokens):
            spelling = Spelling.of(read.tokenizer, read.special.mask)
            assert spelling.fill(f"a {mask} of {mask} {mask}.", numbers) == expected, kind


def test_what_transformers_would_make_otherwise_is_written_so_that_it_does_not(
    kind_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in kind_folders["mmbert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    stated = {**settings, "tokenizer_class": "GemmaTokenizerFast", "add_bos_token": True, "add_eos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    read = read_tokenizer(folder)
    assert ours(read, TEXTS) == ours(read_tokenizer(kind_folders["mmbert"]), TEXTS)
    save_tokenizer(read.tokenizer, tmp_path / "saved", read.files)
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "bert"}')
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(TEXTS)["input_ids"] == ours(read, TEXTS)


BITS = st.sampled_from(
    ["a", "the", " ", "  ", "\t", "\n", ".", ",", "e\u0301", "\u0301", "\u65e5", "12", "'s", "[MASK]", "<mask>",
     "\u3000", "|||EMAIL_ADDRESS|||", "[unused0]", "\u2581", "\u0120"]
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_of_chunks_gives_the_ids_of_the_whole(kind_folders: dict[str, Path], kind: str) -> None:
    tokenizer, files = read_tokenizer(kind_folders[kind])
    encoder, whole = WordEncoder(tokenizer, files), WordEncoder(tokenizer, files)

    @settings(deadline=None, max_examples=150)
    @given(st.lists(BITS, max_size=8).map("".join))
    def check(text: str) -> None:
        assert encoder.encode(text) == whole.whole(text)

    check()
    assert bool(encoder.of_chunks) == (kind != "words")


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_a_document_are_those_of_its_text(kind_folders: dict[str, Path], kind: str) -> None:
    tokenizer, files = read_tokenizer(kind_folders[kind])
    lines = ["The file returns.  One list! And then", "another. The quick object reads."]
    documents = [Document(lines=lines, origin="here")]
    parts = PartBuilder(English(), WordEncoder(tokenizer, files))
    parts.add(documents[0])
    text = "\n".join(lines)
    assert parts.tokens().tolist() == tokenizer.encode(text, add_special_tokens=False).ids


def test_a_tokenizer_is_given_as_a_folder_or_a_file(kind_folders: dict[str, Path], tmp_path: Path) -> None:
    place = kind_folders["eurobert"]
    whole, file = (GivenTokenizer(vocab=str(path)).given() for path in (place, place / "tokenizer.json"))
    assert whole.tokenizer.to_str() == file.tokenizer.to_str()
    assert (whole.special.mask, whole.files["tokenizer.json"]) == (file.special.mask, file.files["tokenizer.json"])
    grown = GivenTokenizer(vocab=str(place), special_tokens=["<user>"]).given()
    assert grown.tokenizer.encode("a<user>", add_special_tokens=False).tokens[-1] == "<user>"
    assert grown.special.pad == whole.special.pad
    with pytest.raises(InputError, match=r"tokenizer.vocab=nowhere: is not there"):
        GivenTokenizer(vocab="nowhere").given()
