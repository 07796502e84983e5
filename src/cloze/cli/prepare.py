"""`cloze-prepare`: encode raw text into a prepared corpus."""

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloze.cli import command
from cloze.config.nodes import Node, Root
from cloze.config.sections import Corpus
from cloze.runtime.redaction import masked_text
from cloze.runtime.spinner import waiting

if TYPE_CHECKING:
    from cloze.text.documents import SentenceSplitter
    from cloze.text.pool import Engine
    from cloze.text.prepare import Preparation
    from cloze.text.tokenizer_source import TokenizerSource


@dataclass(frozen=True, kw_only=True)
class Preparing(Root):
    """The root of `conf/prepare.yaml`."""

    corpus: Corpus
    sentences: "Node[SentenceSplitter]"
    tokenizer: "Node[TokenizerSource]"
    preparation: "Node[Preparation]"
    engine: "Node[Engine]"


def main() -> int:
    """Prepares as the command line says; returns the exit status."""
    words = sys.argv[1:]

    def prepare(config: Preparing) -> None:
        _prepare(config, words)

    return command.run(prepare, name="prepare", schema=Preparing)


def _prepare(config: Preparing, words: list[str]) -> None:
    with waiting("loading libraries"):
        from rich.console import Console

        from cloze.files.remote import location
        from cloze.text.progress import ConsoleProgress
        from cloze.text.report import load_report, render_report

    preparation, corpus = config.preparation.build(), config.corpus
    folder = preparation.place(corpus.name) if corpus.prepared is None else location(corpus.prepared)
    with ConsoleProgress() as progress:
        preparation.run(folder, progress, config.engine.build())
    console = Console()
    console.print(render_report(load_report(folder)))
    console.print(f"\nThe corpus is in {folder}. Train on it with", highlight=False, soft_wrap=True)
    command = masked_text(shlex.join(["python", "train.py", *words]))
    console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main())
