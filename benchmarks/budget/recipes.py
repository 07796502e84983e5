"""What is tried in the budget: the recipe as published, the changes to it one by one, and the other side."""

from collections.abc import Mapping
from typing import NamedTuple

Overrides = Mapping[str, str]

# Devlin et al. 2019, A.2: 256 sequences, 1e-4, dropout 0.1, 15 % masked, a warm-up of 1 % of the steps
PUBLISHED: Overrides = {
    "model": "mini",
    "objective": "mlm_nsp",
    "optimizer": "adamw",
    "optimizer.lr": "1e-4",
    "schedule": "linear",
    "schedule.warmup_ratio": "0.01",
    "data.batch_tokens": "null",
    "data.batch_sequences": "256",
    "data.shuffle_shards": "1",  # Google's scripts shuffle file by file
}


PHASES = "data.phases"  # phases of length need a number of steps; the clock ends the other runs


class Change(NamedTuple):
    """A change, on what was best before it."""

    name: str
    overrides: Overrides


CHANGES = (
    Change("batches of 2,048 tokens", {"data.batch_tokens": "2048", "data.batch_sequences": "null"}),
    Change("learning rate 1e-3", {"optimizer.lr": "1e-3"}),
    Change("eight shards shuffled together", {"data.shuffle_shards": "8"}),
    Change("Muon, learning rate 4e-3", {"optimizer": "muon", "optimizer.lr": "4e-3"}),
    Change("no dropout", {"model.hidden_dropout_prob": "0.0", "model.attention_probs_dropout_prob": "0.0"}),
    Change("mask rate 0.2", {"objective.mask_rate": "0.2"}),
    Change("length 32 for a third, then 128", {PHASES: "[[0.35,32],[0.65,128]]"}),
)

PEERS: Mapping[str, Overrides] = {  # arguments of transformers' TrainingArguments
    "transformers, learning rate 1e-3, 16 sequences": {"learning_rate": "1e-3", "per_device_train_batch_size": "16"},
    "transformers, defaults of its script": {"learning_rate": "5e-5", "per_device_train_batch_size": "8"},
}
