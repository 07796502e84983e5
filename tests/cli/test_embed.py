"""`cloze-embed` as a user calls it: files of embeddings, and scores on collections, runs and tables."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import cloze
from cloze.data.tables.collection import read_run
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference
from cloze.metrics.ranking import ranked
from tests import forks

TEXTS = ["A man plays the guitar.", "How do I reset my password?", "x"]
DOCUMENTS = {"d1": "a man plays", "d2": "a password", "d3": "the document", "q2": "on the query"}
QUERIES = {"q1": "play a guitar", "q2": "on the query", "q3": "never judged"}
JUDGEMENTS = [("q1", "d1", 2), ("q1", "d2", 1), ("q2", "d3", 1), ("q2", "q2", 1)]


@pytest.fixture
def model(shared_data: Path) -> Path:
    return shared_data / "fixtures/st600_cls_dense_normalize_prompts"


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A small folder as BEIR has it."""
    folder = tmp_path / "small"
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", DOCUMENTS), ("queries", QUERIES)):
        lines = (json.dumps({"_id": key, "title": "", "text": text}) + "\n" for key, text in rows.items())
        (folder / f"{name}.jsonl").write_text("".join(lines))
    lines = (f"{query}\t{document}\t{grade}\n" for query, document, grade in JUDGEMENTS)
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


def embed(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    return forks.run("cloze-embed", *map(str, words), cwd=folder)


def scores(folder: Path, name: str) -> dict[str, dict[str, float]]:
    return json.loads((folder / "runs/evaluate" / name / "results.json").read_text())  # type: ignore[no-any-return]


def test_files_hold_the_embeddings_of_all_rows(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": f"n{i}", "t": t}) + "\n" for i, t in enumerate(TEXTS)))
    words = ["input=in.jsonl", "columns.text=t", f"model={model}"]
    assert embed(tmp_path, *words, "output=a.parquet", "prompt=passage", "dimension=8").returncode == 0
    assert embed(tmp_path, *words, "output=a.npy").returncode == 0
    known = Embedder.read(model, Inference())
    table = pq.read_table(tmp_path / "a.parquet")
    assert (table["id"].to_pylist(), table["text"].to_pylist()) == (["n0", "n1", "n2"], TEXTS)
    wanted = known.embed(TEXTS, prompt=known.passage_prompt)[:, :8]
    assert np.allclose(np.array(table["embedding"].to_pylist(), np.float32), wanted, atol=1e-6)
    assert np.allclose(np.load(tmp_path / "a.npy", mmap_mode="r"), known.embed(TEXTS), atol=1e-6)


def test_a_collection_is_searched_and_scored(model: Path, collection: Path, tmp_path: Path) -> None:
    words = [f"data={collection}", "metrics=[ndcg@10,mrr@10,recall@2]"]
    done = embed(tmp_path, "evaluate", *words, f"model={model}")
    assert done.returncode == 0, done.stderr
    found, known = scores(tmp_path, "small"), Embedder.read(model, Inference())
    documents = known.embed([*DOCUMENTS.values()], prompt=known.passage_prompt)
    reciprocal = []
    for query in ("q1", "q2"):
        asked = known.embed([QUERIES[query]], prompt=known.query_prompt)[0]
        order = sorted(
            (name for name in DOCUMENTS if name != query),
            key=lambda n: -float(documents[[*DOCUMENTS].index(n)] @ asked),
        )
        relevant = {document for other, document, _ in JUDGEMENTS if other == query}
        reciprocal.append(1 / (1 + next(at for at, name in enumerate(order) if name in relevant)))
    assert found["test"]["mrr@10"] == pytest.approx(np.mean(reciprocal))
    assert found["bm25"].keys() == found["test"].keys()
    again = embed(tmp_path, "evaluate", *words, "run=runs/evaluate/small/run.trec", "baseline=null", "output=again")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "again/results.json").read_text()) == {"test": found["test"]}
    assert "play a guitar" in (tmp_path / "runs/evaluate/small/worst.md").read_text()


def test_tables_of_pairs_are_scored(model: Path, tmp_path: Path) -> None:
    (tmp_path / "sts.csv").write_text("sentence1,sentence2,score\na man,a man,5\na man,the query,1\nx,on the man,0\n")
    (tmp_path / "pairs.csv").write_text("query,positive\na man,a man plays\nthe query,the document\n")
    assert embed(tmp_path, "evaluate", "data=sts.csv", f"model={model}", "output=sts").returncode == 0
    assert embed(tmp_path, "evaluate", "data=pairs.csv", f"model={model}", "output=pairs").returncode == 0
    assert json.loads((tmp_path / "sts/results.json").read_text())["test"].keys() == {"spearman", "pearson"}
    assert "mrr@10" in json.loads((tmp_path / "pairs/results.json").read_text())["test"]


