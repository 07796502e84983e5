"""What the rules of quality have dropped: counts, and examples to judge the rules by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Self

from cloze.text.quality.rules import LINE_RULES

EXAMPLES = 10
"""Of each rule."""

LONGEST_EXAMPLE = 300
"""Characters of the beginning of what was dropped."""


class Example(NamedTuple):
    """Something that was dropped.

    Attributes:
        number: hash of the text. The lowest ones are kept, so that examples are spread over the corpus, equal texts
            are shown once, and neither the order of work nor the number of workers matters.
        origin: of the document.
        value: what was measured.
        text: the beginning.
    """

    number: int
    origin: str
    value: float | str
    text: str


class Dropped:
    """Counts and examples by rule."""

    def __init__(self) -> None:
        self.documents = 0  # all that were judged
        self.without_lines = 0  # of them, those whose lines were all dropped
        self.counts: Counter[str] = Counter()  # of lines or documents, by rule
        self.examples: dict[str, list[Example]] = {}

    def add(self, rule: str, value: float | str, origin: str, lines: Sequence[str]) -> None:
        """Counts a line, or a document with its lines, that a rule drops."""
        self.counts[rule] += 1
        digest = blake2b(digest_size=6)
        for line in lines:
            digest.update(line.encode() + b"\n")
        number = int.from_bytes(digest.digest(), "little")
        kept = self.examples.setdefault(rule, [])
        if len(kept) < EXAMPLES or number < kept[-1].number:
            beginning = "\n".join(lines)[: LONGEST_EXAMPLE + 1]
            text = beginning if len(beginning) <= LONGEST_EXAMPLE else beginning[:-1] + "…"
            shown = value if isinstance(value, str) else round(value, 4)
            self._keep(rule, [Example(number, origin, shown, text)])

    def update(self, other: "Dropped") -> None:
        """Adds what another has counted."""
        self.documents += other.documents
        self.without_lines += other.without_lines
        self.counts.update(other.counts)
        for rule, examples in other.examples.items():
            self._keep(rule, examples)

    def _keep(self, rule: str, examples: Sequence[Example]) -> None:
        found = {example.number: example for example in sorted([*examples, *self.examples.get(rule, ())], reverse=True)}
        self.examples[rule] = [found[number] for number in sorted(found)[:EXAMPLES]]

    @property
    def dropped_documents(self) -> int:
        """Of all that were judged."""
        of_documents = sum(count for rule, count in self.counts.items() if rule not in LINE_RULES)
        return of_documents + self.without_lines

    def as_json(self) -> dict[str, Any]:
        return {**vars(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        found = cls()
        found.documents, found.without_lines = content["documents"], content["without_lines"]
        found.counts = Counter(content["counts"])
        found.examples = {rule: [Example(*each) for each in some] for rule, some in content["examples"].items()}
        return found
