"""Sections of the configuration without a constructor: their keys, defaults and checks."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cloze.config.nodes import Node
from cloze.errors import InputError
from cloze.model.config import BertConfig
from cloze.model.modern_config import ModernBertConfig
from cloze.text.sources.mixture import Part

if TYPE_CHECKING:
    from cloze.data.finetuning.items import Features
    from cloze.data.tables.examples import Source
    from cloze.tasks.finetuning import FineTuning
    from cloze.text.documents import Source as Documents


LENGTHS = ("max_steps", "max_tokens", "max_epochs", "max_time")


@dataclass(frozen=True, kw_only=True)
class Training:
    """The section `trainer`: how long to train and how often to look. Part of the science: same on any hardware.

    Attributes:
        max_steps: length in optimizer steps. Exactly one of the four lengths is given, or none where phases say how
            long they are; the schedule follows it.
        max_tokens: length in tokens, rounded up to whole global batches.
        max_epochs: length in passes over the corpus, of a large one to within some per mille (docs/data.md).
        max_time: length on the wall clock, as `90s`, `45m`, `3h50m` or `HH:MM:SS`; the schedule then counts seconds.
            It is that of the whole training, over all processes that trained it.
        gradient_clip: largest norm of all gradients together, as BERT's 1.0; null does not clip.
        validate_every: optimizer steps between two evaluations on the held-out split.
        log_every: optimizer steps between two rows of `metrics.csv`; fewer where training itself is shorter.
    """

    max_steps: int | None = None
    max_tokens: int | None = None
    max_epochs: int | None = None
    max_time: str | None = None
    gradient_clip: float | None = 1.0
    validate_every: int = 1000
    log_every: int = 50

    def __post_init__(self) -> None:
        given = [name for name in LENGTHS if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"exactly one length of training, but {_keys(given)} are given: set the others to null")
        for name in ("max_steps", "max_tokens", "max_epochs", "gradient_clip", "validate_every", "log_every"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"trainer.{name} is {value}, but must be above zero")
        if self.max_time is not None and not self.seconds():
            raise InputError(f"trainer.max_time is {self.max_time!r}, but must be above zero")

    def check_length(self) -> None:
        """Refuse a training without a length.

        Raises:
            InputError: none is given.
        """
        if all(getattr(self, name) is None for name in LENGTHS):
            raise InputError("the length of training is missing: give one of " + _keys(LENGTHS))

    def seconds(self) -> float | None:
        """`max_time` in seconds.

        Raises:
            InputError: when it is not a time.
        """
        return None if self.max_time is None else _seconds("trainer.max_time", self.max_time)


@dataclass(frozen=True, kw_only=True)
class TaskTraining(Training):
    """The section `trainer` of fine-tuning. `max_epochs` is the task's unless another length is given.

    Attributes:
        validate_every: optimizer steps between two evaluations on the dev set; null for one an epoch.
        patience: stop when this many evaluations in a row have not been better than the best; null never stops early.
        layer_decay: the learning rate of each layer as a share of that of the layer above; 1 for the same everywhere.
    """

    validate_every: int | None = None  # type: ignore[assignment]
    patience: int | None = None
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        if any(length is not None for length in (self.max_steps, self.max_tokens, self.max_time)):
            object.__setattr__(self, "max_epochs", None)
        super().__post_init__()
        self.check_length()
        if self.patience is not None and self.patience < 1:
            raise InputError(f"trainer.patience is {self.patience}, but must be at least 1")
        if not 0.0 < self.layer_decay <= 1.0:
            raise InputError(f"trainer.layer_decay is {self.layer_decay}, but must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class SoftTargets:
    """The section `distillation` of fine-tuning: how `teacher` teaches (Hinton et al. 2015, section 2).

    Attributes:
        weight: the share of the teacher's outputs in the loss; the labels have the rest.
        temperature: by which the logits of both are divided; scores are compared as they are.
    """

    weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.weight <= 1.0:
            raise InputError(f"distillation.weight is {self.weight}, but must be above 0 and at most 1")
        if self.temperature <= 0.0:
            raise InputError(f"distillation.temperature is {self.temperature}, but must be above 0")


@dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """The section `checkpoint`: how often the state of a run is saved. Besides: before each evaluation and at the end.

    Attributes:
        every_steps: optimizer steps between two checkpoints, or null.
        every_minutes: minutes between two checkpoints, or null.
        keep_last: how many of the newest ones stay, besides the best.
        asynchronous: write in the background; training continues after a copy in memory.
        stop_after: the wall-clock limit of this process, as `3h50m` from its start on: early enough before it, the run
            is saved and ends with exit status 75; the same command resumes. null for no limit.
    """

    every_steps: int | None = None
    every_minutes: float | None = 10.0
    keep_last: int = 2
    asynchronous: bool = True
    stop_after: str | None = None

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_minutes", "keep_last"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"checkpoint.{name} is {value}, but must be above zero")
        if self.stop_after is not None and not self.seconds():
            raise InputError(f"checkpoint.stop_after is {self.stop_after!r}, but must be above zero")

    def seconds(self) -> float | None:
        """`stop_after` in seconds.

        Raises:
            InputError: when it is not a time.
        """
        return None if self.stop_after is None else _seconds("checkpoint.stop_after", self.stop_after)


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """The section `average`: a second copy of the weights, in fp32, averaged over steps. Training continues as without.

    It is evaluated next to the last weights, as `val_average/...`, and written to `runs/NAME/model_average`.

    Attributes:
        kind: `uniform`, the mean of the weights from `start` on, or `ema`, their exponential moving average; null for
            none.
        start: the share of training after which it begins; null for 0.75 of `uniform` and 0 of `ema`.
        every: optimizer steps between two weights that enter it; the last ones always do.
        decay: of `ema`, the share that it keeps of itself; null for 0.999.
    """

    kind: Literal["uniform", "ema"] | None = None
    start: float | None = None
    every: int = 1
    decay: float | None = None

    def __post_init__(self) -> None:
        if self.kind is None and (self.start, self.every, self.decay) != (None, 1, None):
            raise InputError("average.kind is missing: give uniform or ema, or leave average out")
        if self.kind == "uniform" and self.decay is not None:
            raise InputError("average.decay is of average.kind=ema: leave it out")
        if self.start is not None and not 0.0 <= self.start < 1.0:
            raise InputError(f"average.start is {self.start}, but must be at least 0 and below 1")
        if self.every < 1:
            raise InputError(f"average.every is {self.every}, but must be above zero")
        if self.decay is not None and not 0.0 < self.decay < 1.0:
            raise InputError(f"average.decay is {self.decay}, but must be above 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The section `corpus`.

    Attributes:
        name: with which the name of the prepared folder begins.
        prepared: the folder of the prepared corpus; made by the first run or by `cloze-prepare`. null takes the one
            below `data/` that was prepared from this text in this way, whatever it is called, else `data/NAME-HASH`.
        source: where the documents come from.
        vocab_size: tokens of the vocabulary that is trained on it, by default BERT's number.
        duplicates: `count` exact duplicates, or `remove` every line that occurred before.
        near_duplicates: Jaccard similarity, as 0.8, from which on near-duplicates of earlier documents are dropped;
            null drops none.
        heldout_fraction: share of the documents that training never sees, null for 0.01; 1 is all, for stage=evaluate.
        heldout_files: files that training never sees, in place of a share; read as those of `files`.
        fill_in: sentences with `[MASK]`, whatever the model writes for it, that are predicted at each evaluation; none
            takes some of the held-out text.
        files: short for `source.files`, where the source has files.
        dataset: short for `source.dataset`, where the source has one.
        parts: short for `source.parts`, where the source has prepared corpora as its parts.
    """

    name: str
    prepared: str | None = None
    source: "Node[Documents]"
    vocab_size: int = 30522
    duplicates: Literal["count", "remove"] = "count"
    near_duplicates: float | None = None
    heldout_fraction: float | None = None
    heldout_files: str | list[str] | None = None
    fill_in: list[str] | None = None
    files: str | list[str] | None = None
    dataset: str | None = None
    parts: list[Part] | None = None

    def __post_init__(self) -> None:
        if self.parts is not None and self.prepared is not None:
            raise InputError("corpus.prepared is for one corpus, but corpus.parts has folders of its own: leave it out")