def test_triplets_and_labelled_texts_are_scored(model: Path, tmp_path: Path) -> None:
    triplets = [("a man", "a man plays", "the query"), ("the query", "a man", "the document"), ("x", "x", "the man")]
    (tmp_path / "three.csv").write_text("anchor,positive,negative\n" + "".join(f"{','.join(r)}\n" for r in triplets))
    texts = [("a man", "m"), ("a man plays", "m"), ("the query", "d"), ("the document", "d"), ("on the query", "d")]
    (tmp_path / "labelled.csv").write_text("text,label\n" + "".join(f"{','.join(row)}\n" for row in texts))
    for name in ("three", "labelled"):
        done = embed(tmp_path, "evaluate", f"data={name}.csv", f"model={model}", f"output={name}")
        assert done.returncode == 0, done.stderr
    known = Embedder.read(model, Inference())
    prompts = (known.query_prompt, known.passage_prompt, known.passage_prompt)
    parts = zip(zip(*triplets, strict=True), prompts, strict=True)
    anchors, positives, negatives = (known.embed(texts, prompt=prompt) for texts, prompt in parts)
    right = (anchors * positives).sum(1) > (anchors * negatives).sum(1)
    three = json.loads((tmp_path / "three/results.json").read_text())["test"]
    assert three["triplet_accuracy"] == pytest.approx(right.mean())
    assert "knn_accuracy" in json.loads((tmp_path / "labelled/results.json").read_text())["test"]


