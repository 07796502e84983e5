"""`cloze-mine`: hard negatives for embeddings and re-ranking."""

import sys
from dataclasses import replace

from cloze.cli import command
from cloze.config.searching import Mining
from cloze.runtime.spinner import waiting


def main() -> int:
    """Mine as the command line says; returns the exit status."""
    # Hydra would take it for a group of `conf/`.
    values, sys.argv[1:] = command.values_of(["corpus"], sys.argv[1:])

    def mine(config: Mining) -> None:
        with waiting("loading libraries"):
            from cloze.retrieval import mining  # late: this imports torch

        corpus = values["corpus"][-1] if values["corpus"] else config.corpus
        mining.mine(replace(config, corpus=corpus))

    return command.run(mine, name="mine", schema=Mining)


if __name__ == "__main__":
    sys.exit(main())
