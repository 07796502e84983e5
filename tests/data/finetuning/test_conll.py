"""Tagged sentences from files."""

import gzip
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloze.data.finetuning.conll import TaggedFiles
from cloze.data.tables.examples import TaggedExample
from cloze.errors import InputError
from cloze.metrics.entities import entities

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC

-DOCSTART- -X- -X- O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

BRUSSELS NNP B-NP B-LOC
"""


def read(tmp_path: Path, content: str | bytes, name: str = "a.conll", **source: int | str) -> list[TaggedExample]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return TaggedFiles(train=str(path), **source).read("train")  # type: ignore[arg-type]


def test_the_columns_of_conll_2003(tmp_path: Path) -> None:
    first, second, third = read(tmp_path, CONLL_2003)
    assert first.words == ("EU", "rejects", "German")
    assert first.tags == ("B-ORG", "O", "B-MISC")
    assert [example.document for example in (first, second, third)] == [0, 1, 1]
    assert [example.id for example in (first, second, third)] == ["0", "1", "2"]
    assert first.where == f"{tmp_path}/a.conll, line 3"
    assert third.where == f"{tmp_path}/a.conll, line 12"


def test_other_columns(tmp_path: Path) -> None:
    (example,) = read(tmp_path, "1\tO\tParis\tB-LOC\tx\n2\tO\tHilton\tI-LOC\tx", text=2, label=-2)
    assert example.words == ("Paris", "Hilton")
    assert example.tags == ("B-LOC", "I-LOC")


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffNew\tB-LOC\nYork\tI-LOC\n\n.\tO\n",
        "New\tB-LOC\r\nYork\tI-LOC\r\n\r\n.\tO",
        "\n\nNew B-LOC\nYork I-LOC\n \t\n\n\n. O",
        "New   B-LOC \nYork  I-LOC\t\n\t\n.     O\n\n\n",
        "New I-LOC\nYork I-LOC\n\n. O",  # IOB1
        "New B-LOC\nYork E-LOC\n\n. O",  # BIOES
    ],
)
def test_ways_to_write_the_same(tmp_path: Path, content: str) -> None:
    first, second = read(tmp_path, content)
    assert (first.words, first.tags) == (("New", "York"), ("B-LOC", "I-LOC"))
    assert (second.words, second.tags) == ((".",), ("O",))
    assert (first.document, second.document) == (0, 1)  # nothing tells documents


def test_neighbours_of_one_type_stay_two_entities(tmp_path: Path) -> None:
    """IOB1 has B- only there; the tags of the CoNLL-2003 distribution are of this scheme."""
    (example,) = read(tmp_path, "Paris I-LOC\nLondon B-LOC\nBridge I-LOC\nEU I-ORG\n")
    assert example.tags == ("B-LOC", "B-LOC", "I-LOC", "B-ORG")


def test_a_word_may_be_white_space_that_separates_no_columns(tmp_path: Path) -> None:
    (example,) = read(tmp_path, "\u3000 O\na\xa0b\tO\n\u2028\tO\n \tO\n\ufe0f O\n\x85 O\n")
    assert example.words == ("\u3000", "a\xa0b", "\u2028", " ", "\ufe0f", "\x85")


def test_a_test_file_may_have_words_only(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    path.write_text("-DOCSTART-\n\nNew\nYork\n\nParis\n")
    first, second = TaggedFiles(test=str(path)).read("test")
    assert (first.words, first.tags, second.tags) == (("New", "York"), None, None)
    with pytest.raises(InputError, match=r"test\.txt, line 3: has no tags; .*task\.data\.label"):
        TaggedFiles(dev=str(path)).read("dev")


def test_a_long_sentence(tmp_path: Path) -> None:
    (example,) = read(tmp_path, "word O\n" * 20_000)
    assert len(example.words) == 20_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("New B-LOC\nYork\n", "line 2: has 1 column where line 1 has 2"),
        ("New B-LOC\nYork , I-LOC\n", "line 2: has 3 columns where line 1 has 2"),
        ("New\nYork I-LOC\n", "line 2: has 2 columns where line 1 has 1"),
        ("New B-LOC\nYork 0\n", "line 1: the word 'York' has the tag '0', but others have B- or I-, as 'B-LOC'"),
        ("New B-LOC\n\nYork LOC\n", "line 3: the word 'York' has the tag 'LOC', but others have B- or I-"),
        ("New B-\nYork I-LOC\n", "line 1: the word 'New' has the tag 'B-', but others have B- or I-"),
        ("New\t\tB-LOC\nYork\t\tI-LOC\n", "line 1: its column 1, which task.data.label names, is empty"),
        ("\tO\n", "line 1: its column 0, which task.data.text names, is empty"),
        ("New\tB-LOC\n\n\n\tO\n", "line 4: its column 0"),
        (b"New\tB-LOC\nM\xfcnchen\tB-LOC\n", "line 2: is not UTF-8 .*; convert"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"a\.conll, {message}"):
        read(
            tmp_path, content, label=1 if b"\t\t" in (content.encode() if isinstance(content, str) else content) else -1
        )


def test_comments_before_a_sentence_have_not_its_columns(tmp_path: Path) -> None:
    """As in MultiCoNER; a # with a tag is a word."""
    content = "# global\n\n# id 1\tdomain=en\nNew _ _ B-LOC\n# _ _ O\n\n# id 2\n# more\n# _ _ O\nYork _ _ B-LOC\n"
    first, second = read(tmp_path, content)
    assert (first.words, first.tags) == (("New", "#"), ("B-LOC", "O"))
    assert (second.words, second.where) == (("#", "York"), f"{tmp_path}/a.conll, line 9")


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 1: has 2 columns, counted from 0: there is no task\.data\.label=3"):
        read(tmp_path, "New B-LOC\n", label=3)
    with pytest.raises(InputError, match=r"columns have no names; set task\.data\.text to a position"):
        read(tmp_path, "New B-LOC\n", text="tokens")


