"""`python train.py`, `cloze-train`: pre-train a BERT from raw text."""

import sys
from dataclasses import replace
from pathlib import Path

from cloze.cli import command, dry_run
from cloze.config.schema import Pretraining
from cloze.runtime.spinner import waiting


def main() -> int:
    """Pre-train as the command line says; returns the exit status."""
    if dry_run.asked():
        return dry_run.run(_dry_run, name="train", schema=Pretraining)
    return command.run(_pretrain, name="train", schema=Pretraining, lasting=True)


def _pretrain(config: Pretraining) -> float | None:
    with waiting("loading libraries"):
        from cloze.launch.evaluation import evaluate  # late: this imports torch and lightning
        from cloze.launch.pretraining import pretrain
        from cloze.run.folder import telling_what_lacks
        from cloze.run.hardware import on_this_machine

    config = replace(config, hardware=on_this_machine(config.hardware))
    with telling_what_lacks(Path(config.folder)):
        return evaluate(config) if config.stage == "evaluate" else pretrain(config)


def _dry_run(config: Pretraining) -> None:
    with waiting("loading libraries"):
        from cloze.launch.dry_run.pretraining import dry_run  # late, as above
        from cloze.run.folder import telling_what_lacks

    with telling_what_lacks(Path(config.folder)):
        dry_run(config)


if __name__ == "__main__":
    sys.exit(main())
