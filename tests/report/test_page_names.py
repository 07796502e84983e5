"""What runs, metrics and phases are called on a page."""

from pathlib import Path
from typing import Any

import pytest

from cloze.report.page.figures import table_of_figures, title
from cloze.report.page.names import named, title_of
from cloze.report.page.page import render
from cloze.report.page.phases import Change, phase_changes, phases_in_words
from cloze.report.page.run import Run, read_run
from tests.report.run_folders import pretraining


def sweep(folder: Path, *words: str, command: str = "python train.py {} run=rates folder=runs/rates/{}") -> list[Run]:
    """Runs that differ in these words of their commands."""
    runs = [
        pretraining(folder / str(number), rows=12, command=command.format(word, number))
        for number, word in enumerate(words)
    ]
    return [read_run(run, run.name) for run in runs]


def names(runs: list[Run]) -> list[str]:
    return [run.name for run in named(runs)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["optimizer.lr=1e-3 seed=1", "optimizer.lr=2e-3 seed=1"], ["lr=1e-3", "lr=2e-3"]),
        (
            ["optimizer.lr=1e-3 model=tiny", "optimizer.lr=1e-3 model=mini", "optimizer.lr=2e-3 model=mini"],
            ["lr=1e-3, model=tiny", "lr=1e-3, model=mini", "lr=2e-3, model=mini"],
        ),
        (["optimizer.lr=1 head.lr=1", "optimizer.lr=2 head.lr=1", "optimizer.lr=2 head.lr=2"],
         ["optimizer.lr=1, head.lr=1", "optimizer.lr=2, head.lr=1", "optimizer.lr=2, head.lr=2"]),
        (["model=folder model.folder=/x/a/model", "model=folder model.folder=/x/b/model"],
         ["model=a/model", "model=b/model"]),
        (["'corpus.files=a b.txt'", "corpus.files=c.txt"], ["files=a b.txt", "files=c.txt"]),
        (["++seed=1", "++seed=2"], ["seed=1", "seed=2"]),
    ],
)  # fmt: skip
def test_the_runs_of_a_sweep_are_called_by_what_varied(words: list[str], expected: list[str], tmp_path: Path) -> None:
    runs = sweep(tmp_path / "rates", *words)
    assert names(runs) == expected
    assert title_of(runs) == f"rates: {len(words)} runs"


def test_where_no_command_tells_the_configuration_does(tmp_path: Path) -> None:
    runs = [pretraining(tmp_path / str(n), rows=1, command="", objective={"mask_rate": n / 10}) for n in (1, 2)]
    assert names([read_run(run, "") for run in runs]) == ["mask_rate=0.1", "mask_rate=0.2"]


def test_runs_that_are_the_same_keep_their_numbers_and_those_with_names_their_names(tmp_path: Path) -> None:
    assert names(sweep(tmp_path / "same", "seed=1", "seed=1")) == ["0", "1"]
    assert names(sweep(tmp_path / "rates", "seed=1")) == ["rates/0"]
    two = [*sweep(tmp_path / "a", "seed=1", "seed=2"), *sweep(tmp_path / "b", "seed=1", "seed=2")]
    assert names(two) == ["a: seed=1", "a: seed=2", "b: seed=1", "b: seed=2"]
    hand = [read_run(pretraining(tmp_path / name, command=f"train.py optimizer.lr={name}"), name) for name in "xy"]
    assert names(hand) == ["x", "y"]
    assert title_of(hand) == "2 runs"


def test_a_page_tells_once_what_is_the_same_in_all_runs(tmp_path: Path) -> None:
    table = table_of_figures(sweep(tmp_path, "seed=1", "seed=2"))
    assert dict(table.same) == {"steps": "120", "tokens seen": "240 k", "state": "finished"}
    assert not {"steps", "state"} & set(table.names)
    page = render([tmp_path / "0", tmp_path / "1"])
    assert "The same in all runs: steps 120, tokens seen 240 k, state finished." in " ".join(page.split())


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("memory_gib", "memory (GiB)"),
        ("cuda_memory_gib", "CUDA memory (GiB)"),
        ("masked_lm_loss", "masked LM loss"),
        ("gib", "gib"),
        ("f1_PER", "F1 of PER"),
    ],
)
def test_metrics_are_called_by_words(metric: str, expected: str) -> None:
    assert title(metric) == expected


def longer(step: int, after: int, before: int) -> Change:
    return Change(step, f"{after} tokens", f"sequences of up to {after} tokens in place of {before}")


def phased(folder: Path, *, trainer: dict[str, Any], finished: bool = True, rows: int = 60) -> Run:
    data = {"folder": "none", "phases": [[0.5, 32], [0.25, 128], [0.25, 512]]}
    return read_run(pretraining(folder, rows=rows, finished=finished, data=data, trainer=trainer), "run")


@pytest.mark.parametrize(
    ("trainer", "finished"),
    [
        ({"max_steps": 600}, True),
        ({"max_steps": 600}, False),
        ({"max_steps": None, "max_epochs": 3}, True),
        ({"max_steps": None, "max_tokens": 1_200_000}, False),  # 2,000 tokens a step
    ],
)
def test_changes_of_phase_are_found(trainer: dict[str, Any], finished: bool, tmp_path: Path) -> None:
    run = phased(tmp_path / "run", trainer=trainer, finished=finished)
    assert phase_changes(run) == [longer(301, 128, 32), longer(451, 512, 128)]
    (told,) = phases_in_words([run, run])
    assert told.startswith("from step 301 on, sequences of up to 128 tokens in place of 32; from step 451 on")


def test_phases_of_steps_and_tokens_tell_what_they_change(tmp_path: Path) -> None:
    phases = [
        {"steps": 100, "max_length": 32},
        {"tokens": 400_000, "max_length": 64, "mask_rate": 0.3},  # 2,000 tokens a step
        {"mask_rate": 0.15, "final_lr": 0.0},
    ]
    data = {"folder": "none", "phases": phases}
    run = read_run(pretraining(tmp_path / "run", rows=60, data=data, trainer={"max_steps": 600}), "run")
    assert phase_changes(run) == [
        Change(101, "64 tokens", "sequences of up to 64 tokens in place of 32, mask_rate 0.3"),
        Change(301, "phase 3", "mask_rate 0.15, final_lr 0.0"),
    ]


def test_what_has_not_been_reached_is_no_change_yet(tmp_path: Path) -> None:
    run = phased(tmp_path / "a", trainer={"max_steps": 600}, finished=False, rows=40)
    assert phase_changes(run) == [longer(301, 128, 32)]
    unknown = phased(tmp_path / "b", trainer={"max_steps": None, "max_epochs": 2}, finished=False)
    assert phase_changes(unknown) == []
    assert phase_changes(read_run(pretraining(tmp_path / "c"), "c")) == []
