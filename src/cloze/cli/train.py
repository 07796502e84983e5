"""`python train.py`, `cloze-train`: from raw text to a pre-trained BERT."""

from typing import Any

from cloze.cli import command
from cloze.config.schema import Pretraining


def main() -> int:
    """Pre-train as the command line says; returns the exit status."""
    return command.run(_pretrain, name="train", schema=Pretraining)


def _pretrain(config: dict[str, Any]) -> None:
    from cloze.launch.pretraining import pretrain  # late: this imports torch and lightning

    pretrain(config)