@pytest.mark.parametrize("first", ["bm25", "model"])
def test_the_best_documents_are_ordered_anew(
    first: str, model: Path, collection: Path, shared_data: Path, tmp_path: Path
) -> None:
    ranker = shared_data / "fixtures/st600_cross_encoder_sigmoid"
    words = [f"data={collection}", f"reranker={ranker}", "rerank_top=2", "metrics=[ndcg@10,mrr@10]"]
    done = embed(tmp_path, "evaluate", *words, f"model={model}" if first == "model" else "run=bm25", "output=out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert [*found] == (["reranked", "test", "bm25"] if first == "model" else ["reranked", "bm25"])
    tokenizer = AutoTokenizer.from_pretrained(ranker)
    theirs = AutoModelForSequenceClassification.from_pretrained(ranker)
    for query, documents in read_run(tmp_path / "out/reranked.trec").items():
        order = ranked(documents)
        pairs = tokenizer(
            [QUERIES[query]] * len(order), [DOCUMENTS[name] for name in order], padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            logits = theirs(**pairs).logits[:, 0].tolist()
        assert [documents[name] for name in order[:2]] == pytest.approx(logits[:2], abs=1e-5)
        assert all(documents[name] < documents[order[1]] for name in order[2:])


def test_bm25_on_a_published_collection(shared_data: Path, tmp_path: Path) -> None:
    """The figures of bm25s with k1 0.9 and b 0.4, from an independent evaluation by ir_measures: 0.2970 and 0.6833."""
    folder = shared_data / "retrieval/cranfield"
    run = tmp_path / "run.trec"
    run.write_text("1 Q0 184 1 1.0 x\n")
    done = embed(tmp_path, "evaluate", f"data={folder}", f"run={run}", "output=out")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((tmp_path / "out/results.json").read_text())["bm25"]
    assert found["ndcg@10"] == pytest.approx(0.2970, abs=2e-3)
    assert found["recall@100"] == pytest.approx(0.6833, abs=2e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate"], "evaluate needs data="),
        (["evaluate", "data=nowhere"], "data=nowhere: there is no such folder or file"),
        (["evaluate", "data=small", "split=dev"], "give split= one that is there (test)"),
        (["evaluate", "data=small", "metrics=[good@10]"], "'good@10' is no metric of ranked lists"),
        (["evaluate", "data=small", "reranker=nowhere"], "nowhere"),
        (["evaluate", "data=small", "rerank_top=0"], "rerank_top=0"),
        (["evaluate", "data=small", "input=x"], "input=x: is of cloze-embed without evaluate"),
        (["data=small"], "data=small: is of cloze-embed evaluate"),
        (["input=x.csv"], "cloze-embed needs input= and output="),
        (["input=x.csv", "output=x.txt"], "output=x.txt: must end in .parquet or .npy"),
        (["input=x.csv", "output=x.npy"], "x.csv: cannot be read"),
        (["input=small/corpus.jsonl", "output=x.npy", "dimension=99"], "dimension=99: must be from 1 to 16"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], said: str, model: Path, collection: Path, tmp_path: Path) -> None:
    done = embed(tmp_path, *words, f"model={model}")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("qrels/test.tsv", "q1\td1\tgood\n", "line 6: its grade is 'good', but must be a number"),
        ("qrels/test.tsv", "q1\td1\n", "line 6: has 2 columns, but must have 3 (BEIR) or 4 (TREC)"),
        ("qrels/test.tsv", "q9\td1\t1\n", "the query 'q9' has judgements in test, but no text"),
        ("corpus.jsonl", '{"text": "x"}\n', "has no '_id', the name of the row"),
        ("corpus.jsonl", '{"_id": "d9", "text": 3}\n', "its title and text must be text"),
        ("queries.jsonl", '{"_id": "q9"}\n', "has no 'text'; a query is a name and a text"),
    ],
)
def test_damage_to_a_collection_is_refused(
    file: str, line: str, said: str, model: Path, collection: Path, tmp_path: Path
) -> None:
    with (collection / file).open("a") as lines:
        lines.write(line)
    done = embed(tmp_path, "evaluate", f"data={collection}", f"model={model}", "baseline=null")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_the_nearest_texts_are_found_with_the_model_that_made_the_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))
    assert embed(tmp_path, f"model={model}", "input=in.txt", "output=a.parquet", "prompt=passage").returncode == 0
    words = ["index=a.parquet", "query=a man, a [plan]", "query=password", "top_k=2"]
    done = forks.run("cloze-search", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    known = Embedder.read(model, Inference())
    scores = (
        known.embed(["a man, a [plan]", "password"], prompt=known.query_prompt)
        @ known.embed(TEXTS, prompt=known.passage_prompt).T
    )
    wanted = [TEXTS[place] for row in scores for place in np.argsort(-row)[:2]]
    assert [each["text"] for each in said] == wanted
    assert [each["rank"] for each in said] == [1, 2, 1, 2]
    again = cloze.load(model).embed(TEXTS, prompt="passage")
    assert np.allclose(again, known.embed(TEXTS, prompt=known.passage_prompt), atol=1e-6)


@pytest.mark.parametrize(("kind", "tolerance"), [("int8", 0.02), ("binary", 1.0)])
def test_quantised_files_are_searched(kind: str, tolerance: float, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))
    words = [f"model={model}", "input=in.txt", "prompt=passage"]
    done = embed(tmp_path, *words, "output=a.parquet", f"quantize={kind}")
    assert done.returncode == 0, done.stderr
    assert f"quantize={kind}, compared with float32: texts 3, cosine" in done.stdout
    known = Embedder.read(model, Inference())
    stored = np.array(pq.read_table(tmp_path / "a.parquet")["embedding"].to_pylist())
    whole = known.embed(TEXTS, prompt=known.passage_prompt)
    if kind == "binary":
        assert np.array_equal(np.unpackbits(stored.astype(np.uint8), axis=1), whole > 0)
    done = forks.run("cloze-search", "index=a.parquet", "query=password", "top_k=3", cwd=tmp_path)
    asked = known.embed(["password"], prompt=known.query_prompt)[0]
    for line in done.stdout.splitlines():
        said = json.loads(line)
        assert abs(said["score"] - whole[TEXTS.index(said["text"])] @ asked) < tolerance
    refused = embed(tmp_path, *words, "output=a.npy", f"quantize={kind}")
    assert "needs output=NAME.parquet" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["index=a.parquet"], "cloze-search needs query="),
        (["index=no.parquet", "query=x"], "index=no.parquet: there is no such file"),
        (["index=b.parquet", "query=x"], "is no Parquet file that cloze-embed has written"),
        (["index=a.parquet", "query=x", "top_k=0"], "top_k=0: must be at least 1"),
        (["index=a.parquet", "query=x", "model=OTHER"], "was made with another model than"),
    ],
)
def test_searches_that_cannot_be_are_refused(
    words: list[str], said: str, model: Path, shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("a text")
    (tmp_path / "b.parquet").write_bytes(b"nothing")
    assert embed(tmp_path, f"model={model}", "input=in.txt", "output=a.parquet").returncode == 0
    other = shared_data / "fixtures/st600_mean_normalize"
    done = forks.run("cloze-search", *(word.replace("OTHER", str(other)) for word in words), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
