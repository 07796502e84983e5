"""MLflow: log to a local SQLite database shared by all runs, or to a tracking server."""

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cloze.errors import InputError
from cloze.loggers.axes import AxesLogger, flat, kept_id, run_names
from cloze.loggers.protocol import RunInfo, Table
from cloze.runtime.distribution import installation

BY_TOKENS = "by_tokens"
"""MLflow has one x-axis a metric: `by_tokens/train/loss` is `train/loss` by the tokens that were seen."""
LONGEST_PARAM = 6000  # characters, by MLflow's own limit
PARAMS_AT_ONCE = 100
SQLITE = "sqlite:///"
TABLES_TAG = "mlflow.loggedArtifacts"  # by which MLflow's pages find tables


class MlflowLogger(AxesLogger):
    """Lightning's own logger makes another run of a resumed one, and knows no tables.

    Args:
        folder: of the run; `mlflow/` in it holds the id of theirs.
        address: of the database or the server, as MLflow has it: `sqlite:///runs/mlflow.db`, `http://...`.
        experiment: that the run belongs to.
    """

    def __init__(self, folder: str | Path, *, address: str, experiment: str) -> None:
        super().__init__(folder)
        self.address = address
        self.experiment = experiment
        self._client: Any = None
        self._run = ""

    def begin(self, info: RunInfo, resume_step: int) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # a new database is no news
        if self.address.startswith(SQLITE):
            Path(self.address.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(self.address)
        file = self.folder / "mlflow" / "run_id.txt"
        self._run = kept_id(file, "") if file.exists() else ""
        self.go_on_from(resume_step if self._run else 0)
        if self._run:
            self._client.update_run(self._run, status="RUNNING")
            return
        name, group = run_names(self.folder)
        tags = {"cloze.group": group} if group else {}
        self._run = kept_id(file, self._client.create_run(self._experiment(), run_name=name, tags=tags).info.run_id)
        settings = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in flat(info.config).items()]
        for begin in range(0, len(settings), PARAMS_AT_ONCE):
            self._client.log_batch(self._run, params=settings[begin : begin + PARAMS_AT_ONCE])
        for text_name, text in info.texts.items():
            self._client.log_text(self._run, text, f"run/{text_name}.txt")

    def write(self, row: Mapping[str, float], step: int, tokens: int) -> None:
        from mlflow.entities import Metric

        if self._client is None:
            return
        now = int(1000 * time.time())
        points = [Metric(name, value, now, step) for name, value in row.items()]
        points += [
            Metric(f"{BY_TOKENS}/{name}", value, now, tokens)
            for name, value in row.items()
            if name.startswith(("train", "val"))
        ]
        self._client.log_batch(self._run, metrics=points)

    def log_table(self, name: str, table: Table, step: int) -> None:
        content = {"columns": list(table.columns), "data": [list(row) for row in table.rows]}
        self._client.log_dict(self._run, content, f"{name}.json")
        known = {entry["path"] for entry in json.loads(self._tags().get(TABLES_TAG, "[]"))} | {f"{name}.json"}
        self._client.set_tag(self._run, TABLES_TAG, json.dumps([{"path": p, "type": "table"} for p in sorted(known)]))

    def log_picture(self, name: str, png: bytes, step: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"step_{step:08d}.png"
            file.write_bytes(png)
            self._client.log_artifact(self._run, str(file), name)

    def end(self, *, failed: bool) -> None:
        if self._client is not None:
            self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")
            self._client = None

    def _tags(self) -> dict[str, str]:
        return dict(self._client.get_run(self._run).data.tags)

    def _experiment(self) -> str:
        """The id of the experiment, which is made when it is missing."""
        from mlflow.exceptions import MlflowException

        known = self._client.get_experiment_by_name(self.experiment)
        if known is not None:
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(self.experiment, self._artifacts()))
        except MlflowException:  # another run has made it meanwhile
            return str(self._client.get_experiment_by_name(self.experiment).experiment_id)

    def _artifacts(self) -> str | None:
        """Tables and pictures lie next to the database; a server knows its own place."""
        if not self.address.startswith(SQLITE):
            return None
        return (Path(self.address.removeprefix(SQLITE)).absolute().parent / "mlflow").as_uri()


def mlflow_logger(*, folder: str, address: str = "sqlite:///runs/mlflow.db", experiment: str = "cloze") -> MlflowLogger:
    """MLflow.

    Args:
        folder: the run's folder.
        address: of the database or the server, as MLflow has it.
        experiment: that the run belongs to; made when it is missing.

    Raises:
        InputError: the packages are not installed.
    """
    for package in ("mlflow", "sqlalchemy"):
        if find_spec(package) is None:
            raise InputError(f"logger=mlflow needs the package {package}: {installation('mlflow')}, or take logger=csv")
    return MlflowLogger(folder, address=address, experiment=experiment)
