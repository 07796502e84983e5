"""`cloze-features`: write the hidden states of texts, from any layers of a model."""

import sys

from cloze.cli import command
from cloze.config.schema import Features
from cloze.runtime.spinner import waiting


def main() -> int:
    """Extract as the command line says; returns the exit status."""
    return command.run(_extract, name="features", schema=Features)


def _extract(config: Features) -> None:
    with waiting("loading libraries"):
        from cloze.inference.features import extract  # late: this imports torch

    extract(config)


if __name__ == "__main__":
    sys.exit(main())
