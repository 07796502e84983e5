"""The last thing that a run does: its model card and its page."""

import sys
import traceback
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from cloze.errors import InputError


@rank_zero_only
def leave_report(folder: Path) -> None:
    """Write `model/README.md` and `report.html` into the folder of a run that has ended; says where.

    The model is complete before this begins, so nothing here makes the run fail: what goes wrong is told on stderr, our
    own bugs with their traceback, and `cloze-report` may be given later.
    """
    try:
        from cloze.report.card import write_card
        from cloze.report.page.page import REPORT, write_page

        write_card(folder)
        write_page([folder], folder / REPORT)
    except InputError as error:
        print(f"warning: no report was written: {error}; the run is complete", file=sys.stderr)
    except Exception:
        traceback.print_exc()
        print(
            f"warning: no report was written; the run is complete: cloze-report {folder} tries again", file=sys.stderr
        )
    else:
        print(f"{folder / REPORT}  curves and figures, for a browser", flush=True)
