"""`cloze-mine`: against a plain statement of its rules, and through the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloze.data.finetuning.pair_tables import PairTables
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference
from tests import forks

CORPUS = ["a man plays", "the guitar", "a password", "reset it", "the document", "on the query", "x", "a man plays"]
PAIRS = [("a man", "a man plays"), ("how to reset", "reset it"), ("a man", "the guitar")]


@pytest.fixture
def words(shared_data: Path, tmp_path: Path) -> list[str]:
    """The words of a command on a small corpus."""
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in CORPUS))
    (tmp_path / "pairs.csv").write_text("query,positive\n" + "".join(f"{a},{b}\n" for a, b in PAIRS))
    model = shared_data / "fixtures/st600_cls_dense_normalize_prompts"
    return [f"model={model}", "pairs=pairs.csv", "output=hard.jsonl"]


def mined(folder: Path, *words: str) -> list[dict[str, Any]]:
    done = forks.run("cloze-mine", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "hard.jsonl").read_text().splitlines()]


def test_negatives_are_the_nearest_that_do_not_belong_to_the_query(words: list[str], tmp_path: Path) -> None:
    found = mined(tmp_path, *words, "corpus=corpus.jsonl", "negatives=2", "range_min=1")
    assert [row["query"] for row in found] == ["a man", "how to reset"]
    assert [row["pos"] for row in found] == [["a man plays", "the guitar"], ["reset it"]]
    known = Embedder.read(words[0].removeprefix("model="), Inference())
    for row in found:
        asked = known.embed([str(row["query"])], prompt=known.query_prompt)[0]
        others = [text for text in dict.fromkeys(CORPUS) if text not in row["pos"]]
        scores = known.embed(others, prompt=known.passage_prompt) @ asked
        order = np.argsort(-scores, kind="stable")[1:3]
        assert row["neg"] == [others[place] for place in order]
        assert np.allclose(np.array(row["neg_scores"], np.float64), scores[order], atol=1e-5)
    examples = PairTables(train=str(tmp_path / "hard.jsonl")).read("train")
    assert [each.negatives for each in examples] == [tuple(found[0]["neg"])] * 2 + [tuple(found[1]["neg"])]


def test_embeddings_that_are_there_are_used(words: list[str], tmp_path: Path) -> None:
    embed = [words[0], "input=corpus.jsonl", "output=corpus.parquet", "prompt=passage"]
    assert forks.run("cloze-embed", *embed, cwd=tmp_path).returncode == 0
    fresh = mined(tmp_path, *words, "corpus=corpus.jsonl")
    assert mined(tmp_path, *words, "corpus=corpus.parquet") == fresh
    other = Path(words[0].removeprefix("model=")).with_name("st600_mean_normalize")
    done = forks.run("cloze-mine", f"model={other}", *words[1:], "corpus=corpus.parquet", cwd=tmp_path)
    assert done.returncode == 2
    assert "was made with another model than" in done.stderr


def test_margins_and_random_choices(words: list[str], tmp_path: Path) -> None:
    everything = mined(tmp_path, *words, "corpus=corpus.jsonl", "negatives=9")
    below = mined(
        tmp_path, *words, "corpus=corpus.jsonl", "negatives=9", "absolute_margin=0.01", "relative_margin=0.05"
    )
    for row, all_of in zip(below, everything, strict=True):
        lowest = min(map(float, row["pos_scores"]))
        highest = min(lowest - 0.01, lowest - 0.05 * abs(lowest))
        pairs = zip(all_of["neg"], map(float, all_of["neg_scores"]), strict=True)
        assert row["neg"] == [text for text, score in pairs if score <= highest]
    some = [
        mined(tmp_path, *words, "corpus=corpus.jsonl", "negatives=2", "sampling=random", f"seed={s}") for s in (1, 1, 2)
    ]
    assert some[0] == some[1]
    assert all({*row["neg"]} <= {*all_of["neg"]} for row, all_of in zip(some[2], everything, strict=True))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["corpus=corpus.jsonl", "range_max=0"], "range_min from 0 to below range_max"),
        (["corpus=corpus.jsonl", "columns.text=body"], "has no 'body'"),
        (["corpus=no.jsonl"], "no.jsonl"),
        ([], "cloze-mine needs corpus="),
    ],
)
def test_what_cannot_be_is_refused(more: list[str], said: str, words: list[str], tmp_path: Path) -> None:
    done = forks.run("cloze-mine", *words, *more, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
