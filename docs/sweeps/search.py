"""A search by Optuna: each trial is a run of its own, in one group, and the search resumes where it stopped.

    pip install -e '.[search]'
    python docs/sweeps/search.py 20 lr experiment=pydocs trainer.max_steps=500

Twenty trials `runs/lr/0`, `runs/lr/1`, ...; the further words go to every one of them. Change `space` to what you want
to know. The study lies in `runs/lr/optuna.db`; several processes may work on it at once.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import optuna


def space(trial: optuna.Trial) -> list[str]:
    """What is tried: the words of a command line."""
    return [
        f"optimizer.lr={trial.suggest_float('optimizer.lr', 5e-4, 1e-2, log=True):.6g}",
        f"objective.mask_rate={trial.suggest_categorical('objective.mask_rate', [0.15, 0.3])}",
    ]


def objective(folder: Path) -> float:
    """The masked-token loss on held-out text at the end of a run; for a task, see the last line."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        losses = [row["val/masked_lm_loss"] for row in csv.DictReader(lines)]
    return float(next(loss for loss in reversed(losses) if loss))
    # with finetune.py and direction="maximize": return json.loads((folder / "results.json").read_text())["dev"]["f1"]


def main(trials: int, name: str, words: list[str], script: str = "train.py") -> None:
    """Ask, run, tell."""
    root = Path("runs") / name
    root.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{root}/optuna.db"
    study = optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
    for _ in range(trials):
        trial = study.ask()
        command = [sys.executable, script, *words, *space(trial), f"run={name}/{trial.number}"]
        if subprocess.run(command, check=False).returncode:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, objective(root / str(trial.number)))
    print(json.dumps({"best": f"{root}/{study.best_trial.number}", "loss": study.best_value, **study.best_params}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
