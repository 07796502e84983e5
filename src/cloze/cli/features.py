"""`cloze-features`: the vectors of texts, from any layers of a model."""

import sys
from dataclasses import dataclass
from typing import Any, Literal

from cloze.cli import command
from cloze.config.hardware import Hardware
from cloze.config.sections import Node
from cloze.data.stream.options import Columns, Level, LongTexts, VectorType
from cloze.runtime.spinner import waiting


@dataclass(frozen=True, kw_only=True)
class Features:
    """The root of `conf/features.yaml`."""

    input: str
    output: str
    layers: str | int | list[int] | None
    weights: list[float] | None
    level: Level | None
    dtype: VectorType
    columns: Columns
    format: Literal["auto", "text", "words", "csv", "tsv", "jsonl", "parquet"]
    delimiter: str
    quoting: Literal["auto", "none", "quotes"]
    header: bool
    on_bad_row: Literal["stop", "skip"]
    max_length: int | None
    long_texts: LongTexts
    stride: int | None
    special_tokens: bool
    probe: str | None
    hardware: Hardware
    model: Node


def main() -> int:
    """Extract as the command line says; returns the exit status."""
    return command.run(_extract, name="features", schema=Features)


def _extract(config: dict[str, Any]) -> None:
    with waiting("loading libraries"):
        from cloze.launch.features import extract  # late: this imports torch

    extract(config)


if __name__ == "__main__":
    sys.exit(main())
