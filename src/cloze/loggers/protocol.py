"""The interface between callbacks and dashboards, in addition to metrics: origin of the run, tables, figures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

Cell = str | float | int | bool
SECTIONS = ("train", "val", "test", "speed", "optim", "data")
"""A metric is called `SECTION/NAME`; `val_...` and `test_...` where there are several such splits."""

STEP = "step"
TOKENS = "data/tokens"
"""The metric that counts the tokens that training has seen: the second axis of every chart."""


class RunInfo(NamedTuple):
    """The origin of a run.

    Attributes:
        config: resolved, as plain containers, without secrets.
        texts: by name: the command, the revision and what was changed since, the versions of packages, the data.
    """

    config: Mapping[str, Any]
    texts: Mapping[str, str]


class Table(NamedTuple):
    """Rows of cells under the names of their columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@runtime_checkable
class Dashboard(Protocol):
    """A logger that shows more than curves. Only rank zero calls it, and no method touches the state of training."""

    def begin(self, info: RunInfo, resume_step: int) -> None:
        """Open the run, or resume it: what it had logged after `resume_step` will be logged again."""

    def log_table(self, name: str, table: Table, step: int) -> None:
        """Rows of one evaluation, after `step` optimizer steps."""

    def log_picture(self, name: str, png: bytes, step: int) -> None:
        """A picture, after `step` optimizer steps."""

    def end(self, *, failed: bool) -> None:
        """Close the run; it may be opened again by another process."""


def dashboards(loggers: Iterable[object]) -> list[Dashboard]:
    """Those among the loggers that show more than curves."""
    return [logger for logger in loggers if isinstance(logger, Dashboard)]
