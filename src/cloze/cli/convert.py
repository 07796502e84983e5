"""`cloze-convert`: convert an encoder to another format."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cloze.cli import command
from cloze.config.nodes import Root
from cloze.config.trust import import_packages
from cloze.errors import InputError
from cloze.files.bounded import read_text
from cloze.runtime.spinner import waiting

MOST_TEXTS = 512


@dataclass(frozen=True, kw_only=True)
class Converting(Root):
    """The root of `conf/convert.yaml`; `from` is a word of Python's.

    Attributes:
        from_: any encoder: a folder, a checkpoint or a name of the hub; of several ones the mean.
        to: a folder that does not exist yet.
        format: of `transformers`, of Google's TensorFlow, or ONNX.
        quantize: the weights of ONNX as int8.
        texts: a file on whose lines the change of the outputs by that is measured, the first ``MOST_TEXTS``.
        layers: of the encoder that are kept, the first ones.
        trust: packages whose classes may be built.
    """

    from_: str | list[str]
    to: str
    format: Literal["hf", "google", "onnx"]
    quantize: Literal["int8"] | None
    texts: str | None
    layers: int | None
    trust: str | list[str] | None


def main() -> int:
    """Converts as the command line says; returns the exit status."""
    return command.run(_convert, name="convert", schema=Converting, interrupted="nothing was written")


def _convert(config: Converting) -> None:
    with waiting("loading libraries"):
        from cloze.checkpoint.conversion import convert

        import_packages(config.trust)
    with waiting("reading and writing the model"):
        texts = [] if config.texts is None else _texts(Path(config.texts))
        done = convert(
            config.from_, Path(config.to), config.format, quantize=config.quantize, texts=texts, layers=config.layers
        )
    print(f"read     {done.read}\nwritten  {done.written}")


def _texts(file: Path) -> list[str]:
    """The lines of a file that are not blank."""
    try:
        lines = [line.strip() for line in read_text(file).splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"texts={file} cannot be read ({error}): give a text file, one text a line") from error
    texts = [line for line in lines if line][:MOST_TEXTS]
    if not texts:
        raise InputError(f"texts={file} holds no text: give a text file, one text a line")
    return texts


if __name__ == "__main__":
    sys.exit(main())
