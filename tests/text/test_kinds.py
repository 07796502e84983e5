"""Tokenizers of every kind against transformers: ids, special tokens, words, and the files written back."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from cloze.callbacks.samples import heldout_masked
from cloze.data.extraction.options import Sizes
from cloze.data.extraction.text_tokens import OUTSIDE, RowText, TextEncoder
from cloze.data.extraction.vectors import NOWHERE, rows_of
from cloze.data.finetuning.items import Sequences, encode
from cloze.data.finetuning.questions import QuestionFeatures, encode_passages
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.data.tables.examples import Answer, QuestionExample, TaggedExample
from cloze.errors import InputError
from cloze.inference.fill_mask import forms
from cloze.tasks.answer_spans import best_answers
from cloze.text.documents import Document
from cloze.text.encoding import WordEncoder
from cloze.text.parts import PartBuilder
from cloze.text.sentences import English
from cloze.text.special_tokens import SpecialToken, SpecialTokens
from cloze.text.tokenizer import FolderTokenizer, read_tokenizer, save_tokenizer, tokenizer_sha256
from cloze.text.tokenizer_source import GivenTokenizer
from cloze.text.word_boundaries import BLANK, Spelling, continues_word, shown
from tests.kinds import KINDS, ROLES, save
from tests.small_text import small_text

TEXTS = [
    "The function returns a list.", "two  spaces, a\ttab and\nlines ", " a 12345 don't", "",
    "naïve é e\u0301 日本語 ก็ 😀",
    "x [MASK] <mask> <|mask|> y", "|||EMAIL_ADDRESS||| [unused0]",
]  # fmt: skip


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place, text = tmp_path_factory.mktemp("kinds"), small_text().splitlines()
    return {kind: save(kind, make(text), place / kind) for kind, make in KINDS.items()}


def ours(read: FolderTokenizer, texts: list[str]) -> list[list[int]]:
    sequences = Sequences(read.tokenizer, 512)
    return [sequences.of(ids)[0].input_ids.tolist() for ids in encode(read.tokenizer, texts)]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_transformers_and_files_are_written_back(
    folders: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    theirs, read = AutoTokenizer.from_pretrained(folders[kind]), read_tokenizer(folders[kind])
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
        assert (tmp_path / "again" / file).read_bytes() == (folders[kind] / file).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_those_of_transformers(folders: dict[str, Path], kind: str) -> None:
    theirs, read = AutoTokenizer.from_pretrained(folders[kind]), read_tokenizer(folders[kind])
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


def test_a_mask_is_found_by_its_name_and_one_of_several_has_to_be_named(folders: dict[str, Path]) -> None:
    read = read_tokenizer(folders["mmbert"])
    assert FolderTokenizer(read.tokenizer, {}).special == read.special
    read.tokenizer.add_special_tokens(["[MASK]"])
    assert read.special.mask == SpecialToken("<mask>", 4)
    with pytest.raises(InputError, match=r"has <mask> and \[MASK\]: name one of them as mask_token"):
        _ = FolderTokenizer(read.tokenizer, {}).special


def test_words_begin_where_the_rules_of_a_tokenizer_say(folders: dict[str, Path]) -> None:
    text = "the returned-list, returns isn't"
    joined = {
        "modernbert": ["the", " returned", "-list", ",", " returns", " isn", "'t"],
        "eurobert": ["the", " returned", "-list", ",", " returns", " isn", "'t"],
        "mmbert": ["the", " returned-list,", " returns", " isn't"],
    }
    for kind, expected in joined.items():
        tokenizer = read_tokenizer(folders[kind]).tokenizer
        continues, ids = continues_word(tokenizer), tokenizer.encode(text, add_special_tokens=False).ids
        assert continues is not None
        found = [""]
        for number, token in zip(ids, shown(tokenizer, ids), strict=True):
            found += [""] * (not continues[number] and bool(found[-1]))
            found[-1] += token
        assert found == expected, kind
        assert not continues[[token.id for token in read_tokenizer(folders[kind]).special if token]].any()


def test_masks_are_filled_in_as_tokens_are_written(folders: dict[str, Path]) -> None:
    filled = {
        "modernbert": (["Ġlist", "Ġthe", "s"], "a list of thes."),
        "eurobert": (["list", "the", "s"], "a list of the s."),
        "mmbert": (["\u2581list", "\u2581the", "s"], "a list of the s."),
    }
    for kind, (tokens, expected) in filled.items():
        read = read_tokenizer(folders[kind])
        assert read.special.mask is not None
        mask = read.special.mask.content
        numbers = [number for token in tokens if (number := read.tokenizer.token_to_id(token)) is not None]
        if len(numbers) == len(tokens):
            spelling = Spelling.of(read.tokenizer, read.special.mask)
            assert spelling.fill(f"a {mask} of {mask} {mask}.", numbers) == expected, kind


def test_what_transformers_would_make_otherwise_is_written_so_that_it_does_not(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in folders["mmbert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    stated = {**settings, "tokenizer_class": "GemmaTokenizerFast", "add_bos_token": True, "add_eos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
    read = read_tokenizer(folder)
    assert ours(read, TEXTS) == ours(read_tokenizer(folders["mmbert"]), TEXTS)
    save_tokenizer(read.tokenizer, tmp_path / "saved", read.files)
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "bert"}')
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")(TEXTS)["input_ids"] == ours(read, TEXTS)


BITS = st.sampled_from(
    ["a", "the", " ", "  ", "\t", "\n", ".", ",", "e\u0301", "\u0301", "\u65e5", "12", "'s", "[MASK]", "<mask>",
     "\u3000", "|||EMAIL_ADDRESS|||", "[unused0]", "\u2581", "\u0120"]
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_of_chunks_gives_the_ids_of_the_whole(folders: dict[str, Path], kind: str) -> None:
    tokenizer, files = read_tokenizer(folders[kind])
    encoder, whole = WordEncoder(tokenizer, files), WordEncoder(tokenizer, files)

    @settings(deadline=None, max_examples=150)
    @given(st.lists(BITS, max_size=8).map("".join))
    def check(text: str) -> None:
        assert encoder.encode(text) == whole.whole(text)

    check()
    assert bool(encoder.of_chunks) == (kind != "words")


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_a_document_are_those_of_its_text(folders: dict[str, Path], kind: str) -> None:
    tokenizer, files = read_tokenizer(folders[kind])
    lines = ["The file returns.  One list! And then", "another. The quick object reads."]
    documents = [Document(lines=lines, origin="here")]
    parts = PartBuilder(English(), WordEncoder(tokenizer, files))
    parts.add(documents[0])
    text = "\n".join(lines)
    assert parts.tokens().tolist() == tokenizer.encode(text, add_special_tokens=False).ids


def test_a_tokenizer_is_given_as_a_folder_or_a_file(folders: dict[str, Path], tmp_path: Path) -> None:
    place = folders["eurobert"]
    whole, file = (GivenTokenizer(vocab=str(path)).given() for path in (place, place / "tokenizer.json"))
    assert whole.tokenizer.to_str() == file.tokenizer.to_str()
    assert (whole.special.mask, whole.files["tokenizer.json"]) == (file.special.mask, file.files["tokenizer.json"])
    grown = GivenTokenizer(vocab=str(place), special_tokens=["<user>"]).given()
    assert grown.tokenizer.encode("a<user>", add_special_tokens=False).tokens[-1] == "<user>"
    assert grown.special.pad == whole.special.pad
    with pytest.raises(InputError, match=r"tokenizer.vocab=nowhere: is not there"):
        GivenTokenizer(vocab="nowhere").given()


@pytest.mark.parametrize("kind", ["modernbert", "eurobert", "mmbert"])
def test_words_of_a_task_have_the_tokens_of_their_text_and_answers_no_space(
    folders: dict[str, Path], kind: str
) -> None:
    tokenizer, text = read_tokenizer(folders[kind]).tokenizer, "the file, one small list"
    places = ((0, 3), (4, 8), (8, 9), (10, 13), (14, 19), (20, 24))
    words = tuple(text[start:end] for start, end in places)
    example = TaggedExample(id="1", where="here", words=words, tags=None, text=text, offsets=places)
    (item,) = TaggingFeatures(max_length=64).items([example], tokenizer, ["O", "B-X"])
    assert item.sequences[0].input_ids.tolist() == tokenizer.encode(text).ids
    passage = encode_passages([text], tokenizer)[text]
    for start, end in places:
        span = passage.span(Answer(text[start:end], start))
        assert span is not None
        if kind != "mmbert" or text[end : end + 1] != ",":
            assert text[passage.offsets[span[0]][0] : passage.offsets[span[1]][1]] == text[start:end]


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_begins_or_ends_with_white_space(folders: dict[str, Path], kind: str) -> None:
    context = " the  file\n\n, one\tlist  "
    asked = QuestionExample(id="1", where="here", question="what", context=context, answers=())
    features = QuestionFeatures(max_length=64, stride=16, max_question_length=8)
    items = features.items([asked], read_tokenizer(folders[kind]).tokenizer, [])
    random = np.random.default_rng(0)
    outputs = [random.normal(size=(item.num_tokens, 2)).astype(np.float32) for item in items]
    answers = best_answers(items, outputs, n_best=400, max_answer_length=9, no_answer=False)
    found = [context[start:end] for (start, end), p in zip(*(a[0].tolist() for a in answers[:2]), strict=True) if p]
    assert {"the", "file", "the  file", "list"} <= set(found)
    assert all(text and text == text.strip() for text in found)


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_features_have_the_tokens_of_their_text(folders: dict[str, Path], kind: str) -> None:
    tokenizer = read_tokenizer(folders[kind]).tokenizer
    encoder = TextEncoder(tokenizer=tokenizer, sizes=Sizes(max_length=64))
    words = ("the", "list", "returned", "file", "naïve")
    found = [encoder.encode([RowText(text, None, None, None)])[0] for text in (words, " ".join(words))]
    for text in found:
        assert text.ids.tolist() == tokenizer.encode(" ".join(words)).ids
    given, read = found
    for number, word in enumerate(words):
        tokens = np.flatnonzero(given.words == number)
        places = given.offsets[tokens]
        seen = tokens[places[:, 0] < places[:, 1]]
        assert (places[-len(seen), 0], places[-1, 1]) == (0, len(word))
        begin = len(" ".join((*words[:number], "")))
        assert (read.offsets[seen] == given.offsets[seen] + begin).all()
        assert (read.words[seen] == number).all()
    assert set(read.words[read.words < 0].tolist()) <= {OUTSIDE, BLANK}


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_a_text_are_cut_at_its_spaces(folders: dict[str, Path], kind: str) -> None:
    """White space is no word, nor part of one, whatever tokens it is made of; each token in its text."""
    encoder = TextEncoder(tokenizer=read_tokenizer(folders[kind]).tokenizer, sizes=Sizes(max_length=64))
    text, pair = "the  file 12\n\n returned ", "\tlist two"
    (found,) = encoder.encode([RowText(text, pair, None, None)])
    rows, count = rows_of(found, "word_mean")
    assert count == 6
    for (start, end), row, segment in zip(found.offsets.tolist(), rows.tolist(), found.segments.tolist(), strict=True):
        token = (pair if segment else text)[start:end]
        assert (row == NOWHERE) == (not token.strip())
        assert row == NOWHERE or token == token.strip()
    first, _ = rows_of(found, "word")
    places = np.flatnonzero(first != NOWHERE)
    texts = [pair if segment else text for segment in found.segments[places].tolist()]
    begin = [text_[start:].split()[0] for text_, start in zip(texts, found.offsets[places, 0].tolist(), strict=True)]
    assert begin == ["the", "file", "12", "returned", "list", "two"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_of_held_out_text_is_masked_where_it_stands(folders: dict[str, Path], kind: str) -> None:
    read = read_tokenizer(folders[kind])
    mask, text = read.special.mask_of(kind), "a the list the a the the a"
    ((shown_text, ids),) = heldout_masked([[text]], read.tokenizer, read.special, 1)
    assert shown_text == f"a the {mask.content} the a the the a (list)"
    whole, place = read.tokenizer.encode(text).ids, ids.index(mask.id)
    assert ids == [*whole[:place], mask.id, *whole[place + 1 :]]
    assert shown(read.tokenizer, whole[place : place + 1])[0].strip() == "list"


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_has_the_space_that_its_mask_stands_behind(folders: dict[str, Path], kind: str) -> None:
    """The token that the word has in running text, where the mask takes in the space as those of released models do."""
    tokenizer = read_tokenizer(folders[kind]).tokenizer
    mask = read_tokenizer(folders[kind]).special.mask_of(kind)
    tokenizer.add_special_tokens([AddedToken(mask.content, lstrip=True, special=True)])
    spelling = Spelling.of(tokenizer, mask)
    for before in ("", "the ", "the\n"):
        read = tokenizer.encode(f"{before}list", add_special_tokens=False).ids
        if "\n" not in before or kind in ("unigram", "words"):  # a line feed is a token of its own to others
            assert forms("list", tokenizer)[spelling.begins_with_space(before)] == read[-1]
        assert not spelling.begins_with_space(f"{before}the")
    assert forms(" list", tokenizer)[0] == forms("list", tokenizer)[1]
    with pytest.raises(InputError, match="targets: 'the list' is 2 tokens"):
        forms("the list", tokenizer)
    with pytest.raises(InputError, match="targets: '' is no token"):
        forms("", tokenizer)
    with pytest.raises(InputError, match="targets: 'é' is"):
        forms("é", tokenizer)
