"""Re-ranking: a cross-encoder reads a query together with a passage and says how well they belong together."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from torch import Tensor

from cloze.batch import TaskBatch
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.module import TaskData
from cloze.data.tables.examples import PairExample, Prediction
from cloze.errors import InputError
from cloze.model.task_heads import MultipleChoiceModel, TaskModel
from cloze.tasks.finetuning import FineTuning, softmax
from cloze.tasks.reranking_losses import BinaryCrossEntropy, RankingLoss
from cloze.tasks.soft_targets import divergence
from cloze.tasks.training import Recipe

Activation = Literal["identity", "sigmoid"]
"""What becomes of a logit in predictions: nothing, or a number from 0 to 1. The order stays the same."""

CUTOFF = 10


class Reranking(FineTuning[PairExample]):
    """A score for the [CLS] of a query and a passage (Nogueira and Cho 2019, "Passage Re-ranking with BERT").

    Args:
        loss: over the passages of each query; None for `BinaryCrossEntropy`.
        activation: of the scores in predictions, and in the folder that ``CrossEncoder`` of sentence-transformers
            reads; None for ``identity``. A sigmoid rounds large logits to 1, where their order is lost.
        model, labels, recipe: see `cloze.tasks.finetuning.FineTuning`.
    """

    head = "sequence_classification"
    problem_type = "regression"
    main_metric = f"ndcg@{CUTOFF}"
    training_arguments: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(
        self,
        *,
        loss: RankingLoss | None = None,
        activation: Activation | None = None,
        model: TaskModel,
        labels: Sequence[str],
        recipe: Recipe,
    ) -> None:
        super().__init__(model=model, labels=labels, recipe=recipe)
        self.loss = loss or BinaryCrossEntropy()
        self.activation: Activation = activation or "identity"

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """The score."""
        return {"prediction": pa.float64()}

    def check_split(self, split: str, examples: Sequence[PairExample], *, is_monitored: bool = False) -> list[str]:
        """See that there is something to rank.

        Raises:
            InputError: no query has negatives.
        """
        if is_monitored and not any(example.negatives for example in examples):
            raise InputError(f"task.data.{split}: no query has a negative, so there is nothing to rank; add some")
        return []

    def attach(self, data: TaskData[PairExample]) -> None:
        """See that the data have what the loss reads.

        Raises:
            InputError: they have not.
        """
        split, name = data.splits["train"], type(self.loss).__name__
        if self.loss.needs is not None and all(len(item.sequences) == 1 for item in split.items):
            raise InputError(f"task.module.loss: {name} needs negatives; task.data.train has none")
        lacking = next((example.where for example in split.examples if example.scores is None), None)
        if self.loss.needs == "scores" and lacking is not None:
            raise InputError(f"task.module.loss: {name} needs scores of a teacher, but {lacking} has none")

    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum of the losses, and the logits of the passages (I, n), minus infinity where there are fewer."""
        scores = self.logits(self.model, batch)
        return self.loss(scores, batch.labels[:, : scores.shape[1]]), scores

    def logits(self, model: TaskModel, batch: TaskBatch) -> Tensor:
        """(I, n)."""
        return MultipleChoiceModel.by_item(model(batch)[:, 0], batch)

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """Of the passages of each query."""
        is_labelled = ~batch.labels.isnan().all(dim=-1)
        return (divergence(outputs, theirs, temperature) * is_labelled).sum()

    def predictions(
        self, examples: Sequence[PairExample], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """The score of a pair; of several passages their scores, the best one, and if known the rank of the positive.

        Of equal scores the positive comes last, so that a model for which all passages are alike has the worst rank.
        """
        found: list[Prediction] = []
        for example, item, output in zip(examples, items, outputs, strict=True):
            logits = output[: len(item.sequences)].astype(np.float64)
            scores = self.activated(logits).tolist()
            said: Prediction = {"id": example.id, "text": example.text}
            if len(scores) == 1 and example.is_judged:
                found.append({**said, "text_pair": example.positive, "prediction": scores[0]})
                continue
            best = int(logits.argmax())
            rank = int((logits >= logits[0]).sum())
            choices = [example.positive, *example.negatives[: len(scores) - 1]]
            said |= {
                "choices": choices,
                "scores": scores,
                "prediction": best,
                "probability": float(softmax(logits)[best]),
            }
            known = {"label": 0, "correct": rank == 1, "rank": rank} if example.is_judged else {}
            found.append({**said, **known})
        return found

    def activated(self, logits: np.ndarray) -> np.ndarray:
        """What is given out for logits, (n,)."""
        return logits if self.activation == "identity" else 1 / (1 + np.exp(-np.clip(logits, -500, 500)))

    def metrics(self, examples: Sequence[PairExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """How high the positive of a query ranks among its negatives; nothing when no query has any."""
        ranks = np.array([prediction["rank"] for prediction in predictions if "rank" in prediction])
        if not len(ranks):
            return {}
        is_seen = ranks <= CUTOFF
        return {
            f"ndcg@{CUTOFF}": float((is_seen / np.log2(1 + ranks)).mean()),
            f"mrr@{CUTOFF}": float((is_seen / ranks).mean()),
            "accuracy": float((ranks == 1).mean()),
        }
