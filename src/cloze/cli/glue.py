"""`cloze-glue`: the GLUE table of a model, for every task and seed."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from cloze.cli import command
from cloze.config.nodes import Root
from cloze.errors import InputError
from cloze.runtime.spinner import waiting
from cloze.runtime.wording import counted

FROM_MNLI = {"rte", "mrpc", "stsb"}
"""The small tasks that gain from a model of MNLI (Phang et al. 2018, Liu et al. 2019)."""


@dataclass(frozen=True, kw_only=True)
class Glue(Root):
    """The root of `conf/glue.yaml`."""

    run: str
    folder: str
    tasks: list[str]
    seeds: list[int]
    start_from: str | None
    datasets: str


class Run(NamedTuple):
    """A call of `cloze-finetune`: its folder below `runs/NAME/`, and its words."""

    name: str
    words: list[str]


def main() -> int:
    """Fine-tune on every task and write the table; returns the exit status."""
    own = {field.name for field in fields(Glue)}
    words = sys.argv[1:]
    passed = [word for word in words if "=" in word and word.lstrip("+").partition("=")[0] not in own]
    sys.argv[1:] = [word for word in words if word not in passed]

    def glue(config: Glue) -> None:
        _glue(config, passed)

    return command.run(glue, name="glue", schema=Glue, lasting=True)


def _glue(config: Glue, passed: Sequence[str]) -> None:
    _check(config)
    folder = Path(config.folder)
    runs = list(runs_of(config, passed))  # those that are finished just tell their results again
    failed = []
    for number, run in enumerate(runs, 1):
        print(f"\n[{number}/{len(runs)}] {run.name}", flush=True)
        # A process of its own: its memory is freed, and its crash is not ours.
        status = subprocess.run([sys.executable, "-m", "cloze.cli.finetune", *run.words], check=False).returncode
        if status == command.BAD_INPUT and number == 1:
            raise InputError(
                f"{run.name}, the first run, was refused, as reported above: fix it and give the command again"
            )
        if status:
            failed.append(run.name)
    _report(folder, config.run)
    if failed:
        raise InputError(
            f"{len(failed)} of {counted(len(runs), 'runs')} failed: {', '.join(failed)}; why stands above, and the "
            "same command runs what is missing"
        )


def _check(config: Glue) -> None:
    """What `cloze-finetune` could not tell.

    Raises:
        InputError: a task that is none of GLUE's, or one that has to come after another.
    """
    from cloze.config.keys import nearest
    from cloze.report.glue import BY_NAME

    for task in config.tasks:
        if task not in {*BY_NAME, "ax"}:
            raise InputError(f"tasks: '{task}' is no task of GLUE{nearest(task, [*BY_NAME, 'ax'])}")
    if not config.tasks or not config.seeds:
        raise InputError("tasks and seeds: there has to be at least one of each, as tasks=[rte] seeds=[1]")
    if "mnli" not in config.tasks and ("ax" in config.tasks or config.start_from == "mnli"):
        needs = "ax" if "ax" in config.tasks else "start_from=mnli"
        raise InputError(f"tasks: {needs} needs the model of mnli, which is not among them: add mnli")


def runs_of(config: Glue, passed: Sequence[str]) -> Iterator[Run]:
    """What has to be run, in an order in which every model is there when another run starts from it.

    Args:
        config: of the table.
        passed: words of the command line that are for every run, the model among them.
    """
    without_model = [word for word in passed if not word.lstrip("+").startswith(("model=", "model."))]
    for task in sorted(config.tasks, key=lambda name: name != "mnli"):
        for seed in config.seeds:
            name = f"{task}/{seed}"
            words = [f"task=glue/{task}", f"run={config.run}/{name}", f"seed={seed}", f"datasets={config.datasets}"]
            mnli = f"{config.folder}/mnli/{seed}/model"
            if task == "ax":
                words += ["stage=predict", f"model={mnli}", *without_model]
            elif config.start_from is not None and task in FROM_MNLI:
                words += [f"model={mnli if config.start_from == 'mnli' else config.start_from}", *without_model]
            else:
                words += passed
            yield Run(name, words)


def _report(folder: Path, name: str) -> None:
    from cloze.files.atomic import write_atomically
    from cloze.report.glue import as_json, own_row, read_scores, render_table
    from cloze.report.glue_picture import glue_picture
    from cloze.report.peers import PEERS
    from cloze.report.submission import write_submission

    scores = read_scores(folder)
    if not scores:
        return
    row = own_row(name, scores)
    page = render_table(row, PEERS)
    write_atomically(folder / "glue.md", page.encode())
    write_atomically(folder / "glue.json", as_json(row, scores).encode())
    with waiting("drawing the picture"):
        write_atomically(folder / "glue.png", glue_picture(row, PEERS))
    missing = write_submission(folder, scores)
    print(f"\n{page}\n{folder}/  glue.md, glue.json, glue.png, submission/")
    if missing:
        print(f"not in submission/, because there are no predictions: {', '.join(missing)}")


if __name__ == "__main__":
    sys.exit(main())
