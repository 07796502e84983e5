"""The names of files in the folder of a run."""

BASELINE = "random_initialisation"
"""The run, within that of a fine-tuned model, of the same encoder trained from random weights."""
CONFIG = "config.yaml"
METRICS = "metrics.csv"
MODEL = "model"
PREDICTIONS = "predictions"
RESULTS = "results.json"
