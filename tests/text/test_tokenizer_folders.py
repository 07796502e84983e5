"""Folders with a tokenizer of their own against ``AutoTokenizer``, as they are brought and as they are written back."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from cloze.data.finetuning.items import Sequences, encode
from cloze.errors import InputError
from cloze.text.encoding import WordEncoder
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, read_tokenizer, save_tokenizer, tokenizer_sha256

LETTERS = "abcdefgeéÉnoûABE日本ก."
PIECES = [*SPECIAL_TOKENS, *dict.fromkeys(LETTERS), *(f"##{c}" for c in dict.fromkeys(LETTERS)), "the", "[", "]", "1"]
NAMES = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
WORDS = ["[E1]", "[e1]", "<user>", "é", "É", "Éa", "abc", "a b", "New York", "the", "日本", "...", "a", "[X]"]
"""Tokens that are added: with case, accents, blanks, punctuation, some of the vocabulary."""
BITS = [*WORDS, *SPECIAL_TOKENS, " ", "  ", "\t", "a", "é", "e\u0301", "ABC", "the", "x", ".", "ก็", "日", "_", "1"]
TEXT = st.lists(st.sampled_from(BITS)).map("".join) | st.text(max_size=12)

NORMALIZERS: list[Callable[[], Any]] = [
    normalizers.NFC,
    normalizers.NFKC,
    lambda: normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]),
    lambda: normalizers.BertNormalizer(clean_text=False, lowercase=False),
    normalizers.Lowercase,
]
SPLITTERS: list[Callable[[], Any]] = [
    pre_tokenizers.WhitespaceSplit,
    pre_tokenizers.Whitespace,
    pre_tokenizers.BertPreTokenizer,
    lambda: pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)]),
    lambda: pre_tokenizers.CharDelimiterSplit("_"),
]
FLAGS = st.fixed_dictionaries({name: st.booleans() for name in ("single_word", "lstrip", "rstrip", "normalized")})
ADDED = st.lists(st.tuples(st.sampled_from(WORDS), FLAGS, st.booleans()), max_size=4, unique_by=lambda one: one[0])

Added = list[tuple[str, dict[str, bool], bool]]


def add(theirs: Any, added: Added) -> None:
    """Give a tokenizer tokens; of those that are one in normalised text the first, since the library takes any."""
    normalizer, seen = theirs.backend_tokenizer.normalizer, set()
    for content, flags, special in added:
        normalized = normalizer.normalize_str(content)
        if not flags["normalized"] or normalized not in seen:
            theirs.add_tokens([AddedToken(content, **flags)], special_tokens=special)
            seen |= {normalized} if flags["normalized"] else set()


def of_bert(lowercase: bool, strips: bool | None, chinese: bool) -> Any:
    vocab = {piece: number for number, piece in enumerate(PIECES)}
    return BertTokenizerFast(vocab=vocab, do_lower_case=lowercase, strip_accents=strips, tokenize_chinese_chars=chinese)


def of_its_own(normalizer: Callable[[], Any], splitter: Callable[[], Any]) -> Any:
    own = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    own.normalizer, own.pre_tokenizer = normalizer(), splitter()
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=own, **NAMES)


BERTS = st.builds(of_bert, st.booleans(), st.sampled_from([None, True, False]), st.booleans())
OWN = st.builds(of_its_own, st.sampled_from(NORMALIZERS), st.sampled_from(SPLITTERS))


def folder_of(theirs: Any, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    theirs.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return folder


def ours(folder: Path, texts: list[str]) -> list[list[int]]:
    tokenizer = read_tokenizer(folder).tokenizer
    sequences = Sequences(tokenizer, 512)
    return [sequences.of(ids)[0].input_ids.tolist() for ids in encode(tokenizer, texts)]


def their_ids(folder: Path, texts: list[str]) -> list[list[int]]:
    found: list[list[int]] = AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]
    return found


def check(folder: Path, texts: list[str]) -> None:
    """Ours and theirs are one: of the folder, of it written back, and written without its files."""
    expected = their_ids(folder, texts)
    assert ours(folder, texts) == expected
    tokenizer, files = read_tokenizer(folder)
    for name, kept in (("again", files), ("anew", None)):
        other = folder / name
        save_tokenizer(tokenizer, other, kept)
        (other / "config.json").write_text('{"model_type": "bert"}')
        assert their_ids(other, texts) == expected, name
        assert ours(other, texts) == expected, name
        assert tokenizer_sha256(read_tokenizer(other).tokenizer) == tokenizer_sha256(tokenizer)
    assert all((folder / "again" / file).read_bytes() == content for file, content in files.items())


@settings(deadline=None, max_examples=100)
@given(theirs=BERTS | OWN, added=ADDED, texts=st.lists(TEXT, min_size=1, max_size=6))
def test_any_tokenizer_gives_the_ids_of_transformers(theirs: Any, added: Added, texts: list[str]) -> None:
    add(theirs, added)
    with TemporaryDirectory() as place:
        check(folder_of(theirs, Path(place) / "model"), texts)


@settings(deadline=None, max_examples=50)
@given(
    tokens=st.lists(st.sampled_from(["[E1]", "<user>", "Éa", "New York", "..."]), max_size=4, unique=True),
    listed=st.sets(st.sampled_from(["[E1]", "<user>", "Éa", "[X]"])),
    where=st.sampled_from(["special_tokens_map.json", "tokenizer_config.json"]),
    key=st.sampled_from(["additional_special_tokens", "extra_special_tokens"]),
    lowercase=st.booleans(),
    texts=st.lists(TEXT, min_size=1, max_size=6),
)
def test_older_folders_give_the_ids_of_transformers(
    tokens: list[str], listed: set[str], where: str, key: str, lowercase: bool, texts: list[str]
) -> None:
    """A ``vocab.txt`` with the tokens of its own in other files, as version 2 to 4 of transformers wrote them."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
        added = {token: len(PIECES) + number for number, token in enumerate(tokens)}
        (folder / "added_tokens.json").write_text(json.dumps(added))
        contents: dict[str, dict[str, Any]] = {
            "tokenizer_config.json": {"do_lower_case": lowercase, "tokenizer_class": "BertTokenizer"},
            "special_tokens_map.json": dict(NAMES),
        }
        contents[where][key] = sorted(listed)
        for name, content in contents.items():
            (folder / name).write_text(json.dumps(content))
        (folder / "config.json").write_text('{"model_type": "bert"}')
        check(folder, texts)


