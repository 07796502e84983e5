"""Raw texts with spans of characters, in every way that people write them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.finetuning.conll import TaggedFiles
from cloze.data.tables.examples import TaggedExample
from cloze.data.tables.spans import Span, spans_of, tagged, with_whole_tokens, words_of
from cloze.errors import InputError
from cloze.metrics.entities import entities
from cloze.text.tokenizer import SPECIAL_TOKENS, WordPiece

TEXT = "Yesterday Brandova Foods opened in Łódź."


@given(
    st.text(
        st.one_of(st.sampled_from(" .,'-aZ9é́ก่ลัカ漢😀\n\u200d"), st.characters(exclude_categories=["Cs"])), max_size=30
    )
)
def test_words_are_all_of_a_text_but_its_white_space(text: str) -> None:
    places = words_of(text)
    assert places == sorted(places)
    assert all(start < end for start, end in places)
    covered = {n for start, end in places for n in range(start, end)}
    assert len(covered) == sum(end - start for start, end in places)
    assert all(character.isspace() for n, character in enumerate(text) if n not in covered)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann's U.S.-based dog,\n«Рим»!", "Ann ' s U . S . - based dog , « Рим » !"),
        ("北京。3.5", "北 京 。 3 . 5"),
        ("หมู่ カナ हिन्दी cafe\u0301", "ห มู่ カ ナ हिन्दी cafe\u0301"),
    ],
)
def test_no_punctuation_sticks_to_a_word(text: str, words: str) -> None:
    assert [text[start:end] for start, end in words_of(text)] == words.split()


SPANS = st.lists(
    st.tuples(st.integers(0, 39), st.integers(1, 12), st.sampled_from(["ORG", "LOC"])).map(
        lambda s: Span(s[0], min(len(TEXT), s[0] + s[1]), s[2])
    ),
    max_size=5,
)


@given(SPANS)
def test_what_is_kept_comes_back_as_it_was(spans: list[Span]) -> None:
    """Through tags and words; every span is kept, widened to whole words, or counted as overlapping."""
    spans = spans_of([list(span) for span in spans if TEXT[span.start : span.end].strip()], TEXT)
    found = tagged(TEXT, spans)
    places = [(found.offsets[e.start][0], found.offsets[e.end - 1][1], e.type) for e in entities(found.tags or ())]
    assert len(places) == len(set(spans)) - found.overlapping
    assert len(set(places) - set(map(tuple, spans))) <= found.widened
    for start, end, kind in places:
        assert any(start <= span.start and span.end <= end and span.label == kind for span in spans)
    if not found.overlapping and not found.widened:
        assert set(places) == set(map(tuple, spans))


def test_the_longest_of_overlapping_spans_stays() -> None:
    found = tagged("New York University", [Span(0, 8, "LOC"), Span(0, 19, "ORG"), Span(9, 19, "X")])
    assert (found.tags, found.overlapping, found.widened) == (["B-ORG", "I-ORG", "I-ORG"], 2, 0)
    found = tagged("Berliner Luft", [Span(0, 6, "LOC"), Span(9, 13, "A"), Span(9, 13, "B")])
    assert (found.tags, found.overlapping, found.widened) == (["B-LOC", "B-A"], 1, 1)
    assert tagged("a b", None).tags is None


WAYS: dict[str, Any] = {
    "label": [[10, 24, "ORG"], [35, 39, "LOC"]],
    "labels": [[35, 39, "LOC"], [9, 25, "ORG"]],  # white space at the ends is none of theirs
    "entities": [{"start": 10, "end": 24, "label": "ORG", "id": 7}, {"start": 35, "end": 39, "label": "LOC"}],
    "spans": [
        {"start_offset": 10, "end_offset": 24, "label": "ORG"}, {"start": 35, "end": 39, "type": "LOC"}
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_ways_to_write_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"id": 4, "text": TEXT, name: WAYS[name]}, {"id": 5, "text": "Nothing here.", name: []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = TaggedFiles(train=str(path))
    first, second = source.read("train")
    assert (first.text, first.words) == (TEXT, ("Yesterday", "Brandova", "Foods", "opened", "in", "Łódź", "."))
    assert first.tags == ("O", "B-ORG", "I-ORG", "O", "O", "B-LOC", "O")
    assert [TEXT[start:end] for start, end in first.offsets] == list(first.words)
    assert second.tags == ("O", "O", "O")
    assert not source.notes
    path.write_text("".join(json.dumps({"body": row["text"], "marks": row[name]}) + "\n" for row in rows))
    assert TaggedFiles(train=str(path), text="body", label="marks").read("train")[0].tags == first.tags


def test_overlapping_and_widened_ones_are_told(tmp_path: Path) -> None:
    rows = [{"text": TEXT, "label": [[10, 24, "ORG"], [10, 18, "PER"]]}, {"text": "Berliner", "label": [[0, 6, "LOC"]]}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = TaggedFiles(train=str(path))
    assert source.read("train")[0].tags == ("O", "B-ORG", "I-ORG", "O", "O", "O", "O")
    assert source.notes == [
        f"{path}, line 1: an entity shares a word with a longer one and is left out (1 in all)",
        f"{path}, line 2: an entity begins or ends within a word and is widened to all of it (1 in all)",
    ]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([[0, 9]], r"its 'label' holds \[0, 9\], but expected \[start, end, label\]"),
        ([[0, 41, "X"]], r"holds the entity \[0, 41, 'X'\], but its text has 40 characters"),
        ([[5, 5, "X"]], "but its text has 40 characters"),
        ([[-3, 5, "X"]], "but its text has 40 characters"),
        ([["0", 5, "X"]], "two whole numbers and a name"),
        ([[0, 5, ""]], "two whole numbers and a name"),
        ([[0, 5.0, "X"]], "two whole numbers and a name"),
        ([[9, 10, "X"]], "covers white space alone"),
        ([{"start": 0, "end": 3}], "two whole numbers and a name"),
        ("ORG", r"holds 'ORG', but expected \[start, end, label\], .* in a list"),
        (["ORG"], "holds 'ORG', but expected"),
        (None, r"has no tags; add them \(\[\] for a text without an entity\)"),
    ],
)
def test_bad_spans_are_named(tmp_path: Path, label: object, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "x", "label": []}) + "\n" + json.dumps({"text": TEXT, "label": label}))
    with pytest.raises(InputError, match=rf"a\.jsonl, line 2: .*{message}"):
        TaggedFiles(train=str(path)).read("train")


def test_a_test_file_may_have_texts_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "New York."}))
    (example,) = TaggedFiles(test=str(path)).read("test")
    assert (example.words, example.tags) == (("New", "York", "."), None)
    with pytest.raises(InputError, match=r"line 1: has no tags"):
        TaggedFiles(dev=str(path)).read("dev")
    path.write_text(json.dumps({"text": " "}))
    with pytest.raises(InputError, match=r"line 1: expected a text in 'text'"):
        TaggedFiles(test=str(path)).read("test")


def test_real_cases(shared_cases: Path) -> None:
    """The same names as words with tags, as numbers, and as characters."""
    folder = shared_cases / "03-ner-json"
    names = ["O", "B-ORG", "I-ORG"]
    by_name = TaggedFiles(train=str(folder / "train_name.json")).read("train")
    by_number = TaggedFiles(train=str(folder / "train_int.json"), label_names=names).read("train")
    assert [(e.words, e.tags) for e in by_name] == [(e.words, e.tags) for e in by_number]
    spans = TaggedFiles(train=str(folder / "train_spans.jsonl")).read("train")
    assert [(e.words, e.tags) for e in spans] == [(e.words, e.tags) for e in by_name]


def test_a_token_of_the_tokenizer_s_own_is_one_word_of_a_raw_text() -> None:
    tokenizer = WordPiece(special_tokens=["<user>", "[E1]", "a b"]).build([*SPECIAL_TOKENS, *"abc<>[]"])
    text = "c <user> [E1]c. a b, <USER> [MASK]"
    found = tagged(text, [Span(2, 8, "WHO"), Span(13, 17, "X")])
    assert found.tags is not None
    example = TaggedExample(id="0", where="", words=(), tags=tuple(found.tags), text=text, offsets=tuple(found.offsets))
    (joined,) = with_whole_tokens([example], tokenizer)
    assert joined.words == ("c", "<user>", "[E1]", "c", ".", "a b", ",", "<", "USER", ">", "[MASK]")
    assert [text[start:end] for start, end in joined.offsets] == [*joined.words]
    assert joined.tags == ("O", "B-WHO", "O", "B-X", "I-X", "I-X", "O", "O", "O", "O", "O")
    (unlabelled,) = with_whole_tokens([replace(example, tags=None)], tokenizer)
    assert (unlabelled.words, unlabelled.tags) == (joined.words, None)