def test_missing_files(tmp_path: Path) -> None:
    source = TaggedFiles(dev={"news": f"{tmp_path}/no.txt"}, homepage="https://example.org/ner")
    assert source.splits == ["dev_news"]
    with pytest.raises(
        InputError, match=r"no\.txt: there is no such file .*https://example\.org/ner\); set task\.data\.dev\.news=FILE"
    ):
        source.read("dev_news")


def test_archives_and_compressed_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ner.zip", "w") as archive:
        archive.writestr("data/train.txt", "我 B-PER\n\n他 O\n")
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"Paris B-LOC\n"))
    first, second = TaggedFiles(train=f"{tmp_path}/ner.zip/data/train.txt").read("train")
    assert (first.words, second.words) == (("我",), ("他",))
    assert TaggedFiles(train=f"{tmp_path}/train.txt.gz").read("train")[0].words == ("Paris",)
    for name in ("ner.zip", "ner.zip/dev.txt"):
        with pytest.raises(InputError, match=r"is not in the archive; give one of .*ner\.zip/data/train\.txt"):
            TaggedFiles(train=f"{tmp_path}/{name}").read("train")
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"bad\.zip: is not a ZIP archive"):
        TaggedFiles(train=f"{tmp_path}/bad.zip/train.txt").read("train")


def test_rows_of_lists(tmp_path: Path) -> None:
    rows = [
        {"tokens": ["New", "York"], "ner": ["I-LOC", "I-LOC"], "page": "a"},
        {"tokens": ["."], "ner": ["O"], "page": "a"},
        {"tokens": ["a\tb", "c d"], "ner": ["O", "O"], "page": "b"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    lines = "\n".join(json.dumps(row) for row in rows)
    names: dict[str, Any] = {"text": "tokens", "label": "ner", "document": "page"}
    found = read(tmp_path, lines, "a.jsonl", **names)
    assert [example.words for example in found] == [tuple(row["tokens"]) for row in rows]
    assert found[0].tags == ("B-LOC", "I-LOC")
    assert [example.document for example in found] == [0, 0, 1]
    assert found[1].where == f"{tmp_path}/a.jsonl, line 2"
    parquet = TaggedFiles(train=f"{tmp_path}/a.parquet", **names).read("train")
    assert [(e.words, e.tags, e.document) for e in parquet] == [(e.words, e.tags, e.document) for e in found]
    assert parquet[1].where == f"{tmp_path}/a.parquet, row 2"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"words": ["a", "b"], "tags": ["O"]}', "line 2: has 2 words, but 'tags' has 1 entry"),
        ('{"words": ["a"], "tags": "O"}', "line 2: has 1 word, but 'tags' has no list"),
        ('{"words": ["a"], "tags": [3]}', r"line 2: its tags are numbers, as 3; .*task\.data\.label_names="),
        ('{"words": ["a"], "tags": [[]]}', r"line 2: expected a tag, as B-PER or NOUN, found \[\]"),
        ('{"words": ["a"], "tags": [true]}', "line 2: expected a tag, as B-PER or NOUN, found True"),
        ('{"words": ["a", ""], "tags": ["O", "O"]}', "line 2: expected a list of words in 'words', none of them empty"),
        ('{"words": [], "tags": []}', "line 2: expected a list of words"),
        ('{"words": "a", "tags": ["O"]}', "line 2: expected a list of words"),
        ('{"words": ["a"]}', "line 2: has no tags"),
        ('{"words": ["a"]', "line 2: is not JSON"),
    ],
)
def test_bad_rows_of_lists_are_named(tmp_path: Path, row: str, message: str) -> None:
    good = '{"words": ["a"], "tags": ["O"]}'
    with pytest.raises(InputError, match=rf"a\.jsonl, {message}"):
        read(tmp_path, f"{good}\n{row}\n", "a.jsonl")


