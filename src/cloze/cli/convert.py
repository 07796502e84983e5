"""`cloze-convert`: convert a BERT to another format."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cloze.cli import command
from cloze.config.nodes import Root
from cloze.config.trust import import_packages
from cloze.runtime.spinner import waiting


@dataclass(frozen=True, kw_only=True)
class Converting(Root):
    """The root of `conf/convert.yaml`; `from` is a word of Python's.

    Attributes:
        from_: any BERT: a folder or a name of the hub.
        to: a folder that does not exist yet.
        format: of `transformers`, of Google's TensorFlow, or ONNX.
        trust: packages whose classes may be built.
    """

    from_: str
    to: str
    format: Literal["hf", "google", "onnx"]
    trust: str | list[str] | None


def main() -> int:
    """Converts as the command line says; returns the exit status."""
    return command.run(_convert, name="convert", schema=Converting, interrupted="nothing was written")


def _convert(config: Converting) -> None:
    with waiting("loading libraries"):
        from cloze.checkpoint.conversion import convert

        import_packages(config.trust)
    with waiting("reading and writing the model"):
        done = convert(config.from_, Path(config.to), config.format)
    print(f"read     {done.read}\nwritten  {done.written}")


if __name__ == "__main__":
    sys.exit(main())
