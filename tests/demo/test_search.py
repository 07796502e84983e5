"""The search tab: what it asks of the model, what it refuses, and the page in a real browser."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cloze
from cloze.checkpoint.pretrained import read_pretrained
from cloze.demo.reader import SEARCH, Reader
from cloze.demo.search import BEGINNING, beginning_of
from cloze.inference.choose import FINE_TUNED
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Inference
from cloze.retrieval.index import Index
from tests import forks, processes
from tests.browser import browser
from tests.demo.test_page import ENVIRONMENT, INJECTION, check_quiet

LONG = "one two three " * 100
HITS = """
const text = (hit, part) => hit.querySelector(part).textContent;
return [...document.querySelectorAll('.hit')].map(hit => [text(hit, '.hit-text'), text(hit, '.bar-value')])"""
TEXTS = ["A man plays the guitar.", INJECTION, "How do I reset my password?", LONG.strip(), "北京 😀"]
TEXTS += [f"text {number}" for number in range(8)]


@pytest.fixture
def model(shared_data: Path) -> Path:
    """Of sentence-transformers, with prompts, compared by dot products."""
    return shared_data / "fixtures/st600_cls_dense_normalize_prompts"


@pytest.fixture
def index(model: Path, tmp_path: Path) -> Path:
    rows = (json.dumps({"id": f"n{number}", "text": text}) + "\n" for number, text in enumerate(TEXTS))
    (tmp_path / "in.jsonl").write_text("".join(rows), "utf-8")
    words = [f"model={model}", "input=in.jsonl", "output=texts.parquet", "prompt=passage"]
    assert forks.run("cloze-embed", *words, cwd=tmp_path).returncode == 0
    return tmp_path / "texts.parquet"


def ranked(model: Path, query: str) -> list[tuple[str, float]]:
    """All texts with their scores, by a plain product, best first."""
    known = Embedder.read(model, Inference())
    texts = known.embed(TEXTS, prompt="passage: ")
    scores = texts @ known.embed([query], prompt="query: ")[0]
    return [(TEXTS[place], float(scores[place])) for place in np.argsort(-scores, kind="stable")]


def test_the_texts_nearest_to_a_query(model: Path, index: Path) -> None:
    pretrained = read_pretrained(model)
    for held in (True, False):
        reader = Reader(pretrained, Inference(), top_k=3, index=Index(index, pretrained, Inference(), held=held))
        near = reader.search("password", 4)
        texts, scores = zip(*ranked(model, "password")[:4], strict=True)
        assert tuple(hit.text for hit in near.hits) == texts
        assert [hit.score for hit in near.hits] == pytest.approx(scores, abs=1e-5)
        assert [TEXTS[int(hit.id[1:])] for hit in near.hits] == [hit.text for hit in near.hits]
        assert len(reader.search("password", 99).hits) == len(TEXTS)
    assert near.notes == ()
    assert "the text is truncated to 32 tokens" in reader.search(LONG, 1).notes[0]
    assert {FINE_TUNED, SEARCH}.isdisjoint(reader.off)
    alone = Reader(pretrained, Inference(), top_k=3)
    assert "give index=NAME.parquet" in alone.off[SEARCH]
    wanted = Embedder.read(model, Inference()).embed(TEXTS[:2])
    assert np.allclose(alone.vectors(TEXTS[:2]), wanted, atol=1e-5)  # the neighbours of an embedding model


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["index=no.parquet"], "index=no.parquet: there is no such file; make one by cloze-embed"),
        (["index=in.jsonl"], "index=in.jsonl: is no Parquet file that cloze-embed has written"),
        (["index=texts.parquet", "model=OTHER"], "index=texts.parquet was made with another model than"),
    ],
)
def test_an_index_that_cannot_be_is_refused(words: list[str], said: str, index: Path, shared_data: Path) -> None:
    other = shared_data / "fixtures/st600_mean_normalize"
    done = forks.run("cloze-demo", "port=0", *(word.replace("OTHER", str(other)) for word in words), cwd=index.parent)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_beginning_of_a_text() -> None:
    assert beginning_of("x" * BEGINNING) == "x" * BEGINNING
    assert beginning_of(LONG) in {LONG[:end].rstrip() + " …" for end in range(BEGINNING - 8, BEGINNING)}


@pytest.mark.slow
def test_the_page(model: Path, index: Path) -> None:
    command = [sys.executable, "-m", "cloze.cli.demo", "index=texts.parquet", "port=0", "hardware.threads=1"]
    with (
        processes.started(command, cwd=index.parent, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process,
        browser() as visitor,
    ):
        assert process.stderr is not None
        while "The demo is at " not in (line := process.stderr.readline()):
            assert "off: " in line
        url = line.split()[4]
        visitor.visit(url)
        visitor.until(lambda: visitor.texts(".hint"))
        assert "nearest of the 13 texts in texts.parquet, by the dot product" in visitor.text(".lead")
        assert "reads 'query: ' in front" in visitor.text(".lead")

        def shows(query: str, count: int) -> None:
            wanted = [(beginning_of(text), f"{score:.3f}") for text, score in ranked(model, query)[:count]]
            visitor.until(lambda: [*map(tuple, visitor.driver.execute_script(HITS))] == wanted)

        for query in ("password", INJECTION, "北京 😀"):
            visitor.write(0, query)
            shows(query, 8)
        visitor.all(".more")[0].click()
        shows("北京 😀", len(TEXTS))
        assert not visitor.all(".more")
        (whole,) = visitor.all(".whole")
        assert whole.text == f"All {len(LONG.strip()):,} characters"
        whole.click()
        visitor.until(lambda: LONG.strip() in visitor.texts(".hit-text"))
        whole.click()
        visitor.until(lambda: beginning_of(LONG.strip()) in visitor.texts(".hit-text"))
        visitor.write(0, "")
        visitor.until(lambda: visitor.texts(".hint") == ["Write what you look for: a question, a title, a few words."])
        visitor.visit(url, width=390)
        visitor.until(lambda: visitor.all("textarea"))
        visitor.write(0, LONG)
        visitor.until(lambda: "truncated to 32 tokens" in visitor.text(".note"))
        visitor.until(lambda: visitor.cut() == [])
        check_quiet(visitor, url)
        visitor.leave()


@pytest.mark.slow
def test_passages_are_ranked_by_a_re_ranker(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "fixtures/st600_cross_encoder_identity"
    passages = ["a man plays", "<b>x</b>", "the document"]
    scores = [said["prediction"] for said in cloze.load(folder).predict([("a man", text) for text in passages])]
    wanted = sorted(zip(passages, (f"{score:.3f}" for score in scores), strict=True), key=lambda row: -float(row[1]))
    port = processes.free_port()
    command = [sys.executable, str(Path(__file__).with_name("serve_every_task.py")), str(port), str(folder)]
    with (
        processes.started(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process,
        browser() as visitor,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        visitor.visit(f"http://127.0.0.1:{port}/fixtures")
        visitor.until(visitor.bars)
        visitor.write(0, "a man")
        visitor.write(1, "\n".join(passages))
        visitor.until(lambda: visitor.bars() == wanted)
        visitor.write(1, "")
        visitor.until(lambda: visitor.texts(".hint") == ["Write a passage at least, one a line."])
        check_quiet(visitor, f"http://127.0.0.1:{port}")
        visitor.leave()
