"""What the root of each configuration may hold."""

from dataclasses import dataclass, field
from typing import Literal

from cloze.config.hardware import Hardware
from cloze.config.sections import Checkpointing, Corpus, Growth, Node, Task, TaskTraining, Training
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """The root of `conf/train.yaml`. The light nodes come first: their mistakes are told before torch is imported.

    Attributes:
        stage: `train`, or `evaluate` the model of `init` on the held-out text.
        resume: `auto` goes on from the newest checkpoint when the run exists with the same configuration; `never`
            starts anew under another name; else the checkpoint to go on from.
        init: a model folder to go on from, with its shape, its weights and its tokenizer; null begins anew.
    """

    run: str
    folder: str
    seed: int
    resume: str
    stage: Literal["train", "evaluate"] = "train"
    init: str | None = None
    grow: Growth = field(default_factory=Growth)
    trainer: Training
    checkpoint: Checkpointing
    hardware: Hardware
    model: Node
    corpus: Corpus
    sentences: Node
    tokenizer: Node
    preparation: Node
    objective: Node
    schedule: Node
    optimizer: Node
    data: Node
    callbacks: dict[str, Node]
    logger: dict[str, Node]

    def __post_init__(self) -> None:
        if self.init is None and self.model.get("_target_", "").endswith(".ContinuedShape"):
            raise InputError(
                "model=continued takes its shape from init=FOLDER of train.py: give that, or a size as model="
            )


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """The root of `conf/finetune.yaml`.

    Attributes:
        stage: `train`, with evaluation and prediction at the end; `evaluate` or `predict` with a fine-tuned model.
        datasets: the folder of the benchmarks' files, as `datasets/glue/SST-2/train.tsv`.
        resume: as in pre-training.
    """

    run: str
    folder: str
    seed: int
    resume: str
    stage: Literal["train", "evaluate", "predict"]
    datasets: str
    trainer: TaskTraining
    checkpoint: Checkpointing
    hardware: Hardware
    task: Task
    adaptation: Adaptation
    model: Node
    tokenizer: Node
    schedule: Node
    optimizer: Node
    data: Node
    callbacks: dict[str, Node]
    logger: dict[str, Node]
