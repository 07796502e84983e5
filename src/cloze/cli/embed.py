"""`cloze-embed`: the embeddings of texts, and what an embedding model is worth."""

import sys

from cloze.cli import command
from cloze.config.schema import Embeddings
from cloze.runtime.spinner import waiting

EVALUATE = "evaluate"


def main() -> int:
    """Embed or evaluate as the command line says; returns the exit status."""
    sys.argv[1:] = [f"stage={EVALUATE}" if word == EVALUATE else word for word in sys.argv[1:]]
    return command.run(_embed, name="embed", schema=Embeddings)


def _embed(config: Embeddings) -> None:
    with waiting("loading libraries"):
        from cloze.retrieval.embedding import embed  # late: these import torch
        from cloze.retrieval.evaluation import evaluate

    if config.stage == EVALUATE:
        evaluate(config)
    else:
        embed(config)


if __name__ == "__main__":
    sys.exit(main())
