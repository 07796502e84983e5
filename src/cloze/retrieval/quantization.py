"""Vectors in fewer bits: a byte for each number, or its sign alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from cloze.errors import InputError

STEPS = 255
NEIGHBOURS = 10
"""By which the loss is measured."""

COMPARED = 1000
"""Texts at most, each with all others."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Vectors as they are stored, and back.

    ``int8`` rounds each number to one of 256 between the lowest and the highest of its dimension in a sample (what lies
    beyond is clipped), in the layout of sentence-transformers' ``quantize_embeddings``. ``binary`` keeps signs, eight
    to a byte, the first in the highest bit, as its ``ubinary``.

    Attributes:
        kind: None keeps float32.
        low: (D,) float32 of int8, the value of -128.
        high: (D,) float32, the value of 127.
    """

    kind: Literal["int8", "binary"] | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @classmethod
    def of(cls, kind: Literal["int8", "binary"] | None, sample: np.ndarray) -> Self:
        """With the ranges of a sample (n, D)."""
        if kind != "int8":
            return cls(kind=kind)
        if not len(sample):
            sample = np.zeros((1, sample.shape[1]), np.float32)
        return cls(kind=kind, low=sample.min(0), high=sample.max(0))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What ``as_record`` gave."""
        low, high = (None if record.get(key) is None else np.array(record[key], np.float32) for key in ("low", "high"))
        return cls(kind=record.get("quantize"), low=low, high=high)

    def as_record(self) -> dict[str, Any]:
        """For a JSON file."""
        low, high = (None if bound is None else bound.tolist() for bound in (self.low, self.high))
        return {"quantize": self.kind, "low": low, "high": high}

    def stored(self, vectors: np.ndarray) -> np.ndarray:
        """Of (n, D) float32: the same; (n, D) int8; or (n, D / 8) uint8."""
        if self.kind is None:
            return vectors
        if self.kind == "binary":
            return np.packbits(vectors > 0, axis=1)
        low, step = self._grid()
        rounded: np.ndarray = (np.rint((vectors - low) / step).clip(0, STEPS) - 128).astype(np.int8)
        return rounded

    def restored(self, stored: np.ndarray) -> np.ndarray:
        """(n, D) float32; of signs 1 and -1 over the root of D, which have length 1."""
        if self.kind is None:
            return np.asarray(stored, np.float32)
        if self.kind == "binary":
            signs = np.unpackbits(stored, axis=1).astype(np.float32)
            of_length_one: np.ndarray = (2 * signs - 1) / np.float32(np.sqrt(signs.shape[1]))
            return of_length_one
        low, step = self._grid()
        values: np.ndarray = (stored.astype(np.float32) + 128) * step + low
        return values

    def loss(self, vectors: np.ndarray) -> dict[str, Any]:
        """What is lost of vectors (n, D): the mean cosine to them, and of their nearest ones how many stay so."""
        vectors = _unit(vectors[:COMPARED])
        restored = _unit(self.restored(self.stored(vectors)) if len(vectors) else vectors)
        found: dict[str, Any] = {"texts": len(vectors)}
        if len(vectors):
            found["cosine"] = float((vectors * restored).sum(1).mean())
        if len(vectors) > NEIGHBOURS:
            shared = [
                len({*one} & {*other})
                for one, other in zip(_near(vectors, vectors), _near(vectors, restored), strict=True)
            ]
            found[f"nearest {NEIGHBOURS} kept"] = float(np.mean(shared)) / NEIGHBOURS
        return found

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.low is not None
        assert self.high is not None
        step = (self.high - self.low) / np.float32(STEPS)
        return self.low, np.where(step > 0, step, np.float32(1))


def check_dimension(kind: str | None, dimension: int) -> None:
    """Refuses signs that do not fill their bytes.

    Raises:
        InputError: they do not.
    """
    if kind == "binary" and dimension % 8:
        raise InputError(f"quantize=binary: packs 8 signs to a byte, but dimension={dimension} is no multiple of 8")


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _near(vectors: np.ndarray, others: np.ndarray) -> list[list[int]]:
    """The places of the others that are nearest to each vector, itself left out."""
    scores = vectors @ others.T
    np.fill_diagonal(scores, -np.inf)
    nearest: list[list[int]] = np.argpartition(-scores, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS].tolist()
    return nearest
