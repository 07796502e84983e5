"""`cloze-report`: show runs on one HTML page."""

import sys
from dataclasses import dataclass
from pathlib import Path

from cloze.cli import command
from cloze.config.nodes import Root
from cloze.errors import InputError
from cloze.runtime.spinner import waiting


@dataclass(frozen=True, kw_only=True)
class Reporting(Root):
    """The root of `conf/report.yaml`; the folders are words of their own.

    Attributes:
        output: the file, or None for the run's `report.html` or the runs' `comparison.html`.
    """

    output: str | None


def main() -> int:
    """Writes the page; returns the exit status."""
    words = sys.argv[1:]
    folders = [word for word in words if _is_folder(word)]
    sys.argv[1:] = [word for word in words if not _is_folder(word)]

    def report(config: Reporting) -> None:
        _report([Path(folder) for folder in folders], config)

    return command.run(report, name="report", schema=Reporting, interrupted="nothing was written")


def _is_folder(word: str) -> bool:
    return not word.startswith("-") and ("=" not in word or Path(word).is_dir())


def _report(given: list[Path], config: Reporting) -> None:
    with waiting("loading libraries"):
        from cloze.report.page.folders import find_runs, shared_parent
        from cloze.report.page.page import COMPARISON, REPORT, write_page

    if not given:
        raise InputError("give the folders of one or more runs, as cloze-report runs/NAME")
    runs = find_runs(given)
    default = runs[0] / REPORT if len(runs) == 1 else shared_parent(runs) / COMPARISON
    output = Path(config.output) if config.output is not None else default
    if output.is_dir():
        raise InputError(f"output={output} is a folder: give the name of a file, as output={output}/{COMPARISON}")
    with waiting("writing the page"):
        size = write_page(runs, output)
    shown = runs[0] if len(runs) == 1 else f"{len(runs)} runs"
    print(f"{output}  {shown}, {size / 1000:,.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
