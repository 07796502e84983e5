"""Prepared corpora that are mixed in training; imports next to nothing, to report mistakes quickly."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloze.errors import InputError
from cloze.text.documents import Document, Unit


@dataclass(frozen=True, kw_only=True)
class Part:
    """One prepared corpus of a mixture.

    Attributes:
        prepared: its folder, as `cloze-prepare` has made it.
        weight: its share of the tokens, next to those of the others.
        max_epochs: passes over it, after which the others take its place; null for no end. A pass that is broken off
            since sequences change their length counts.
        name: in the metrics; null for that of the folder.

    Raises:
        InputError: for a value outside its range.
    """

    prepared: str
    weight: float = 1.0
    max_epochs: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise InputError(f"weight is {self.weight}, but must not be below zero")
        if self.max_epochs is not None and self.max_epochs < 1:
            raise InputError(f"max_epochs is {self.max_epochs}, but must be at least 1, or null for no end")


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Several prepared corpora of one tokenizer; there is no text to prepare.

    Attributes:
        parts: the corpora.
        temperature: shares by the tokens of each corpus to this power, in place of weights: 1 for as they are, 0 for
            equal ones (Conneau et al. 2020, section 3.1; mmBERT goes from 0.7 to 0.3).

    Raises:
        InputError: weights and a temperature, or no parts.
    """

    parts: Sequence[Part | Mapping[str, Any]]
    temperature: float | None = None

    def __post_init__(self) -> None:
        parts = tuple(part if isinstance(part, Part) else Part(**part) for part in self.parts)
        object.__setattr__(self, "parts", parts)
        if not parts:
            raise InputError("corpus.parts is empty: give the folders of prepared corpora, as [{prepared: FOLDER}]")
        if self.temperature is not None and any(part.weight != 1.0 for part in parts):
            raise InputError(
                f"corpus.temperature={self.temperature} and the weights of corpus.parts both say how much of each: "
                "leave one of them out"
            )
        if not any(part.weight for part in parts):
            raise InputError("corpus.parts: every weight is 0; give one above it")

    @property
    def folders(self) -> tuple[str, ...]:
        """Of the parts."""
        return tuple(part.prepared for part in self._parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parts, each another: the stated one, or that of its folder."""
        names = [part.name or part.prepared.rstrip("/").rpartition("/")[2] for part in self._parts]
        return tuple(name if names.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(names))

    @property
    def max_epochs(self) -> tuple[int | None, ...]:
        """Of the parts."""
        return tuple(part.max_epochs for part in self._parts)

    def shares(self, tokens: Sequence[int]) -> tuple[float, ...]:
        """Of the parts, by their numbers of tokens; they sum to 1."""
        power = self.temperature
        weights = [
            part.weight if power is None else float(size) ** power
            for part, size in zip(self._parts, tokens, strict=True)
        ]
        return tuple(weight / sum(weights) for weight in weights)

    @property
    def _parts(self) -> tuple[Part, ...]:
        return self.parts  # type: ignore[return-value]  # since __post_init__

    @property
    def name(self) -> str:
        """A short name."""
        return "mixture"

    def units(self) -> list[Unit]:
        """There are none.

        Raises:
            InputError: always.
        """
        raise self._unprepared()

    def documents(self, unit: Unit, counts: Counter[str]) -> Iterator[Document]:
        """There are none."""
        raise self._unprepared()

    def fingerprint(self) -> dict[str, object]:
        """There is no input."""
        raise self._unprepared()

    def _unprepared(self) -> InputError:
        return InputError(
            "corpus=mixture has no text of its own to prepare: prepare each of its corpora by itself, all with one "
            "tokenizer"
        )
