"""`cloze-prepare`: from raw text to a prepared corpus."""

import shlex
import sys
from dataclasses import dataclass
from typing import Any

from cloze.cli import command
from cloze.config.sections import Corpus, Node
from cloze.runtime.redaction import masked_text
from cloze.runtime.spinner import waiting


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """The root of `conf/prepare.yaml`."""

    corpus: Corpus
    sentences: Node
    tokenizer: Node
    preparation: Node
    engine: Node


def main() -> int:
    """Prepares as the command line says; returns the exit status."""
    words = sys.argv[1:]

    def prepare(config: dict[str, Any]) -> None:
        _prepare(config, words)

    return command.run(prepare, name="prepare", schema=Preparing)


def _prepare(config: dict[str, Any], words: list[str]) -> None:
    with waiting("loading libraries"):
        from rich.console import Console

        from cloze.config.construct import build
        from cloze.files.remote import location
        from cloze.text.progress import ConsoleProgress
        from cloze.text.report import load_report, render_report

    preparation, corpus = build(config, "preparation"), config["corpus"]
    named = corpus.get("prepared")
    folder = preparation.place(corpus["name"]) if named is None else location(named)
    with ConsoleProgress() as progress:
        preparation.run(folder, progress, build(config, "engine"))
    console = Console()
    console.print(render_report(load_report(folder)))
    console.print(f"\nThe corpus is in {folder}. Train on it with", highlight=False, soft_wrap=True)
    command = masked_text(shlex.join(["python", "train.py", *words]))
    console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main())
