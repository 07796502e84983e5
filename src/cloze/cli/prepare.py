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
    from cloze.text.quality.rules import QualityRules
    from cloze.text.tokenizer_source import TokenizerSource


@dataclass(frozen=True, kw_only=True)
class Preparing(Root):
    """The root of `conf/prepare.yaml`."""

    corpus: Corpus
    sentences: "Node[SentenceSplitter]"
    tokenizer: "Node[TokenizerSource]"
    quality: "Node[QualityRules]"
    preparation: "Node[Preparation]"
    engine: "Node[Engine]"


LIST = "--list"


def main() -> int:
    """Prepares as the command line says; returns the exit status."""
    words = sys.argv[1:]
    if LIST in words:
        return _list(words)

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


def _list(words: list[str]) -> int:
    """The corpora in ``data/``, the finished ones with what is in them."""
    if len(words) > 1:
        print(f"error: {LIST} shows the corpora in data/ and stands alone: leave the other words out", file=sys.stderr)
        return command.BAD_INPUT
    with waiting("loading libraries"):
        from rich import box
        from rich.console import Console
        from rich.table import Table

        from cloze.text.corpora import corpora
        from cloze.text.manifest import DATA

    found = corpora(DATA)
    if not found:
        print(f"there are no corpora in {DATA.absolute()}")
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("corpus", no_wrap=True)
    for head in ("tokenizer", "text"):
        table.add_column(head, overflow="fold")
    for head in ("tokens", "MB"):
        table.add_column(head, justify="right", no_wrap=True)
    for corpus in found:
        table.add_row(str(corpus.folder), corpus.tokenizer, corpus.text, corpus.tokens, f"{corpus.bytes / 1e6:,.1f}")
    Console(markup=False).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
