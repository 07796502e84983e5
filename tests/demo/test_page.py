"""The page in a real browser: every tab, odd input, nothing that calls out, and the command around it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

from cloze.api import load
from cloze.checkpoint.pretrained import read_pretrained
from cloze.data.tables.examples import ChoiceExample, Example, QuestionExample, TextExample
from cloze.demo.reader import Reader
from cloze.inference.predictor import Inference
from cloze.report.examples import write_examples
from tests import processes
from tests.browser import Visitor, browser
from tests.demo.world import KINDS, pretrained_folder, task_folder
from tests.tiny import TASKS

OWN: dict[str, Any] = {"id": "1", "where": "dev.tsv"}
REPOSITORY = Path(__file__).resolve().parents[2]
INJECTION = """<script>window.ran=1</script><img src=x onerror="window.ran=1">"""
WITHOUT_TYPES = """
const copy = document.querySelector('.running').cloneNode(true);
copy.querySelectorAll('.entity-type').forEach(type => type.remove());
return copy.textContent"""
DEV: dict[str, list[Example]] = {
    "classes": [TextExample(**OWN, text="the cat sat."), TextExample(**OWN, text="a dog ran.")],
    "questions": [
        QuestionExample(**OWN, question="who sat?", context="the cat sat.", answers=None),
        QuestionExample(**OWN, question="who ran?", context="a dog ran.", answers=None),
    ],
    "choices": [
        ChoiceExample(**OWN, text="the cat", choices=("sat.", "ran."), label=None),
        ChoiceExample(**OWN, text="a dog", choices=("sat.", "ran."), label=None),
    ],
}
LONG = "the cat sat on the mat. " * 100
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/src", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    with browser() as one:
        yield one


@pytest.fixture(autouse=True)
def afresh(visitor: Visitor) -> Iterator[None]:
    yield
    visitor.leave()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained_folder(tmp_path_factory.mktemp("demo") / "model")


def check_quiet(visitor: Visitor, url: str) -> None:
    """Nothing ran that was typed, nothing was complained of, and nobody but this machine was asked."""
    assert visitor.driver.execute_script("return window.ran") is None
    assert visitor.driver.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    assert visitor.complaints() == []
    hosts = {urlsplit(asked).netloc for asked in visitor.requested() if urlsplit(asked).scheme not in ("data", "blob")}
    assert hosts == {urlsplit(url).netloc}


@pytest.mark.slow
def test_a_pretrained_model(visitor: Visitor, model: Path, tmp_path: Path) -> None:
    (tmp_path / "sentences.txt").write_text("the cat sat\n\na dog ran\n<b>on</b> the mat\nthe cat sat\n", "utf-8")
    words = [f"model={model}", "port=0", "sentences=sentences.txt", "hardware.threads=1"]
    command = [sys.executable, "-m", "cloze.cli.demo", *words]
    before = sorted(tmp_path.iterdir())
    with processes.started(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told: list[str] = []
        while "The demo is at " not in (line := process.stderr.readline()):
            assert line, told
            told.append(line)
        assert told[0].startswith("note: the tab for task is off: ")
        assert set(told[1:]) <= {"reading sentences: 3 of 3\n"}
        url = line.split()[4]
        visitor.visit(url)
        fill_in(visitor, Reader(read_pretrained(model), Inference(), top_k=8))
        next_sentence(visitor)
        attention(visitor, model)
        neighbours(visitor)
        off(visitor)
        on_a_phone(visitor, url)
        check_quiet(visitor, url)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest == "interrupted; the demo has ended\n"
    assert sorted(tmp_path.iterdir()) == before


def fill_in(visitor: Visitor, reader: Reader) -> None:
    """What the model says, as one types."""

    def says(text: str) -> list[tuple[str, str]]:
        masks = reader.predict("fill-mask", {"text": text}).prediction["masks"]
        return [(c["token"], f"{100 * c['probability']:.1f} %") for gap in masks for c in gap["candidates"]]

    visitor.until(visitor.bars)
    for text in (
        "the cat [MASK] on the [MASK].",
        f"{INJECTION} [MASK] {INJECTION}",
        "北京 [MASK] 😀",
        f"{LONG}[MASK] {LONG}",
    ):
        visitor.write(0, text)
        visitor.until(lambda text: visitor.bars() == says(text), text)
        shown = visitor.text(".running")
        assert all("".join(part.split()) in "".join(shown.split()) for part in text.split("[MASK]"))
    assert "the text is truncated to 64 tokens" in visitor.text(".note")
    visitor.write(0, "北京 [MASK] 😀")
    visitor.until(lambda: "Not in the vocabulary, and read as [UNK]: 😀" in visitor.text(".note"))
    for text in ("", " ", "no mask 😀"):
        visitor.write(0, text)
        visitor.until(lambda: visitor.texts(".hint") == ["Write [MASK] where a word is to be filled in."])
        assert not visitor.bars()
    visitor.write(0, "the dog ")
    visitor.all(".insert")[0].click()
    visitor.until(lambda: visitor.bars() == says("the dog [MASK]"))
    visitor.all("textarea")[0].send_keys(" ran")  # key after key
    visitor.until(lambda: visitor.bars() == says("the dog [MASK] ran"))


def next_sentence(visitor: Visitor) -> None:
    visitor.open_tab("Next sentence")
    visitor.until(visitor.bars)
    visitor.write(0, "the cat sat 😀")
    visitor.write(1, INJECTION)
    visitor.until(lambda: visitor.texts(".note"))
    labels, values = zip(*visitor.bars(), strict=True)
    assert labels == ("It continues the first", "It does not")
    assert sum(float(value.split()[0]) for value in values) == pytest.approx(100, abs=0.11)
    visitor.write(1, LONG)
    visitor.until(lambda: "truncated to 64 tokens" in visitor.text(".note"))
    visitor.write(0, "")
    visitor.until(lambda: visitor.texts(".hint") == ["Write both texts."])


def attention(visitor: Visitor, folder: Path) -> None:
    """The picture is painted, and the strip of tokens holds the encoder's own weights."""
    visitor.open_tab("Attention")
    visitor.until(lambda: visitor.all("canvas"))
    visitor.write(0, "the cat <b>sat</b>")
    pieces = ["[CLS]", "the", "cat", "<", "b", ">", "sat", "<", "/", "b", ">", "[SEP]"]
    visitor.until(lambda: visitor.texts(".piece") == pieces)
    ready = load(folder)
    with torch.no_grad():
        maps = ready.encoder.attention_weights(ready.pack(["the cat <b>sat</b>"]))
    visitor.choose(0, "Layer 2")
    visitor.choose(1, "Head 3")
    visitor.all(".piece")[2].click()
    expected = [f"{100 * weight:.1f} %" for weight in maps[1][2][2].tolist()]
    titles = "return [...document.querySelectorAll('.piece')].map(e => e.title)"
    visitor.until(lambda: visitor.driver.execute_script(titles) == expected)
    colours = """
    const c = document.querySelector('canvas'), seen = new Set();
    const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
    return seen.size"""
    visitor.until(lambda: visitor.driver.execute_script(colours) > 50)
    visitor.write(0, LONG)
    visitor.until(lambda: "The text has 702 tokens; the model reads the first 64." in visitor.text(".note"))
    visitor.write(0, "")
    visitor.until(lambda: visitor.texts(".hint") == ["Write a text."])
    visitor.choose(0, "Layer 1")  # of nothing
    visitor.write(0, "北京😀")
    visitor.until(lambda: visitor.texts(".piece") == ["[CLS]", "北", "京", "[UNK]", "[SEP]"])


