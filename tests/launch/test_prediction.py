"""`cloze-predict`: equal to transformers and to our own `stage=predict`, in order, in chunks, and going on."""

import csv
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from cloze.cli import finetune
from cloze.cli.predict import Words, main, own_words
from cloze.inference import predict as prediction
from cloze.inference.predictor import RowPredictor
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests import processes
from tests.tiny import LETTERS, TASKS, save_tiny, save_tiny_task

VOCABULARY = [*SPECIAL_TOKENS, *LETTERS, ".", *(f"##{c}" for c in LETTERS), "the", "cat", "sat", "on", "mat", "##ing"]
Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer(VOCABULARY)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "pretrained", VOCABULARY)


@pytest.fixture(scope="module")
def fine_tuned(pretrained: Path) -> dict[str, Path]:
    """A folder for each kind of task."""
    return {task: save_tiny_task(task, pretrained.with_name(task), VOCABULARY) for task in TASKS}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs the command in this process; what it prints, or its message."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object, status: int = 0) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["cloze-predict", *map(str, words), "hardware.threads=1"])
        assert main() == status, capfdbinary.readouterr().err.decode()
        out, err = capfdbinary.readouterr()
        printed = [json.loads(line) for line in out.decode().split("\n") if line]
        return printed if status == 0 else [{"error": err.decode()}]

    return command


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def sentences(count: int) -> list[str]:
    """Of 3 to 40 words, one of them masked."""
    words = ["the", "cat", "sat", "on", "mat", "dog", "playing", "a."]
    found = []
    for number in range(count):
        text = [words[(number * 3 + place) % len(words)] for place in range(3 + number * 7 % 20)]
        text[number % len(text)] = "[MASK]"
        found.append(" ".join(text))
    return found


def test_fill_mask_is_the_pipeline_of_transformers(run: Run, pretrained: Path, tmp_path: Path) -> None:
    texts = [*sentences(20), "[MASK]", "The [MASK] sat [MASK][MASK].", "cat[MASK]cat"]
    (tmp_path / "a.txt").write_text("\n\n".join(texts), encoding="utf-8")
    theirs = transformers.pipeline("fill-mask", model=str(pretrained), top_k=3)
    said = run(f"model={pretrained}", "input=a.txt", "top_k=3", "hardware.micro_batch_tokens=100")
    assert [row["text"] for row in said] == texts
    assert [row["id"] for row in said] == [str(number) for number in range(len(texts))]
    for text, row in zip(texts, said, strict=True):
        expected = theirs(text)
        expected = [expected] if isinstance(expected[0], dict) else expected
        assert [gap["start"] for gap in row["masks"]] == [n for n in range(len(text)) if text.startswith("[MASK]", n)]
        for gap, candidates in zip(row["masks"], expected, strict=True):
            assert [best["token_id"] for best in gap["candidates"]] == [best["token"] for best in candidates]
            assert [best["token"] for best in gap["candidates"]] == [VOCABULARY[best["token"]] for best in candidates]
            assert [best["probability"] for best in gap["candidates"]] == pytest.approx(
                [best["score"] for best in candidates], abs=1e-5
            )
        assert row["filled"] == fill(text, [gap["candidates"][0]["token"] for gap in row["masks"]])


def fill(text: str, tokens: list[str]) -> str:
    """The text with a token for each mask."""
    for token in tokens:
        before, after = text.split("[MASK]", 1)
        text = (before.rstrip() + token[2:] if token.startswith("##") else before + token) + after
    return text


def test_targets_are_those_of_the_pipeline(run: Run, pretrained: Path, tmp_path: Path) -> None:
    texts = ["The [MASK] sat [MASK][MASK].", "[MASK]"]
    (tmp_path / "a.txt").write_text("\n".join(texts), encoding="utf-8")
    words = ["cat", "The", "##ing", "x", "q", "z", "cat"]  # more than the five that are told without targets
    said = run(f"model={pretrained}", "input=a.txt", f"targets=[{','.join(words)}]")
    theirs = transformers.pipeline("fill-mask", model=str(pretrained), top_k=99)
    for text, row in zip(texts, said, strict=True):
        expected = theirs(text, targets=words)
        expected = [expected] if isinstance(expected[0], dict) else expected
        assert len(row["masks"]) == len(expected)
        for gap, candidates in zip(row["masks"], expected, strict=True):
            assert [best["token_id"] for best in gap["candidates"]] == [best["token"] for best in candidates]
            assert len(candidates) == 6
            assert [best["probability"] for best in gap["candidates"]] == pytest.approx(
                [best["score"] for best in candidates], abs=1e-6
            )
        assert row["filled"] == fill(text, [gap["candidates"][0]["token"] for gap in row["masks"]])
    (two,) = run(f"model={pretrained}", "text=[MASK]", "targets='cat'", "top_k=2")
    assert [best["token"] for best in two["masks"][0]["candidates"]] == ["cat"]
    said = run(f"model={pretrained}", "text=[MASK]", f"targets={','.join(words)}", "top_k=2")
    assert len(said[0]["masks"][0]["candidates"]) == 2


