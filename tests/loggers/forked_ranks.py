"""As `tests.launch.forked_ranks`, with the packages of the dashboards imported once, too."""

import os
import sys
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import torch.utils.tensorboard  # noqa: F401
import wandb  # noqa: F401

from tests.fork_server import warm
from tests.launch.forked_ranks import main

if __name__ == "__main__":
    warm()
    main(Path(sys.argv[1]))