def neighbours(visitor: Visitor) -> None:
    visitor.open_tab("Neighbours")
    visitor.until(lambda: [label for label, _ in visitor.bars()] != [])
    assert "among the 3 of sentences.txt" in visitor.text(".lead")
    visitor.write(0, "a dog ran")  # which is not its own neighbour
    visitor.until(lambda: {label for label, _ in visitor.bars()} == {"the cat sat", "<b>on</b> the mat"})
    visitor.write(0, "a dog ran!")
    visitor.write(1, f"{INJECTION}\n\n{LONG}\n北京😀")
    visitor.until(lambda: len(visitor.bars()) == 6)
    assert {INJECTION, "a dog ran", LONG.strip(), "北京😀"} < {label for label, _ in visitor.bars()}
    assert visitor.bars()[0][0] == "a dog ran"
    cosines = [float(value) for _, value in visitor.bars()]
    assert cosines == sorted(cosines, reverse=True)
    visitor.write(0, "")
    visitor.until(lambda: visitor.texts(".hint") == ["Write a sentence."])


def off(visitor: Visitor) -> None:
    visitor.open_tab("Task")
    visitor.until(lambda: "This model cannot do that" in visitor.text(".heading"))
    assert "fine-tuned on no task: fine-tune it with cloze-finetune." in visitor.text(".hint")