def test_what_a_library_logs_is_not_among_the_results(
    run: Run, pretrained: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """With CI=true transformers hands its messages to the root logger, whose handler is Hydra's."""
    run(f"model={pretrained}", "text=[MASK]")
    logging.getLogger("a library").warning("a message")
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert b"a message" in err


def test_gaps_of_pairs_and_of_long_texts(run: Run, pretrained: Path) -> None:
    (said,) = run(f"model={pretrained}", "text=the [MASK]", "text_pair=[MASK] {sat}, on=[x] the [MASK]")
    assert [(gap["segment"], gap["start"]) for gap in said["masks"]] == [(0, 4), (1, 0), (1, 25)]
    assert said["filled_pair"].count("{sat}, on=[x]") == 1
    middle = "cat " * 100 + "[MASK]" + " sat" * 100
    (said,) = run(f"model={pretrained}", f"text={middle}")
    (whole,) = run(f"model={pretrained}", f"text={'cat ' * 31}[MASK]{' sat' * 30}")
    assert said["masks"][0]["candidates"] == whole["masks"][0]["candidates"]
    (said,) = run(f"model={pretrained}", f"text=[MASK] {middle}", status=2)
    assert "its 2 [MASK] do not fit into 64 tokens; shorten the text" in said["error"]


def test_next_sentence_is_that_of_transformers(run: Run, pretrained: Path, tmp_path: Path) -> None:
    pairs = [(a, b) for a, b in zip(sentences(12), sentences(30)[18:], strict=True)]
    pairs = [(a.replace("[MASK]", "z"), b.replace("[MASK]", "y")) for a, b in pairs]
    (tmp_path / "p.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    columns = ["header=false", "columns.text=0", "columns.text_pair=1"]
    said = run(f"model={pretrained}", "task=next-sentence", "input=p.tsv", *columns)
    theirs = transformers.BertForNextSentencePrediction.from_pretrained(pretrained).eval()
    encode = transformers.AutoTokenizer.from_pretrained(pretrained)
    for (a, b), row in zip(pairs, said, strict=True):
        with torch.no_grad():
            logits = theirs(**encode(a, b, truncation=True, max_length=64, return_tensors="pt")).logits
        assert row["probability"] == pytest.approx(float(logits.softmax(-1)[0, 0]), abs=1e-5)
        assert row["prediction"] == (row["probability"] >= 0.5)
        assert (row["0"], row["1"]) == (a, b)


ROWS: dict[str, list[dict[str, Any]]] = {
    "classification": [{"text": text, "text_pair": text[::-1]} for text in sentences(15)],
    "multilabel": [{"text": text} for text in sentences(15)],
    "regression": [{"text": text} for text in sentences(15)],
    "token_classification": [{"words": [*text.split(), "😀"]} for text in sentences(15)],
    "question_answering": [
        {"id": f"q{n}", "question": f"the cat {text[:9]}", "context": f" {text} {'long ' * n}"}
        for n, text in enumerate(sentences(15))
    ],
    "multiple_choice": [{"text": text, "choices": [text[::-1], "the mat", "a"]} for text in sentences(15)],
}
DATA = {
    "classification": ["task.data.text=text", "task.data.text_pair=text_pair"],
    "multilabel": ["task.data.text=text"],
    "regression": ["task.data.text=text"],
    "multiple_choice": ["task.data.text=text", "task.data.choices=choices"],
    "question_answering": ["task.features.max_question_length=29"],
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_predicted_as_by_finetune(
    task: str,
    run: Run,
    fine_tuned: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    model = f"model={fine_tuned[task]}"
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[task]), encoding="utf-8")
    words = ["stage=predict", f"task={task}", model, "task.data.test=new.jsonl", "task.max_length=64", "run=x"]
    monkeypatch.setattr(sys, "argv", ["finetune.py", *words, *DATA.get(task, []), "hardware.threads=1"])
    assert finetune.main() == 0
    capfdbinary.readouterr()
    expected = lines(tmp_path / "runs/x/predictions/test.jsonl")
    monkeypatch.setattr(prediction, "ROWS_AT_ONCE", 4)
    run(model, "input=new.jsonl", "output=said.jsonl")
    said = lines(tmp_path / "said.jsonl")
    assert len(said) == len(expected) == 15
    for ours, theirs in zip(said, expected, strict=True):
        for key, value in theirs.items():
            assert flat(ours[key]) == pytest.approx(flat(value), abs=1e-5), key
    run(model, "input=new.jsonl", "output=said.parquet")
    table = pq.read_table(tmp_path / "said.parquet").to_pylist()
    assert [flat(row) for row in table] == [flat(row) for row in said]
    run(model, "input=new.jsonl", "output=said.csv")
    with (tmp_path / "said.csv").open(encoding="utf-8-sig", newline="") as stream:
        cells = list(csv.DictReader(stream))
    assert [row["id"] for row in cells] == [row["id"] for row in said]
    for row, record in zip(cells, said, strict=True):
        for label in TASKS[task][1] if "probabilities" in record else []:
            assert float(row[f"probability_{label}"]) == record["probabilities"][label]
            if isinstance(record["prediction"], list):
                assert row[f"prediction_{label}"] == str(int(label in record["prediction"]))


def flat(value: object) -> dict[str, Any]:
    """Every number and text of nested containers by its path; maps are lists of pairs in Parquet."""
    if isinstance(value, list) and value and all(isinstance(item, tuple) for item in value):
        value = dict(value)
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(str(key), item) for key, item in enumerate(value)]
    else:
        return {"": value}
    return {f"{key}.{path}": leaf for key, item in items for path, leaf in flat(item).items()}


def test_choices_of_different_numbers_and_from_the_command_line(
    run: Run, fine_tuned: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [("the cat", ["a", "b", "c"]), ("sat", ["on", "the"]), ("mat", ["c", "the cat", "d"])]
    table = [{"text": text, "choices": choices} for text, choices in texts]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    said = run(f"model={fine_tuned['multiple_choice']}", "input=c.jsonl")
    monkeypatch.setattr(prediction, "ROWS_AT_ONCE", 2)
    assert not run(f"model={fine_tuned['multiple_choice']}", "input=c.jsonl", "output=c.csv")
    with (tmp_path / "c.csv").open(encoding="utf-8-sig", newline="") as stream:
        cells = [json.loads(row["probabilities"]) for row in csv.DictReader(stream)]
    assert [list(row) for row in cells] == [["0", "1", "2"], ["0", "1"], ["0", "1", "2"]]
    for (text, choices), row in zip(texts, said, strict=True):
        (alone,) = run(f"model={fine_tuned['multiple_choice']}", f"text={text}", *(f"text_pair={c}" for c in choices))
        assert row["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)


def test_the_inputs_cells_are_kept_and_those_of_the_same_name_renamed(
    run: Run, fine_tuned: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("number,review,prediction\n7,the cat,old\n8,,\n9,mat,x\n", encoding="utf-8")
    words = [f"model={fine_tuned['classification']}", "columns.text=review", "columns.id=number", "on_bad_row=skip"]
    said = run(*words, "input=a.csv")
    assert [list(row) for row in said] == 3 * [
        ["id", "number", "review", "input_prediction", "prediction", "probability", "probabilities"]
    ]
    assert [(row["id"], row["review"], row["input_prediction"]) for row in said] == [
        ("7", "the cat", "old"), ("8", "", ""), ("9", "mat", "x")
    ]  # fmt: skip
    said = run(*words, "input=a.csv", "keep=false")
    assert list(said[0]) == ["id", "text", "prediction", "probability", "probabilities"]


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression", "token_classification"])
def test_a_row_with_an_empty_text_keeps_its_place(
    task: str, run: Run, fine_tuned: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("text,n\nthe cat,1\n,2\nsat,3\n , 4\n", encoding="utf-8")
    said = run(f"model={fine_tuned[task]}", "input=a.csv")
    assert [row["n"].strip() for row in said] == ["1", "2", "3", "4"]
    assert [len(row["prediction"]) for row in said] == [2, 0, 1, 0] if task.startswith("token") else True
    run(f"model={fine_tuned[task]}", "input=a.csv", "output=b.csv")
    with (tmp_path / "b.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert [row["text"] for row in csv.DictReader(stream)] == ["the cat", "", "sat", " "]


def test_words_from_standard_input(run: Run, fine_tuned: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat\n\nsat\n")))
    said = run(f"model={fine_tuned['token_classification']}", "format=words")
    assert [row["words"] for row in said] == [["the", "cat"], ["sat"]]
    assert [len(row["prediction"]) for row in said] == [2, 1]


def test_entities_of_raw_texts_are_the_pipelines(run: Run, fine_tuned: dict[str, Path], tmp_path: Path) -> None:
    """Places count characters of the very text, and no punctuation sticks to a word."""
    model = fine_tuned["token_classification"]
    texts = [
        *(f" {text.replace('a.', 'mat,a.sat').replace('[MASK]', 'on')}!" for text in sentences(12)),
        "😀cat… (the\u00a0mat)\t'sat'",
        "cat",
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    said = run(f"model={model}", "input=a.jsonl")
    pipe = transformers.pipeline("token-classification", str(model), aggregation_strategy="first")
    for text, row, groups in zip(texts, said, pipe(texts), strict=True):
        found = row["entities"]
        assert row["text"] == text
        assert [(e["label"], e["start"], e["end"]) for e in found] == [
            (group["entity_group"], group["start"], group["end"]) for group in groups
        ]
        assert [e["text"] for e in found] == [text[e["start"] : e["end"]] for e in found]
        assert all(0 < e["score"] <= group["score"] + 1e-5 for e, group in zip(found, groups, strict=True))
        assert row["words"] == [text[start:end] for start, end in row["offsets"]]
        assert row["prediction"].count("B-X") == len(found)
    assert sum(len(row["entities"]) for row in said) > 12
    run(f"model={model}", "input=a.jsonl", "output=a.parquet")
    assert [flat(row) for row in pq.read_table(tmp_path / "a.parquet").to_pylist()] == [flat(row) for row in said]


def test_a_run_that_is_stopped_goes_on(
    run: Run, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = sentences(40)
    texts[5] = texts[30] = "no mask"
    (tmp_path / "a.txt").write_text("\n".join(texts), encoding="utf-8")
    monkeypatch.setattr(prediction, "ROWS_AT_ONCE", 6)
    words = [f"model={pretrained}", "input=a.txt", "on_bad_row=skip"]
    run(*words, "output=whole.jsonl")
    predict, calls = RowPredictor.predict, []

    def stopping(self: RowPredictor, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(self, *given)

    monkeypatch.setattr(RowPredictor, "predict", stopping)
    (said,) = run(*words, "output=a.jsonl", status=130)
    assert "the same command resumes" in said["error"]
    assert len(lines(tmp_path / "a.jsonl.partial")) == 17
    (said,) = run(*words, "output=a.jsonl", "top_k=3", status=2)
    assert "a.jsonl: there is unfinished output of something else (top_k: was null, is 3)" in said["error"]
    run(*words, "output=a.jsonl", "hardware.micro_batch_tokens=100")
    assert len(calls) == 4 + 4
    ours, undisturbed = lines(tmp_path / "a.jsonl"), lines(tmp_path / "whole.jsonl")
    assert [row["text"] for row in ours] == [text for text in texts if text != "no mask"]
    assert [flat(row) for row in ours] == [pytest.approx(flat(row), abs=1e-6) for row in undisturbed]


def test_a_killed_run_goes_on_and_a_reader_may_leave(run: Run, pretrained: Path, tmp_path: Path) -> None:
    """The real command: SIGKILL in the middle of its work, and a pipe that is closed."""
    (tmp_path / "a.txt").write_text("\n".join(sentences(2000)), encoding="utf-8")
    words = [f"model={pretrained}", "input=a.txt", "top_k=1", "keep=false", "hardware.threads=1"]
    small_chunks = "from cloze.inference import predict as prediction; prediction.ROWS_AT_ONCE = 50"
    named = "import sys; sys.argv[0] = 'cloze-predict'"
    start = f"{named}; {small_chunks}; from cloze.cli.predict import main; sys.exit(main())"
    command = [sys.executable, "-c", start, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with processes.started([*command, "output=a.jsonl"], env=environment) as process:
        processes.wait_until((tmp_path / "a.jsonl.partial.json").exists, process, pause=0.02)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "a.jsonl").exists()
    begun = (tmp_path / "a.jsonl.partial").read_bytes()
    run(*words, "output=a.jsonl")
    whole = (tmp_path / "a.jsonl").read_bytes()
    assert len(begun) < len(whole)
    assert whole.startswith(begun[: begun.rindex(b"\n") + 1])
    assert [row["id"] for row in lines(tmp_path / "a.jsonl")] == [str(number) for number in range(2000)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with processes.started(command, env=environment, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["id"] == "0"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("pretrained", ["task=fil-mask", "text=a"], "task is 'fil-mask', but must be one of fill-mask, next-sentence"),
        ("pretrained", ["task=task", "text=a"], "holds a BertForPreTraining, which is fine-tuned on no task"),
        ("classification", ["task=fill-mask", "text=a"], "needs its masked_lm_head: give the folder of a pre-trained"),
        ("classification", ["task=next-sentence", "text=a"], "needs its next_sentence_head"),
        ("classification", ["threshold=0.3", "text=a"], "threshold is for several labels"),
        (
            "pretrained",
            ["text=a cat"],
            "error: text='a cat': has no [MASK]; write it where a word is to be filled in\n",
        ),
        ("pretrained", ["task=next-sentence", "text=a"], "has no 'text_pair'"),
        ("pretrained", ["text=a", "text_pair=b", "text_pair=c"], "text_pair: given 2 times, but text 1 times"),
        ("pretrained", ["text=[MASK]", "input=a.txt"], "text and input: both are given"),
        ("pretrained", ["text=[MASK]", "top_k=0"], "top_k=0: must be at least 1"),
        ("pretrained", ["text=[MASK]", "max_length=65"], "max_length=65: must be from 5 to 64"),
        ("question_answering", ["text=a", "text_pair=b", "max_length=7"], "max_length=7: must be from 8 to 64"),
        ("pretrained", ["threshold=0.3", "text=[MASK]"], "threshold is for several labels, which"),
        ("pretrained", ["task=next-sentence", "text=a", "text_pair=b", "n_best=3"], "n_best is for questions, which"),
        ("multilabel", ["text=a", "no_answer=true"], "no_answer is for questions, which"),
        ("classification", ["text=a", "targets=[a]"], "targets is for masked tokens, which"),
        ("pretrained", ["text=[MASK]", "targets=[cats, a]"], "targets: 'cats' is 2 tokens (cat ##s) of this model"),
        ("pretrained", ["text=[MASK]", "targets=[好]"], "targets: '好' is not in the vocabulary of this model"),
        ("pretrained", ["text=[MASK]", "targets=[a,]"], "targets: '' is no token of this model, but must be one"),
        ("pretrained", ["text=[MASK]", "output=a.txt"], "output=a.txt: its suffix must be .jsonl, .csv"),
        ("pretrained", ["input=none.txt"], "input=none.txt: there is no such file"),
        ("pretrained", ["input=."], "input=.: is a folder"),
        ("pretrained", ["input=none.txt", "columns.txt=a"], "unknown key 'columns.txt'; did you mean 'columns.text'?"),
        ("pretrained", ["text=[MASK]", "hardware=ddp"], "prediction works on one device"),
        ("pretrained", ["text=[MASK]", "model.weights=random"], "prediction needs a trained one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_predicted(
    run: Run, pretrained: Path, fine_tuned: dict[str, Path], model: str, words: list[str], message: str
) -> None:
    if words[-1] == "hardware=ddp":
        words = ["text=[MASK]", "hardware.devices=2"]
    folder = {"pretrained": pretrained, **fine_tuned}[model]
    (said,) = run(f"model={folder}", *words, status=2)
    assert message in said["error"]
    assert "Traceback" not in said["error"]


def test_words_that_hydra_does_not_see() -> None:
    words = own_words(["task=fill-mask", "text=[MASK], {a}=b", "++text_pair=x", "model=m", "columns.text=t", "task="])
    assert words == Words("fill-mask", ["[MASK], {a}=b"], ["x"], None, ["model=m", "columns.text=t"])
    assert own_words(["targets=[1.50, 'a,b', don't, \"'s\",好,true]"]).targets == [
        "1.50",
        "a,b",
        "don't",
        "'s",
        "好",
        "true",
    ]
    for none in ("targets=", "targets=null", "targets=[]"):
        assert own_words([none]).targets == []


def test_help_has_an_example_of_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["cloze-predict", "--help", "examples"])
    assert main() == 0
    page = capsys.readouterr().out
    for word in ("[MASK]", "task=fill-mask", "task=next-sentence", "output=stars.csv", "output=pairs.parquet", "| "):
        assert word in page