@dataclass(frozen=True, kw_only=True)
class ContinuedShape(ModernBertConfig, BertConfig):
    """The section `model` with `init=FOLDER`: the shape is the folder's, and what is stated here must agree with it.

    Only the dropout rates, the `initializer_range` of what is drawn, and how far positions reach may differ: more of
    them, and where they are rotary their bases and scaling.
    """

    def __post_init__(self) -> None:
        """The defaults are another shape's: whether these keys go together is checked when the folder has been read."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The section `grow`: what is added to the model of `init`. Old ids never change.

    Attributes:
        positions: how new positions begin, where `model.max_position_embeddings` is above the folder's: `repeat`
            copies the learned ones block by block, `random` draws them; null for `repeat`, where they are learned.
        vocab: a file with more tokens, one a line; to another tokenizer than BERT's whole words are added.
        vocab_size: or the size to which a vocabulary of BERT's kind grows, by the tokens most useful for the corpus.
        layers: how a larger `model.num_hidden_layers` begins: with the layers as a `stack` on itself, each in an
            `interleave` with its copies, or that at the same height (`scale`); `identity` copies add nothing at first.
        width: how larger `model.hidden_size`, `num_attention_heads`, `intermediate_size` begin: `tile` repeats matrices
            from their middle, `split` copies units and shares their weights out, which keeps the function.
    """

    positions: Literal["repeat", "random"] | None = None
    layers: Literal["stack", "interleave", "scale", "identity"] | None = None
    width: Literal["tile", "split"] | None = None
    vocab: str | None = None
    vocab_size: int | None = None

    def __post_init__(self) -> None:
        if self.vocab is not None and self.vocab_size is not None:
            raise InputError("grow.vocab and grow.vocab_size are both given: set one of them to null")


