"""`python finetune.py`, `cloze-finetune`: from a model folder to a task model, its scores and its predictions."""

import sys
from pathlib import Path
from typing import Any

from cloze.cli import command
from cloze.config.schema import FineTuning


def main() -> int:
    """Fine-tune as the command line says; returns the exit status."""
    return command.run(_finetune, name="finetune", schema=FineTuning)


def _finetune(config: dict[str, Any]) -> float | None:
    from cloze.launch.finetuning import finetune  # late: this imports torch and lightning
    from cloze.run_folder import telling_what_lacks

    with telling_what_lacks(Path(config["folder"])):
        return finetune(config)


if __name__ == "__main__":
    sys.exit(main())
