"""Findings about a machine, for people and for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

Level = Literal["good", "note", "warning", "failure"]
MARKS: dict[Level, tuple[str, str]] = {
    "good": ("ok", "green"),
    "note": ("note", "cyan"),
    "warning": ("warning", "yellow"),
    "failure": ("FAILS", "bold red"),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        topic: what it belongs to: packages, imports, processor, memory, disk, devices, workers, others.
        level: `good`; `note` for what is merely worth knowing; `warning` for what is slower or less than it could be;
            `failure` for what would stop a run.
        text: what was found.
        advice: what to do; empty where there is nothing to do.
        figures: the numbers and names in it, in base units (bytes, FLOP/s).
    """

    topic: str
    level: Level
    text: str
    advice: str = ""
    figures: Mapping[str, float | int | str | None] = field(default_factory=dict)


def sound(findings: Sequence[Finding]) -> bool:
    """Whether nothing would stop a run."""
    return all(finding.level != "failure" for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """An object with `sound` and the `findings`, in the order in which they were made."""
    rows = [asdict(finding) for finding in findings]
    return json.dumps({"sound": sound(findings), "findings": rows}, indent=1, ensure_ascii=False)


def gib(count: float) -> str:
    """Bytes for a reader."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