@dataclass(frozen=True, kw_only=True)
class Task:
    """The section `task`.

    Attributes:
        name: what the run is called by default.
        data: where the examples come from.
        features: from examples to what the model sees.
        module: the LightningModule of its shape.
        max_length: tokens of the longest sequence.
        long: what is shown of texts beyond it: `truncate` their beginning, `head_tail` their beginning and their end
            (`task.features.head_share`), `windows` all of them; null for `truncate`, and for a fine-tuned model what it
            was trained with.
        batch_size: items of an optimizer step.
        epochs: passes over the training split.
        lr: the peak learning rate.
        compare_random: train the same encoder from random weights, too, so that the report shows what pre-training did.
    """

    name: str
    data: "Node[Source[Any]]"
    features: "Node[Features[Any]]"
    module: "Node[FineTuning[Any]]"
    max_length: int
    batch_size: int
    epochs: int
    lr: float
    long: Literal["truncate", "head_tail", "windows"] | None = None
    compare_random: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """`model=FOLDER`.

    Attributes:
        folder: in Hugging Face's BERT layout.
        weights: `random` takes the shape and the tokenizer alone.
    """

    folder: str
    weights: Literal["pretrained", "random"] = "pretrained"


def model_folder(model: Node[Any]) -> ModelFolder | None:
    """The folder that the node `model` names; None for a size with random weights."""
    return model.build() if model.type is ModelFolder else None


def _seconds(key: str, text: str) -> float:
    """A time as 90s, 1.5h, 3h50m, 2d or 08:00:00, in seconds.

    Raises:
        InputError: it is none.
    """
    if match := re.fullmatch(r"(\d+):(\d\d):(\d\d)", text):
        return 3600.0 * int(match[1]) + 60 * int(match[2]) + int(match[3])
    if re.fullmatch(r"(\d+(\.\d+)?[dhms])+", text):
        parts = re.findall(r"([\d.]+)([dhms])", text)
        return sum(float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit] for number, unit in parts)
    raise InputError(f"{key} is {text!r}, but must be a time as 90s, 45m, 8h, 2d or 08:00:00")


def _keys(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"trainer.{name}" for name in names)
