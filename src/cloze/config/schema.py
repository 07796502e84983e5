"""The dataclass of each configuration root."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cloze.config.hardware import Hardware
from cloze.config.nodes import Node, Root
from cloze.config.sections import (
    Averaging,
    Checkpointing,
    ContinuedShape,
    Corpus,
    Growth,
    ModelFolder,
    SoftTargets,
    Task,
    TaskTraining,
    Training,
)
from cloze.data.extraction.options import Level, LongTexts, VectorType
from cloze.data.pretraining.phases import Phase
from cloze.data.tables.columns import Columns, TextColumns
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.config import EncoderConfig

if TYPE_CHECKING:  # a node imports its class when it is built: help and refusals do not wait for torch
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger

    from cloze.data.finetuning.module import TaskData
    from cloze.data.pretraining.module import PretrainingData
    from cloze.data.pretraining.objective import Objective
    from cloze.optim.schedules import Schedule
    from cloze.optim.trial import OptimizerFactory
    from cloze.tasks.pretraining import Pretraining as PretrainingModule
    from cloze.text.documents import SentenceSplitter
    from cloze.text.prepare import Preparation
    from cloze.text.quality.rules import QualityRules
    from cloze.text.tokenizer_source import TokenizerSource


@dataclass(frozen=True, kw_only=True)
class _InFolder(Root):
    """What the roots of training share: a run has a name and a folder."""

    run: str
    folder: str
    seed: int
    resume: str
    stage: str

    def __post_init__(self) -> None:
        if not self.run.strip() or not self.folder.strip():
            raise InputError("the run has no name: give run=NAME, or leave run= and folder= out")
        if ".." in Path(self.run).parts or self.run.startswith("/"):
            raise InputError(
                f"run={self.run} leads out of the folder of runs: give a name, or another place as folder="
            )
        if not 0 <= self.seed < 1 << 32:
            raise InputError(f"seed is {self.seed}, but must be from 0 to 4294967295")
        if self.stage != "train" and self.resume not in ("auto", "never"):
            raise InputError(
                f"resume={self.resume} is for stage=train, but stage is {self.stage}: leave one of them out"
            )


@dataclass(frozen=True, kw_only=True)
class Pretraining(_InFolder):
    """The root of `conf/train.yaml`. The light nodes come first: their mistakes are reported before torch is imported.

    Attributes:
        stage: `train`, or `evaluate` the model of `init` on the held-out text.
        resume: `auto` resumes from the newest checkpoint when the run exists with the same configuration; `never`
            starts from scratch under another name; else the checkpoint to resume from.
        init: a model folder to start from, with its shape, its weights and its tokenizer, unless another one is chosen;
            null starts from scratch.
        teacher: a pre-trained model folder that `module=distillation` learns from.
        trust: packages of the user's own that are imported before a model folder is read.
        phases: parts of training, one after the other, and what each changes; null for one that changes nothing.
    """

    stage: Literal["train", "evaluate"] = "train"
    phases: list[Phase] | None = None
    init: str | None = None
    teacher: str | None = None
    trust: str | list[str] | None = None
    grow: Growth = field(default_factory=Growth)
    trainer: Training
    average: Averaging = field(default_factory=Averaging)
    checkpoint: Checkpointing
    hardware: Hardware
    model: Node[EncoderConfig]
    corpus: Corpus
    sentences: "Node[SentenceSplitter]"
    tokenizer: "Node[TokenizerSource]"
    quality: "Node[QualityRules]"
    preparation: "Node[Preparation]"
    objective: "Node[Objective]"
    module: "Node[PretrainingModule[Any]]"
    schedule: "Node[Schedule]"
    optimizer: "Node[OptimizerFactory]"
    data: "Node[PretrainingData]"
    callbacks: "dict[str, Node[Callback]]"
    logger: "dict[str, Node[Logger]]"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.phases or self.phases[0].length is None:
            self.trainer.check_length()
        if self.stage == "evaluate" and self.init is None:
            raise InputError("stage=evaluate needs a model: give init=FOLDER, as init=runs/NAME/model")
        if self.stage == "evaluate" and self.teacher is not None:
            raise InputError(f"teacher={self.teacher} is for stage=train, but stage is evaluate: leave one of them out")
        if self.stage == "evaluate" and self.grow != Growth():
            raise InputError("grow is for stage=train, but stage is evaluate: leave one of them out")
        if self.stage == "evaluate" and self.average != Averaging():
            raise InputError("average is for stage=train, but stage is evaluate: leave one of them out")
        if self.init is not None:
            return
        if self.model.type is ContinuedShape:
            raise InputError(
                "model=continued takes its shape from init=FOLDER of train.py: give that, or a size as model="
            )
        if self.grow != Growth():
            raise InputError("grow needs a model that grows: give init=FOLDER, or leave grow out")


@dataclass(frozen=True, kw_only=True)
class FineTuning(_InFolder):
    """The root of `conf/finetune.yaml`.

    Attributes:
        stage: `train`, with evaluation and prediction at the end; `evaluate` or `predict` with a fine-tuned model.
        datasets: the folder of the benchmarks' files, as `datasets/glue/SST-2/train.tsv`.
        teacher: a folder that was fine-tuned on the same task, whose outputs the model learns, too.
        resume: as in pre-training.
        trust: packages of the user's own that are imported before a model folder is read.
        onnx: a file that `cloze-convert format=onnx` made of the model, to evaluate next to it.
    """

    stage: Literal["train", "evaluate", "predict"]
    onnx: str | None = None
    datasets: str
    teacher: str | None = None
    trust: str | list[str] | None = None
    distillation: SoftTargets = field(default_factory=SoftTargets)
    trainer: TaskTraining
    checkpoint: Checkpointing
    hardware: Hardware
    task: Task
    adaptation: Adaptation
    model: Node[EncoderConfig | ModelFolder]
    tokenizer: "Node[TokenizerSource]"
    schedule: "Node[Schedule]"
    optimizer: "Node[OptimizerFactory]"
    data: "Node[TaskData[Any]]"
    callbacks: "dict[str, Node[Callback]]"
    logger: "dict[str, Node[Logger]]"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher is not None and self.stage != "train":
            raise InputError(
                f"teacher={self.teacher} is for stage=train, but stage is {self.stage}: leave one of them out"
            )
        if self.teacher is None and self.distillation != SoftTargets():
            raise InputError("distillation says how a teacher teaches: give teacher=FOLDER, or leave distillation out")
        if self.onnx is not None and self.stage != "evaluate":
            raise InputError(
                f"onnx={self.onnx} is for stage=evaluate, but stage is {self.stage}: leave one of them out"
            )
        if self.onnx is not None and self.hardware.on_gpu:
            raise InputError("onnx= is evaluated on a CPU: give hardware=cpu")


Run = Pretraining | FineTuning
"""The roots of what trains: each has a folder, checkpoints, loggers, an optimizer and a schedule."""


@dataclass(frozen=True, kw_only=True)
class Demo(Root):
    """The root of `conf/demo.yaml`."""

    host: str
    port: int
    open: bool
    sentences: str | None
    index: str | None
    top_k: int
    trust: str | list[str] | None
    hardware: Hardware
    model: Node[ModelFolder]


@dataclass(frozen=True, kw_only=True)
class EmbeddedColumns:
    """The section `columns` of embedding.

    Attributes:
        text: of each row.
        id: its name; null for the column ``id``, else the number of the row.
    """

    text: str | None = None
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Embeddings(Root):
    """The root of `conf/embed.yaml`."""

    stage: Literal["embed", "evaluate"]
    max_length: int | None
    dimension: int | None
    input: str | None
    output: str | None
    prompt: str
    quantize: Literal["int8", "binary"] | None
    columns: EmbeddedColumns
    on_bad_row: Literal["stop", "skip"]
    data: str | None
    split: str
    run: str | None
    reranker: str | None
    rerank_top: int
    metrics: list[str]
    depth: int
    baseline: Literal["bm25"] | None
    hardware: Hardware
    model: Node[ModelFolder]

    def __post_init__(self) -> None:
        of_other = {"evaluate": ("input",), "embed": ("data", "run", "reranker")}[self.stage]
        if given := next((name for name in of_other if getattr(self, name) is not None), None):
            other = "cloze-embed evaluate" if self.stage == "embed" else "cloze-embed without evaluate"
            raise InputError(f"{given}={getattr(self, given)}: is of {other}; leave it out")
        if self.depth < 1 or self.rerank_top < 1 or not self.metrics:
            raise InputError(
                f"depth={self.depth}, rerank_top={self.rerank_top}, metrics={self.metrics}: expected at least 1, and a "
                "metric"
            )


@dataclass(frozen=True, kw_only=True)
class Features(Root):
    """The root of `conf/features.yaml`."""

    input: str
    output: str
    layers: str | int | list[int] | None
    weights: list[float] | None
    level: Level | None
    dtype: VectorType
    columns: TextColumns
    format: Literal["auto", "text", "words", "csv", "tsv", "jsonl", "parquet"]
    delimiter: str
    quoting: Literal["auto", "none", "quotes"]
    header: bool
    on_bad_row: Literal["stop", "skip"]
    max_length: int | None
    long_texts: LongTexts
    stride: int | None
    special_tokens: bool
    probe: str | None
    trust: str | list[str] | None
    hardware: Hardware
    model: Node[ModelFolder]


@dataclass(frozen=True, kw_only=True)
class Predicting(Root):
    """The root of `conf/predict.yaml`."""

    task: str | None
    input: str | None
    output: str | None
    text: None  # taken from the command line before
    text_pair: None
    format: Literal["auto", "text", "words", "csv", "tsv", "jsonl", "parquet"]
    delimiter: str
    quoting: Literal["auto", "none", "quotes"]
    header: bool
    columns: Columns
    keep: bool
    on_bad_row: Literal["stop", "skip"]
    top_k: int | None
    targets: list[str] | None
    max_length: int | None
    threshold: float | list[float] | None
    n_best: int | None
    max_answer_length: int | None
    no_answer: bool | None
    trust: str | list[str] | None
    hardware: Hardware
    model: Node[ModelFolder]
