"""What Hydra is told at the end of a job: the value that a sweeper searches by."""

import json
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class Note(Callback):
    """Adds the value that each job returned to a file, a line each."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(job_return.return_value) + "\n")
