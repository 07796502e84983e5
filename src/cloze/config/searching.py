"""The dataclasses of the roots of the commands that search."""

from dataclasses import dataclass
from typing import Literal

from cloze.config.hardware import Hardware
from cloze.config.nodes import Node, Root
from cloze.config.schema import EmbeddedColumns
from cloze.config.sections import ModelFolder
from cloze.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Mining(Root):
    """The root of `conf/mine.yaml`."""

    pairs: str
    corpus: str | None
    output: str
    columns: EmbeddedColumns
    max_length: int | None
    negatives: int
    range_min: int
    range_max: int
    absolute_margin: float | None
    relative_margin: float | None
    max_score: float | None
    sampling: Literal["top", "random"]
    seed: int
    hardware: Hardware
    model: Node[ModelFolder]

    def __post_init__(self) -> None:
        if self.negatives < 1 or not 0 <= self.range_min < self.range_max:
            raise InputError(
                f"negatives={self.negatives}, range_min={self.range_min}, range_max={self.range_max}: expected one "
                "negative at least, and range_min from 0 to below range_max"
            )


@dataclass(frozen=True, kw_only=True)
class Searching(Root):
    """The root of `conf/search.yaml`."""

    index: str
    query: None  # taken from the command line before
    top_k: int
    hardware: Hardware
    model: Node[ModelFolder]
