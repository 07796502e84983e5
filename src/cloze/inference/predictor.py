"""The base class of predictors: a trained model on examples or streamed rows, in chunks."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar

import numpy as np
import pyarrow as pa
import torch

from cloze.batch import TaskBatch
from cloze.config.hardware import Hardware
from cloze.config.nodes import Node
from cloze.config.sections import ModelFolder, model_folder
from cloze.data.finetuning.batching import collate, evaluation_batches
from cloze.data.finetuning.items import Item
from cloze.data.long_texts import batched
from cloze.data.tables.delimited_output import flat
from cloze.data.tables.examples import Example, Prediction
from cloze.data.tables.row_examples import Make
from cloze.data.tables.stream import StreamRow, leave_out
from cloze.errors import BadRowError, InputError
from cloze.run.hardware import check_hardware, set_up

E = TypeVar("E", bound=Example)
PROBABILITY = {"probability": pa.float64()}


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How a model is applied.

    Attributes:
        device: where it is.
        precision: Lightning's name; the ``-mixed`` ones multiply in 16 bits.
        max_tokens: of a batch, at most.
        told: after each batch the share of the items that are done.
    """

    device: str = "cpu"
    precision: str = "32-true"
    max_tokens: int = 4096
    told: Callable[[float], None] = lambda _: None

    @classmethod
    def on(cls, hardware: Hardware, told: Callable[[float], None] = lambda _: None) -> Self:
        """As the hardware says, which is set up for it."""
        set_up(hardware)
        device = "cuda" if hardware.on_gpu else "cpu"
        return cls(device=device, precision=hardware.precision, max_tokens=hardware.micro_batch_tokens, told=told)

    def outputs(self, items: Sequence[Item], step: Callable[[TaskBatch], Mapping[int, np.ndarray]]) -> list[np.ndarray]:
        """The outputs of each item, in their order; batches are of similar lengths.

        Args:
            items: of a chunk.
            step: from a batch to the outputs of its items, by their numbers.
        """
        found: dict[int, np.ndarray] = {}
        with torch.inference_mode(), self._multiplication():
            for numbers in evaluation_batches(np.array([item.num_tokens for item in items]), self.max_tokens):
                batch = collate(items, numbers, global_labels=1)
                found |= step(batch.to(self.device))
                self.told(len(found) / len(items))
        return [found[number] for number in range(len(items))]

    def _multiplication(self) -> AbstractContextManager[object]:
        if "16" not in self.precision:
            return nullcontext()
        kind = torch.bfloat16 if self.precision.startswith("bf16") else torch.float16
        return torch.autocast(self.device, kind)


def checked_model(hardware: Hardware, model: Node[ModelFolder], *, unnamed: str = "") -> str:
    """The folder of a trained model that is to predict; nothing of it is read yet.

    Args:
        hardware: where.
        model: names the folder.
        unnamed: the folder where that is empty.

    Raises:
        InputError: there is none, or it cannot be applied with this hardware.
    """
    check_hardware(hardware)
    if hardware.devices > 1 or hardware.num_nodes > 1:
        raise InputError(
            "hardware: prediction works on one device; set hardware.devices=1, and for more split the input"
        )
    if hardware.precision not in ("32-true", "bf16-mixed", "16-mixed"):
        raise InputError(f"hardware.precision={hardware.precision}: prediction knows 32-true, bf16-mixed and 16-mixed")
    if hardware.attention != "auto":
        raise InputError(f"hardware.attention={hardware.attention}: prediction takes the kernel itself; leave it out")
    folder = model_folder(model)
    if folder is None or folder.weights != "pretrained":
        raise InputError("model: prediction needs a trained one; give model=FOLDER")
    return folder.folder or unnamed


class Predictor(ABC, Generic[E]):
    """From examples to predictions.

    Attributes:
        fields: the columns of a prediction with their types, in Parquet; without ``id`` and what repeats the example.
        repeats: what of a prediction repeats the example.
        counts: what was truncated, for the reader.
    """

    repeats: ClassVar[frozenset[str]] = frozenset({"text", "text_pair"})
    fields: Mapping[str, pa.DataType]
    counts: Counter[str]

    @abstractmethod
    def predict(self, examples: Sequence[E]) -> list[Prediction | BadRowError]:
        """One prediction for each example, in their order; or why there is none."""


class Chosen(NamedTuple):
    """A predictor, and what makes its examples."""

    predictor: Predictor[Any]
    make: Make


class Options(NamedTuple):
    """What can be set of the predictions, see `conf/predict.yaml`."""

    top_k: int | None = None
    targets: Sequence[str] = ()
    max_length: int | None = None
    threshold: float | list[float] | None = None
    n_best: int | None = None
    max_answer_length: int | None = None
    no_answer: bool | None = None
    activation: str | None = None

    def of_module(self) -> dict[str, Any]:
        """Those that are arguments of a task's module, where they are set."""
        names = ("threshold", "n_best", "max_answer_length", "no_answer", "activation")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


ROWS_AT_ONCE = 4096
CHARACTERS_AT_ONCE = 2_000_000
"""Of a chunk, whose rows are sorted by length: enough for full batches of similar lengths, little enough for memory."""


@dataclass(frozen=True, kw_only=True)
class RowPredictor:
    """What is written of each row.

    Attributes:
        maker: from a row to an example; it raises `BadRowError`.
        predictor: from examples to predictions.
        keep: the row's own cells are written, too.
        flat: one value a column, as in CSV.
        on_bad_row: ``stop``, or ``skip`` and count rows that cannot be predicted; None stops and knows no other way.
    """

    maker: Callable[[StreamRow], Example]
    predictor: Predictor[Any]
    keep: bool = True
    flat: bool = False
    on_bad_row: Literal["stop", "skip"] | None = "stop"

    def predict(self, chunk: Sequence[StreamRow], counts: Counter[str]) -> list[Prediction]:
        """The predictions for the rows of a chunk, in their order; nothing of bad ones, which are counted.

        Raises:
            InputError: a row is bad.
        """
        rows: list[StreamRow] = []
        examples: list[Example] = []
        for row in chunk:
            try:
                examples.append(self.maker(row))
                rows.append(row)
            except BadRowError as bad:
                leave_out(bad, row.where, self.on_bad_row, counts)
        written = []
        for row, said in zip(rows, self.predictor.predict(examples) if examples else [], strict=True):
            if isinstance(said, BadRowError):
                leave_out(said, row.where, self.on_bad_row, counts)
                continue
            said = flat(said) if self.flat else said
            written.append(with_cells(row.cells, said, self.predictor.repeats) if self.keep else said)
        return written


def with_cells(cells: Mapping[str, Any], said: Prediction, repeats: frozenset[str]) -> Prediction:
    """A prediction with the row's own cells in place of what repeats them; `input_NAME` where both have a name."""
    new = {key: value for key, value in said.items() if key not in repeats or (key == "words" and key not in cells)}
    own = {(f"input_{key}" if key in new else key): cell for key, cell in cells.items() if key != "id"}
    return {"id": new.pop("id"), **own, **new}


def chunks(rows: Iterable[StreamRow], most: int = ROWS_AT_ONCE) -> Iterator[list[StreamRow]]:
    """Rows in lists of at most this many, and of about this many characters as are held at once."""
    return batched(
        rows,
        lambda row: sum(len(cell) for cell in row.cells.values() if isinstance(cell, str)),
        CHARACTERS_AT_ONCE,
        most,
    )
