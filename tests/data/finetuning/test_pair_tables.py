"""Pairs, triplets, scored pairs and labelled texts from tables, and several sets of them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.data.finetuning.pair_tables import PairTables
from cloze.data.finetuning.set_batches import SetMix
from cloze.data.tables.examples import PairExample
from cloze.errors import InputError

Told = tuple[str, str, tuple[str, ...], tuple[float, ...] | None]


def read(path: Path, content: str, /, **settings: Any) -> list[PairExample]:
    path.write_text(content, encoding="utf-8")
    return PairTables(train=str(path), **settings).read("train")


def told(examples: list[PairExample]) -> list[Told]:
    return [(each.text, each.positive, each.negatives, each.scores) for each in examples]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.csv", "anchor,positive\nx,y\n", [("x", "y", (), None)]),
        ("a.csv", "anchor,positive,negative_1,negative_2\nx,y,u,v\n", [("x", "y", ("u", "v"), None)]),
        ("a.tsv", "subset\tscore\tsentence1\tsentence2\nnews\t3.5\tx\ty\n", [("x", "y", (), (3.5,))]),
        (
            "a.jsonl",  # FlagEmbedding
            json.dumps({"query": "q", "pos": ["a", "b"], "neg": ["c"], "pos_scores": [3, 2], "neg_scores": [1]}),
            [("q", "a", ("c",), (3.0, 1.0)), ("q", "b", ("c",), (2.0, 1.0))],
        ),
        (
            "a.jsonl",  # Tevatron
            json.dumps({
                "query_id": "7", "query": "q",
                "positive_passages": [{"docid": "1", "title": "A", "text": "b"}],
                "negative_passages": [{"docid": "2", "title": "", "text": "c"}, {"docid": "3", "text": "d"}],
            }),
            [("q", "A b", ("c", "d"), None)],
        ),
        ("a.csv", "text,label\nx,1\ny,2\nz,1\nw,3\n", [("x", "z", (), None), ("z", "x", (), None)]),
    ],
)  # fmt: skip
def test_forms_in_use_are_read(name: str, text: str, wanted: list[Told], tmp_path: Path) -> None:
    assert told(read(tmp_path / name, text)) == wanted


def test_columns_of_any_name_and_labels_as_groups(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "a,b,c,d\n1,x,y,z\n", text="b", positive="c", negatives=["d", "a"], id="a")
    assert told(found) == [("x", "y", ("z", "1"), None)]
    assert found[0].id == "1"
    assert [each.group for each in read(tmp_path / "b.csv", "text,label\nx,1\ny,1\n")] == ["1", "1"]
    itself = read(tmp_path / "c.csv", "text\nx\n", text="text", positive="text")  # SimCSE: dropout tells the two apart
    assert told(itself) == [("x", "x", (), None)]


def test_premises_with_what_follows_and_what_contradicts(tmp_path: Path) -> None:
    rows = (
        "label,premise,hypothesis\nentailment,x,a\nneutral,x,b\ncontradiction,x,c\ncontradiction,y,d\nentailment,x,e\n"
    )
    found = read(tmp_path / "a.csv", rows, label="label")
    assert told(found) == [("x", "a", ("c",), None), ("x", "e", ("c",), None)]
    with pytest.raises(InputError, match="no row has 'entailment'"):
        read(tmp_path / "b.csv", "label,premise,hypothesis\n1,x,a\n", label="label")


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("anchor,b\nx,y\n", {}, "has no column with what belongs to a text"),
        ("b,positive\nx,y\n", {}, "has none of the columns anchor"),
        ("anchor,positive\nx,\n", {}, "line 2: has no positive"),
        ("anchor,positive,score\nx,y,good\n", {}, "its score is 'good'"),
        ("anchor,positive\nx,y\n", {"weights": {"a": 1}}, "task.data.weights.a=1: expected"),
    ],
)
def test_what_is_none_is_refused(text: str, settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path / "a.csv", text, **settings)


def test_scores_are_one_a_text(tmp_path: Path) -> None:
    row = json.dumps({"query": "q", "pos": ["a"], "neg": ["b"], "scores": [1.0]})
    with pytest.raises(InputError, match="has 1 scores, but 2 positives and negatives"):
        read(tmp_path / "a.jsonl", row)


def test_a_collection_for_search_is_one_too(tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", {"d1": "a", "d2": "b", "d3": "c", "d4": "d"}), ("queries", {"q1": "x", "q2": "y"})):
        lines = (json.dumps({"_id": key, "title": "T", "text": text}) + "\n" for key, text in rows.items())
        (folder / f"{name}.jsonl").write_text("".join(lines))
    judged = {"train": "q1\td1\t2\nq1\td2\t0\nq1\td3\t1\n", "dev": "q2\td4\t1\n", "test": "q2\td4\t0\n"}
    for split, grades in judged.items():
        (folder / f"qrels/{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{grades}")
    source = PairTables(train={"beir": str(folder)}, dev=str(folder), test=str(folder))
    assert told(source.read("train")) == [("x", "T a", ("T b",), None), ("x", "T c", ("T b",), None)]
    assert told(source.read("dev")) == [("y", "T d", (), None)]
    with pytest.raises(InputError, match="no document of the corpus is judged relevant"):
        source.read("test")
    with pytest.raises(InputError, match="is a collection, without columns"):
        PairTables(train=str(folder), text="a").read("train")


def test_sets_of_several_files(tmp_path: Path) -> None:
    for name, count in (("a", 3), ("b", 1)):
        rows = "".join(f"{name}{number},x\n" for number in range(count))
        (tmp_path / f"{name}.csv").write_text(f"anchor,positive\n{rows}")
    files = {name: str(tmp_path / f"{name}.csv") for name in "ab"}
    source = PairTables(train=files, dev=files["a"])
    assert source.splits == ["train", "dev"]
    assert [(each.text, each.set) for each in source.read("train")] == [("a0", 0), ("a1", 0), ("a2", 0), ("b0", 1)]
    assert [*source.set_weights] == [3, 1]
    weighted = PairTables(train=files, weights={"b": 2.0})
    weighted.read("train")
    assert [*weighted.set_weights] == [1.0, 2.0]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=3), st.integers(1, 8), st.booleans(), st.integers(0, 3))
def test_shares_are_those_of_the_weights(sizes: list[int], batch_size: int, alike: bool, epoch: int) -> None:
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    weights = tuple(float(number + 1) for number in range(len(sizes)))
    mix = SetMix(numbers=numbers, weights=weights, alike=alike)
    batches = mix.batches(batch_size, 7, epoch)
    again = mix.batches(batch_size, 7, epoch)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))
    assert len(batches) == -(-len(numbers) // batch_size)
    turns = [int(numbers[batch[0]]) for batch in batches] if alike else [int(numbers[i]) for b in batches for i in b]
    if alike:
        assert all(len(set(numbers[batch])) == 1 for batch in batches)
    for number, weight in enumerate(weights):
        assert abs(turns.count(number) - len(turns) * weight / sum(weights)) <= len(sizes)


def test_every_item_of_a_set_comes_before_one_comes_again() -> None:
    mix = SetMix(numbers=np.array([0] * 5 + [1] * 3), weights=(1.0, 3.0), alike=True)
    seen = [item for epoch in range(6) for batch in mix.batches(2, 1, epoch) for item in batch.tolist()]
    for items in (range(5), range(5, 8)):
        own = [item for item in seen if item in items]
        counts = Counter(own[: len(own) // len(items) * len(items)])
        assert set(counts.values()) == {len(own) // len(items)}
