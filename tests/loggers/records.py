"""What the files of dashboards hold, read by the readers of those who defined them."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests import processes

Curves = dict[str, list[tuple[int, float]]]


class WandbRecords:
    """The records of an offline run, in the order of its processes.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
        self.processes = [_inspected(file) for file in self.files]

    def of(self, kind: str) -> list[Any]:
        """All records of a kind."""
        return [record[kind] for process in self.processes for record in process if record["type"] == kind]

    def histories(self) -> list[list[dict[str, Any]]]:
        """Of each process the rows that it logged."""
        return [
            [record["history"]["item"] for record in process if record["type"] == "history"]
            for process in self.processes
        ]

    def table(self, row: dict[str, Any], name: str) -> dict[str, Any]:
        """The table that a row speaks of."""
        for file in self.files:
            if (path := file.parent / "files" / row[f"{name}.path"]).exists():
                found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return found
        raise FileNotFoundError(row[f"{name}.path"])


@cache
def _inspected(file: Path) -> list[dict[str, Any]]:
    """Through their own reader: `wandb leet inspect`."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    lines = processes.run(command, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def tensorboard_events(folder: Path) -> Any:
    """TensorBoard's own accumulator over a folder of event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"tensors": 0, "images": 0}).Reload()


def tensorboard_text(events: Any, name: str) -> str:
    """The last text of a name."""
    text: bytes = events.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0]
    return text.decode()