def test_names_of_numbers_stand_in_the_rows_or_beside_them(tmp_path: Path) -> None:
    names, row = ["O", "B-LOC"], {"tokens": ["in", "Rome"], "ner_tags": [0, 1]}
    beside = read(tmp_path, json.dumps({"names": names, "data": [row]}), "a.json", label_names="names")
    inside = read(tmp_path, json.dumps({**row, "names": names}), "a.jsonl", label_names="names")
    assert beside[0].tags == inside[0].tags == ("O", "B-LOC")
    table = pa.Table.from_pylist([row])
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    stated = json.dumps({"info": {"features": {"ner_tags": feature}}}).encode()
    pq.write_table(table.replace_schema_metadata({b"huggingface": stated}), tmp_path / "a.parquet")
    assert TaggedFiles(train=f"{tmp_path}/a.parquet").read("train")[0].tags == ("O", "B-LOC")


def test_lists_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no column 'word'; set task\.data\.text to one of: tokens, tags"):
        read(tmp_path, '{"tokens": ["a"], "tags": ["O"]}', "a.jsonl", text="word")
    with pytest.raises(
        InputError, match=r"has neither words, tokens nor text; set task\.data\.text to one of: w, tags"
    ):
        read(tmp_path, '{"w": ["a"], "tags": ["O"]}', "a.jsonl")
    with pytest.raises(InputError, match=r"has ner_tags and pos_tags; set task\.data\.label to the one that is meant"):
        read(tmp_path, '{"tokens": ["a"], "pos_tags": ["X"], "ner_tags": ["O"]}', "a.jsonl")
    with pytest.raises(InputError, match=r"its lists have names; set task\.data\.label"):
        read(tmp_path, '{"words": ["a"], "tags": ["O"]}', "a.jsonl", label=1)


# Sentences as in ../shared/data/INDEX.md; entities as `grep -c "B-"` counts them.
WNUT = {
    "train": ("wnut17train.conll", 3394, 1975),
    "dev": ("emerging.dev.conll", 1009, 836),
    "test": ("emerging.test.annotated", 1287, 1079),
}
# Its sentences end at 100 characters, some within an entity, whose rest counts as one by conlleval's rule.
MSRA = {"train": (50_658, 74_703 + 6), "dev": (4_631, 6_181 + 11)}


@pytest.mark.parametrize("split", WNUT)
def test_wnut17(shared_data: Path, split: str) -> None:
    name, sentences, found = WNUT[split]
    files: dict[str, Any] = {split: str(shared_data / "ner/wnut17" / name)}
    examples = TaggedFiles(**files).read(split)
    assert len(examples) == sentences
    assert sum(len(entities(example.tags or ())) for example in examples) == found


@pytest.mark.parametrize("split", MSRA)
def test_msra(shared_data: Path, split: str) -> None:
    files: dict[str, Any] = {split: str(shared_data / "ner/msra_zh/ymcui_peopledaily.zip" / f"{split}.txt")}
    examples = TaggedFiles(**files).read(split)
    types = Counter(entity.type for example in examples for entity in entities(example.tags or ()))
    assert (len(examples), types.total()) == MSRA[split]
    assert set(types) == {"PER", "LOC", "ORG"}
    assert all(len(word) == 1 for example in examples for word in example.words)
