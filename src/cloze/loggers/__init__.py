"""Loggers: always `metrics.csv`; Weights & Biases, TensorBoard and MLflow on demand, imported only then.

One layout for all: metrics are called `train/... val/... speed/... optim/... data/...`, and every row has two axes, the
optimizer steps that are done and the tokens that were seen (`data/tokens`).
"""

from cloze.loggers.metrics_file import MetricsFile
from cloze.loggers.mlflow_store import mlflow_logger
from cloze.loggers.tensorboard_events import tensorboard_logger
from cloze.loggers.weights_and_biases import wandb_logger

__all__ = ["MetricsFile", "mlflow_logger", "tensorboard_logger", "wandb_logger"]