@settings(deadline=None, max_examples=100)
@given(
    theirs=st.builds(of_bert, st.booleans(), st.sampled_from([None, True, False]), st.booleans()),
    added=ADDED,
    texts=st.lists(TEXT, min_size=1, max_size=6),
)
def test_a_corpus_has_tokens_of_its_own_and_bert_s_are_text(theirs: Any, added: Added, texts: list[str]) -> None:
    add(theirs, added)
    with TemporaryDirectory() as place:
        encoder = WordEncoder(read_tokenizer(folder_of(theirs, Path(place))).tokenizer)
    plain = [text for text in texts if not any(token in text for token in SPECIAL_TOKENS)]
    expected = theirs(plain, add_special_tokens=False)["input_ids"] if plain else []
    found = [np.frombuffer(encoder.encode(text), encoder.dtype).tolist() for text in plain]
    assert found == expected
    assert SPECIAL_TOKENS.index("[MASK]") not in np.frombuffer(encoder.encode("a [MASK] b"), encoder.dtype)


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_tokenizer(folder)
    return str(caught.value).replace(str(folder), "FOLDER")


def test_tokenizers_in_code_are_refused_by_name(tmp_path: Path) -> None:
    folder = folder_of(of_bert(True, None, True), tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())

    def told(**changes: object) -> str:
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, **changes}))
        return refusal(folder)

    assert told(tokenizer_class="BertJapaneseTokenizer").startswith(
        "FOLDER/tokenizer_config.json: tokenizer_class is 'BertJapaneseTokenizer', which splits text by code of its own"
    )
    assert "word_tokenizer_type is 'mecab', but only 'basic' is read" in told(word_tokenizer_type="mecab")
    assert "split_special_tokens is True" in told(split_special_tokens=True)
    assert "auto_map is {'AutoTokenizer'" in told(auto_map={"AutoTokenizer": ["x.Y", None]})
    assert "cls_token is '<s>', but '[CLS]' is what its tokenizer puts there" in told(cls_token="<s>")
    del config["tokenizer_class"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text('{"model_type": "bert", "tokenizer_class": "BertJapaneseTokenizer"}')
    assert refusal(folder).startswith("FOLDER/config.json: tokenizer_class is 'BertJapaneseTokenizer'")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"do_lower_case": False}, "tokenizer.json has do_lower_case=true"),
        ({"tokenize_chinese_chars": False}, "tokenizer.json has tokenize_chinese_chars=true"),
        ({"strip_accents": False}, "tokenizer.json has strip_accents=true"),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path: Path, change: dict[str, bool], told: str) -> None:
    folder = folder_of(of_bert(True, None, True), tmp_path / "model")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **change}))
    assert told in refusal(folder)


