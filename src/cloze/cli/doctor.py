"""`cloze-doctor`: check this machine for what would stop or slow down a run."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cloze.cli import command
from cloze.config.hardware import Hardware
from cloze.config.nodes import Root
from cloze.runtime.shell import fitted
from cloze.runtime.spinner import spinner

UNSOUND = 1
MARK = 8
"""Columns of how a finding is meant."""


@dataclass(frozen=True, kw_only=True)
class Doctor(Root):
    """The root of `conf/doctor.yaml`.

    Attributes:
        folder: where runs go.
        data: where prepared corpora go.
        format: `text` for people, `json` for machines.
        hardware: that runs will ask for.
    """

    folder: str
    data: str
    format: Literal["text", "json"]
    hardware: Hardware


def main() -> int:
    """Examine as the command line says; returns the exit status: 0, 1 where a run would fail, 2 for bad input."""
    sys.argv[1:] = ["format=json" if word == "--json" else word for word in sys.argv[1:]]
    status = 0

    def examine(config: Doctor) -> None:
        nonlocal status
        status = _examine(config)

    if any(importlib.util.find_spec(name) is None for name in ("hydra", "omegaconf")):  # then it cannot be asked
        as_json: Literal["text", "json"] = "json" if "format=json" in sys.argv else "text"
        return _examine(Doctor(folder="runs", data="data", format=as_json, hardware=Hardware()))
    return command.run(examine, name="doctor", schema=Doctor, interrupted="nothing was changed") or status


def _examine(config: Doctor) -> int:
    from rich.console import Console
    from rich.text import Text

    from cloze.doctor.examination import examine
    from cloze.doctor.findings import MARKS, as_json, sound

    console, found = Console(highlight=False, soft_wrap=True, markup=False), []
    with _told() as tell:
        for finding in examine(config.hardware, Path(config.folder), Path(config.data), tell):
            found.append(finding)
            if config.format == "text":
                mark, style = MARKS[finding.level]
                told = fitted(f"{mark:<{MARK}}{finding.text}", MARK)
                if finding.advice:
                    told += "\n" + fitted(f"{'':<{MARK}}{finding.advice}", MARK)
                with console.capture() as printed:
                    console.print(Text.assemble((told[:MARK], style), told[MARK:]))
                print(printed.get(), end="", flush=True)  # not past the wheel, which makes room for what is printed
    if config.format == "json":
        print(as_json(found), flush=True)
    else:
        failures = sum(finding.level == "failure" for finding in found)
        console.print(f"\n{failures} of these would stop a run." if failures else "\nNothing here would stop a run.")
    return 0 if sound(found) else UNSOUND


@contextmanager
def _told() -> Iterator[Callable[[str], None]]:
    """On a terminal, the current check; elsewhere nothing: it is done in seconds."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with spinner() as shown:
        task = shown.add_task("looking at the machine")
        yield lambda name: shown.update(task, description=f"looking at: {name}")


if __name__ == "__main__":
    sys.exit(main())
