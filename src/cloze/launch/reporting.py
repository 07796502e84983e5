"""The model card and report at the end of a run, and the comparison at the end of a sweep."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloze.errors import InputError
from cloze.runtime.spinner import waiting


def leave_report(folder: Path) -> None:
    """Write `model/README.md` and `report.html` into the folder of a run that has ended; says where."""
    from lightning.pytorch.utilities import rank_zero_only  # late: a sweep's end does not need it

    if getattr(rank_zero_only, "rank", 0) != 0:
        return
    with _harmless(folder):
        from cloze.report.card import write_card
        from cloze.report.page.page import REPORT, write_page

        with waiting("writing the report"):
            write_card(folder)
            write_page([folder], folder / REPORT)
        print(f"{folder / REPORT}  curves and figures, for a browser", flush=True)


def leave_comparison(folder: Path) -> None:
    """Write `comparison.html` into the folder of a sweep that has ended, of the runs in it; says where."""
    with _harmless(folder):
        from cloze.report.page.folders import find_runs
        from cloze.report.page.page import COMPARISON, write_page

        with waiting("writing the comparison"):
            write_page(find_runs([folder]), folder / COMPARISON)
        print(f"{folder / COMPARISON}  the runs over each other, for a browser", flush=True)


@contextmanager
def _harmless(folder: Path) -> Iterator[None]:
    """Results are complete before a report begins, so nothing in here makes the command fail.

    What goes wrong is reported on stderr, our own bugs with their traceback, and `cloze-report` may be given later.
    """
    try:
        yield
    except InputError as error:
        print(f"warning: no report was written: {error}; the results are complete", file=sys.stderr)
    except Exception:
        traceback.print_exc()
        again = f"cloze-report {folder} tries again"
        print(f"warning: no report was written; the results are complete: {again}", file=sys.stderr)
