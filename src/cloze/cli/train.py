"""`python train.py`, `cloze-train`: from raw text to a pre-trained BERT."""

from pathlib import Path
from typing import Any

from cloze.cli import command
from cloze.config.schema import Pretraining


def main() -> int:
    """Pre-train as the command line says; returns the exit status."""
    return command.run(_pretrain, name="train", schema=Pretraining)


def _pretrain(config: dict[str, Any]) -> float | None:
    from cloze.launch.pretraining import pretrain  # late: this imports torch and lightning
    from cloze.run_folder import telling_what_lacks

    with telling_what_lacks(Path(config["folder"])):
        return pretrain(config)
