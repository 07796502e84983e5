"""`cloze-glue`: which runs it makes, and the command itself on a small table."""

import subprocess
from pathlib import Path

import pytest

from cloze.cli.glue import Glue, runs_of
from tests import forks

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = [
    "model=tiny", "model.hidden_size=32", "model.intermediate_size=64", "tokenizer.vocab_size=100",
    "task.max_length=32", "trainer.max_steps=2",
]  # fmt: skip


def config(**given: object) -> Glue:
    values = {"run": "g", "folder": "runs/g", "tasks": ["rte"], "seeds": [1], "start_from": None, "datasets": "data"}
    return Glue(**{**values, **given})  # type: ignore[arg-type]


def test_a_run_for_each_task_and_seed() -> None:
    runs = list(runs_of(config(tasks=["cola", "rte"], seeds=[1, 2]), ["model=m/x", "optimizer.lr=1e-4"]))
    assert [run.name for run in runs] == ["cola/1", "cola/2", "rte/1", "rte/2"]
    assert runs[3].words == [
        "task=glue/rte", "run=g/rte/2", "seed=2", "datasets=data", "model=m/x", "optimizer.lr=1e-4"
    ]  # fmt: skip


@pytest.mark.parametrize(("start", "model"), [("mnli", "model=runs/g/mnli/1/model"), ("m/mnli", "model=m/mnli")])
def test_small_tasks_start_from_mnli_and_ax_is_predicted_by_it(start: str, model: str) -> None:
    tasks = ["cola", "rte", "mnli", "ax"]
    passed = ["model=m/x", "model.weights=random", "hardware=gpu"]
    runs = {run.name: run.words[4:] for run in runs_of(config(tasks=tasks, start_from=start), passed)}
    assert next(iter(runs)) == "mnli/1"
    assert runs["mnli/1"] == runs["cola/1"] == passed
    assert runs["rte/1"] == [model, "hardware=gpu"]
    assert runs["ax/1"] == ["stage=predict", "model=runs/g/mnli/1/model", "hardware=gpu"]


def glue(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forks.run("cloze-glue", *words, cwd=folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tasks=[rta]"], "tasks: 'rta' is no task of GLUE; did you mean 'rte'?"),
        (["tasks=[]"], "there has to be at least one of each"),
        (["tasks=[ax]"], "ax needs the model of mnli, which is not among them: add mnli"),
        (["tasks=[rte]", "start_from=mnli"], "start_from=mnli needs the model of mnli"),
        (["seeds=[a]"], "seeds[0] is 'a', but must be a whole number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_before_any_run(tmp_path: Path, words: list[str], message: str) -> None:
    result = glue(tmp_path, *words)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def write_table(file: Path, *rows: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


@pytest.mark.slow
def test_one_run_that_fails_loses_no_other_and_is_made_up_for(tmp_path: Path) -> None:
    rows = [
        f"{i}\tit rains {i}\tit is {weather}\t{label}"
        for i in range(8)
        for weather, label in (("wet", "entailment"), ("dry", "not_entailment"))
    ]
    for split in ("train", "dev"):
        write_table(tmp_path / "data/glue/RTE" / f"{split}.tsv", "index\tsentence1\tsentence2\tlabel", *rows)
    write_table(tmp_path / "data/glue/RTE/test.tsv", "index\tsentence1\tsentence2", "0\tit rains\tit is wet")
    words = ["run=g", "tasks=[rte,wnli]", "datasets=data", *SMALL]

    result = glue(tmp_path, *words)
    assert result.returncode == 2, result.stderr
    assert "data/glue/WNLI/train.tsv" in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: 1 of 2 runs failed: wnli/1; ")
    folder = tmp_path / "runs" / "g"
    assert "| RTE accuracy |" in (folder / "glue.md").read_text(encoding="utf-8")
    assert (folder / "submission" / "RTE.tsv").read_text(encoding="utf-8").startswith("index\tprediction\n0\t")
    assert "WNLI.tsv" in result.stdout.splitlines()[-1]

    for split in ("train", "dev", "test"):
        lines = [row.replace("not_entailment", "0").replace("entailment", "1") for row in rows]
        write_table(tmp_path / "data/glue/WNLI" / f"{split}.tsv", "index\tsentence1\tsentence2\tlabel", *lines)
    again = glue(tmp_path, *words, "tasks=[wnli]")  # the table takes what is in the folder
    assert again.returncode == 0, again.stderr
    assert "| RTE accuracy | WNLI accuracy |" in (folder / "glue.md").read_text(encoding="utf-8")
    assert {path.name for path in folder.iterdir()} == {
        "rte", "wnli", "glue.md", "glue.json", "glue.png", "submission"
    }  # fmt: skip
