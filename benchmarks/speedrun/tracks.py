"""The tracks: how long, on what, from which text, and what a model has learned is judged by (docs/speedrun.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

Overrides = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """Of the five tasks of GLUE whose training rows are there; the same for every model of a track.

    Attributes:
        epochs: passes over the training rows.
        lr: the peak learning rate.
        seeds: of the new head, the dropout and the order.
        rows: of training and dev at most; None for all.
    """

    epochs: int
    lr: float
    seeds: tuple[int, ...] = (1, 2, 3)
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Track:
    """What is fixed, and where a run starts from.

    Attributes:
        minutes: of training.
        threads: of a run by the wall clock.
        megabytes: of the books; the last eight are for the judge.
        recipe: the run that is made where no other is named.
        hardware: of training and of fine-tuning.
        fine_tuning: None for a track that is judged by the loss alone.
        peer_size: of the BERT that the script of transformers trains.
        any_text: whether training may read other text than the books.
    """

    minutes: float
    threads: int
    megabytes: float
    recipe: Overrides
    hardware: Overrides
    fine_tuning: FineTuning | None
    peer_size: str
    any_text: bool = False


SCRIPT: Overrides = {"learning_rate": "5e-5", "per_device_train_batch_size": "8"}
"""The defaults of ``run_mlm.py``, as `TrainingArguments` names them."""
TASKS = ("sst2", "cola", "mrpc", "stsb", "rte")
"""Of GLUE: those whose training rows are in shared data."""

LAPTOP: Overrides = {"experiment": "laptop"}
TRACKS: Mapping[str, Track] = {
    "laptop": Track(
        minutes=30, threads=2, megabytes=60, recipe=LAPTOP, hardware={}, fine_tuning=None, peer_size="mini"
    ),
    "afternoon": Track(
        minutes=150,
        threads=2,
        megabytes=1000,  # all of them
        recipe=LAPTOP,
        hardware={},
        fine_tuning=FineTuning(epochs=3, lr=3e-4),  # the largest rate of Turc et al. 2019, for models of this size
        peer_size="mini",
    ),
    "gpu-hour": Track(
        minutes=60,
        threads=8,
        megabytes=1000,
        recipe={"experiment": "cramming"},
        hardware={"hardware": "gpu"},
        fine_tuning=FineTuning(epochs=3, lr=5e-5),  # Devlin et al. 2019, appendix A.3
        peer_size="base",
        any_text=True,
    ),
}

DRY: Overrides = {
    "hardware": "cpu",
    "model.num_hidden_layers": "2",
    "model.hidden_size": "64",
    "model.num_attention_heads": "2",
    "model.intermediate_size": "128",
    "data.batch_tokens": "1024",
}
"""On top of any recipe, for a dry run."""


def dry(track: Track) -> Track:
    """The same way through everything in a few minutes of any processor; its figures mean nothing."""
    tuned = track.fine_tuning and replace(track.fine_tuning, epochs=1, seeds=(1,), rows=64)
    return replace(track, megabytes=2, threads=1, hardware={}, fine_tuning=tuned, peer_size="tiny")
