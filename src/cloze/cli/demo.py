"""`cloze-demo`: serve a model to the browser."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from cloze.cli import command
from cloze.config.schema import Demo
from cloze.runtime.spinner import waiting


def main() -> int:
    """Serve as the command line says, until Ctrl-C; returns the exit status."""
    sentences, sys.argv[1:] = own_words(sys.argv[1:])

    def serve(config: Demo) -> None:
        with waiting("loading libraries"):
            from cloze.demo import server  # late: this imports torch

        server.serve(replace(config, sentences=sentences or config.sentences))

    return command.run(serve, name="demo", schema=Demo, interrupted="the demo has ended")


def own_words(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last value of `sentences`, which Hydra would take for a group of `conf/`; and the other words."""
    values, others = command.values_of(["sentences"], words)
    last = (values["sentences"] or [""])[-1]
    return None if last in ("", "null") else last, others


if __name__ == "__main__":
    sys.exit(main())
