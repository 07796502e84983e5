"""What tags say: entities in any scheme, or a class of each word; numbers and their names."""

import json
from pathlib import Path

import pytest

from cloze.data.finetuning.tags import BY_WORD, Scheme, Sentence, in_one_scheme, named, names_in, read_names
from cloze.errors import InputError


def tags_of(*sentences: str, scheme: Scheme = "auto", notes: list[str] | None = None) -> list[str]:
    rows = [Sentence(f"a.txt, line {n}", ["w"] * len(tags.split()), tags.split()) for n, tags in enumerate(sentences)]
    return [" ".join(row.tags or ()) for row in in_one_scheme(rows, scheme, [] if notes is None else notes)]


@pytest.mark.parametrize(
    ("scheme", "given", "expected"),
    [
        ("auto", "O I-PER I-PER B-PER", "O B-PER I-PER B-PER"),  # IOB1
        ("auto", "S-X B-X E-X", "B-X B-X I-X"),
        ("auto", "O B I O", "O B-entity I-entity O"),
        ("auto", "O I I", "O B-entity I-entity"),
        ("auto", "B M E S", "B-entity I-entity I-entity B-entity"),  # words of Chinese
        ("auto", "DET NOUN B-side", None),
        ("auto", "DET NOUN", "DET NOUN"),
        ("auto", "O O", "O O"),
        ("auto", "S M L", "S M L"),  # sizes
        ("auto", "O PER PER LOC", "O PER PER LOC"),
        ("entities", "O PER PER LOC", "O B-PER I-PER B-LOC"),
        ("entities", "O B-PER LOC", "O B-PER B-LOC"),
        ("words", "DET NOUN B-side", "DET NOUN B-side"),
        ("words", "B-PER O", None),
    ],
)
def test_schemes(scheme: Scheme, given: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(InputError, match=r"task\.data\.scheme=words"):
            tags_of(given, scheme=scheme)
    else:
        assert tags_of(given, scheme=scheme) == [expected]


def test_the_scheme_is_that_of_all_sentences() -> None:
    assert tags_of("O", "O B", "I") == ["O", "O B-entity", "B-entity"]
    with pytest.raises(InputError, match=r"a\.txt, line 2: the word 'w' has the tag 'PER', but others have B- or I-"):
        tags_of("O", "B-PER", "PER")


def test_types_without_prefixes_are_said_to_count_word_by_word() -> None:
    notes: list[str] = []
    tags_of("O PER", notes=notes)
    tags_of("O LOC", notes=notes)
    tags_of("NOUN VERB", notes=notes)
    assert notes == [BY_WORD]


def test_numbers_have_names(tmp_path: Path) -> None:
    names = ["O", "B-X", "I-X"]
    assert [named(tag, names, "here") for tag in (0, "2", "B-X")] == ["O", "I-X", "B-X"]
    for tag in (3, -1, "B-Y", "3"):
        with pytest.raises(InputError, match=r"here: has the tag .*task\.data\.label_names"):
            named(tag, names, "here")
    (tmp_path / "names.txt").write_text("O\nB-X\nI-X\n")
    (tmp_path / "list.json").write_text(json.dumps(names))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(names)), "hidden_size": 8}))
    for file in ("names.txt", "list.json", "config.json"):
        assert read_names(str(tmp_path / file)) == names
    assert read_names(names) == names
    with pytest.raises(InputError, match=r"label_names=labels: is neither a key of the rows nor a file"):
        read_names("labels")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json: holds no names of tags"):
        read_names(str(tmp_path / "bad.json"))
    for bad in ({"1": "O"}, [], [1], "O", [["O"]]):
        with pytest.raises(InputError, match=r"here: expected the names of the tags in a list"):
            names_in(bad, "here")
