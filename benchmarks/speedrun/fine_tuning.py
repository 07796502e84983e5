"""What a pre-trained model scores on tasks when it is fine-tuned at fixed settings."""

import json
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from benchmarks.finetune.settings import SETTINGS, data_files
from benchmarks.speedrun.bench import DATA, call
from benchmarks.speedrun.tracks import FineTuning, Overrides

Scores = dict[str, list[float]]
"""Of each task, in hundredths, one a seed."""


def scores(model: Path, tasks: Sequence[str], settings: FineTuning, hardware: Overrides) -> Scores:
    """The scores of a model on the dev sets, kept next to it: what is there is not made again.

    Args:
        model: its folder.
        tasks: of `benchmarks.finetune.settings.SETTINGS`.
        settings: the same for all tasks.
        hardware: overrides of ``finetune.py``.
    """
    if not (model / "config.json").exists():
        sys.exit(f"{model} is gone, which the scores need: give the --work of its run, or delete the line of that run")
    kept = model / "scores.json"
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    of = f"{settings.epochs} epochs, {settings.lr:g}" + (f", {settings.rows} rows" if settings.rows else "")
    for seed in settings.seeds:
        for task in tasks:
            key = f"{task}, {of}, seed {seed}"
            if key not in found:
                found[key] = _score(task, model, seed, settings, hardware)
                kept.write_text(json.dumps(found), encoding="utf-8")
                print(f"{key}: {found[key]:.1f}", flush=True)
    return {task: [found[f"{task}, {of}, seed {seed}"] for seed in settings.seeds] for task in tasks}


def _score(task: str, model: Path, seed: int, settings: FineTuning, hardware: Overrides) -> float:
    """Of one fine-tuning."""
    with tempfile.TemporaryDirectory() as folder:
        train, dev = (cut(file, settings.rows, Path(folder)) for file in data_files(task, DATA, Path(folder)))
        run = Path(folder) / "run"
        words = ["finetune.py", f"task={SETTINGS[task].task}", f"model={model}", f"seed={seed}", f"folder={run}"]
        words += [f"task.epochs={settings.epochs}", f"task.lr={settings.lr}"]
        words += [f"task.data.train={train}", f"task.data.dev={dev}", "task.data.test=null"]
        words += ["trainer.validate_every=1000000", *(f"{key}={value}" for key, value in hardware.items())]
        call([sys.executable, *words], int(hardware.get("hardware.threads", 2)))
        dev_scores = json.loads((run / "results.json").read_text(encoding="utf-8"))["dev"]
    return 100 * float(dev_scores[SETTINGS[task].metric])


def cut(file: Path, rows: int | None, folder: Path) -> Path:
    """A table with its first rows alone, and the line before them, which may be a header."""
    if rows is None:
        return file
    target = folder / f"first {rows} of {file.name}"
    with file.open(encoding="utf-8", newline="") as lines:
        target.write_text("".join(islice(lines, rows + 1)), encoding="utf-8", newline="")
    return target