def test_bert_s_class_with_other_rules_is_refused_and_without_a_class_they_hold(tmp_path: Path) -> None:
    folder = folder_of(of_its_own(normalizers.NFC, pre_tokenizers.WhitespaceSplit), tmp_path / "model")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert "rules that are not BERT's (normalizer NFC, pre_tokenizer WhitespaceSplit)" in refusal(folder)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 77}')
    tokenizer, files = read_tokenizer(folder)
    save_tokenizer(tokenizer, tmp_path / "saved", files)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved", config=None)
    text = "ABE é. the-the"
    assert theirs(text)["input_ids"] == tokenizer.encode(text).ids
    assert theirs.model_max_length == 77


def test_other_sequences_and_other_ids_are_refused(tmp_path: Path) -> None:
    theirs = of_its_own(normalizers.NFC, pre_tokenizers.WhitespaceSplit)
    theirs.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B:1")
    folder = folder_of(theirs, tmp_path / "bare")
    assert "its tokenizer makes 'a a' of the texts 'a' and 'a'; only a token before the first" in refusal(folder)
    folder = folder_of(of_bert(True, None, True), tmp_path / "gap")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    (folder / "added_tokens.json").write_text('{"[E1]": 500}')
    assert "its files give the token '[E1]' the id 500" in refusal(folder)


def test_tokens_that_are_one_in_normalised_text_are_refused(tmp_path: Path) -> None:
    theirs = of_bert(True, None, True)
    theirs.add_tokens(["[E1]", "[e1]"])
    folder = folder_of(theirs, tmp_path)
    assert "its added tokens '[E1]' and '[e1]' are one in normalised text ('[e1]')" in refusal(folder)


def test_own_special_tokens_are_added_and_what_else_was_said_stays(tmp_path: Path) -> None:
    theirs = of_bert(True, None, True)
    theirs.model_max_length = 77
    theirs.add_tokens(["<user>"])
    folder = folder_of(theirs, tmp_path / "model")
    grown = read_tokenizer(folder).with_tokens(["[E1]", "the"])
    save_tokenizer(grown.tokenizer, tmp_path / "saved", grown.files)
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "bert"}')
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again.model_max_length == 77
    assert again.convert_tokens_to_ids(["the", "<user>", "[E1]"]) == [PIECES.index("the"), len(PIECES), len(PIECES) + 1]
    text = "a [E1] The the <USER>"
    assert again(text)["input_ids"] == grown.tokenizer.encode(text).ids
    assert "[E1]" in again.all_special_tokens


def test_bert_s_own_written_anew_is_read_as_bert_s(tmp_path: Path) -> None:
    save_tokenizer(build_tokenizer(PIECES), tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"] == "BertTokenizer"
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split() == PIECES
