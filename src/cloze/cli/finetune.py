"""`python finetune.py`, `cloze-finetune`: fine-tune a model on a task, score it and predict."""

import sys
from dataclasses import replace
from pathlib import Path

from cloze.cli import command, dry_run
from cloze.config.schema import FineTuning
from cloze.runtime.spinner import waiting


def main() -> int:
    """Fine-tune as the command line says; returns the exit status."""
    if dry_run.asked():
        return dry_run.run(_dry_run, name="finetune", schema=FineTuning)
    return command.run(_finetune, name="finetune", schema=FineTuning, lasting=True)


def _finetune(config: FineTuning) -> float | None:
    with waiting("loading libraries"):
        from cloze.launch.finetuning import finetune  # late: this imports torch and lightning
        from cloze.run.folder import telling_what_lacks
        from cloze.run.hardware import on_this_machine

    config = replace(config, hardware=on_this_machine(config.hardware))
    with telling_what_lacks(Path(config.folder)):
        return finetune(config)


def _dry_run(config: FineTuning) -> None:
    with waiting("loading libraries"):
        from cloze.launch.dry_run.finetuning import dry_run  # late, as above
        from cloze.run.folder import telling_what_lacks

    with telling_what_lacks(Path(config.folder)):
        dry_run(config)


if __name__ == "__main__":
    sys.exit(main())