def on_a_phone(visitor: Visitor, url: str) -> None:
    """Nothing is wider than the screen."""
    visitor.visit(url, width=390)
    visitor.until(visitor.bars)
    for name in ("Fill in", "Next sentence", "Task", "Attention", "Neighbours"):
        visitor.open_tab(name)
        visitor.until(lambda: visitor.texts(".answer *, .hint"))
        visitor.until(lambda: visitor.cut() == [])
        for chip in visitor.all(".examples .q-chip"):
            assert chip.rect["x"] + chip.rect["width"] <= 390 - 24  # the card's


@pytest.mark.slow
def test_every_task(visitor: Visitor, tmp_path: Path) -> None:
    folders = [str(task_folder(kind, tmp_path / kind / "model")) for kind in KINDS]
    for kind in KINDS:
        (tmp_path / kind / "config.yaml").write_text("task: {}\n", "utf-8")
        write_examples(DEV.get(kind, DEV["classes"]), tmp_path / kind)
    port = processes.free_port()
    command = [sys.executable, str(Path(__file__).with_name("serve_every_task.py")), str(port), *folders]
    with processes.started(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        url = f"http://127.0.0.1:{port}"
        for kind in KINDS:
            visitor.visit(f"{url}/{kind}")
            own_examples(visitor, kind)
            {"entities": entities, "questions": questions, "choices": choices}.get(kind, classes)(visitor, kind)
            check_quiet(visitor, url)


def own_examples(visitor: Visitor, kind: str) -> None:
    """The run names the page, and the examples are those of its dev set."""
    assert visitor.text(".title") == kind
    assert visitor.driver.title == f"{kind} - cloze"
    first, second = ([box.get_attribute("value") for box in visitor.all("textarea")] for _ in range(2))
    assert first == second
    shown = {"questions": ["who sat?", "the cat sat."], "choices": ["the cat", "sat.\nran."]}
    assert first == shown.get(kind, ["the cat sat.", ""][: len(first)])
    assert len(visitor.all(".examples .q-chip")) == 2
    visitor.all(".examples .q-chip")[1].click()
    visitor.until(lambda: visitor.all("textarea")[0].get_attribute("value") in ("a dog ran.", "who ran?", "a dog"))


def classes(visitor: Visitor, kind: str) -> None:
    visitor.until(lambda: visitor.texts(".bar-label, .big"))
    if kind == "score":
        first = visitor.text(".big")
        visitor.write(0, f"{INJECTION} 北京 😀")
        visitor.until(lambda: visitor.text(".big") not in ("", first))
        assert float(visitor.text(".big")) != 0
        return
    labels = set(TASKS[KINDS[kind]][1])
    assert {label for label, _ in visitor.bars()} == labels
    for number, text in ((0, f"{INJECTION} 北京 😀"), (0, LONG), (1, "the dog")):
        before = visitor.bars()
        visitor.write(number, text)
        visitor.until(lambda before: visitor.bars() not in ([], before), before)
    assert "truncated to 64 tokens" in visitor.text(".note")
    visitor.write(0, "")
    visitor.until(lambda: visitor.texts(".hint") == ["Write a text."])


def entities(visitor: Visitor, kind: str) -> None:
    """All of the text is shown, whatever is marked in it."""
    visitor.until(lambda: visitor.texts(".running"))
    for text in (f"the cat {INJECTION} ran.", "北京 😀  cat\nsat", LONG):
        visitor.write(0, text)
        visitor.until(lambda text: visitor.driver.execute_script(WITHOUT_TYPES) == text, text)
    assert visitor.texts(".entity")
    assert set(visitor.texts(".entity-type")) == {"X"}
    assert "read in several windows" in visitor.text(".note")
    visitor.write(0, "")
    visitor.until(lambda: visitor.texts(".hint") == ["Write a text."])


def questions(visitor: Visitor, kind: str) -> None:
    visitor.until(lambda: visitor.texts(".mark"))
    for passage in (f"the {INJECTION} cat", "北京是 😀 the cat", LONG):
        visitor.write(1, passage)
        visitor.until(lambda passage: visitor.text(".running") == passage, passage)
        assert visitor.text(".mark") in passage
        assert visitor.bars()[0][0] == visitor.text(".mark")
    visitor.write(0, "")
    visitor.until(lambda: visitor.texts(".hint") == ["Write a question."])


def choices(visitor: Visitor, kind: str) -> None:
    visitor.until(visitor.bars)
    visitor.write(1, f"the cat\n{INJECTION}\n\n北京 😀\n{LONG}")
    labels = ["the cat", INJECTION, "北京 😀", LONG.strip()]
    visitor.until(lambda: [label for label, _ in visitor.bars()] == labels)
    assert "the sequence is truncated to 64 tokens" in visitor.text(".note")
    visitor.write(1, "the cat")
    visitor.until(lambda: visitor.texts(".hint") == ["Write two choices at least, one a line."])
