"""Classification, multi-label and regression tasks on a text or a pair of texts."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, TaskBatch
from cloze.data.finetuning.classification import Problem
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.module import Split
from cloze.data.tables.examples import Prediction, TextExample
from cloze.errors import InputError
from cloze.metrics.classification import METRICS, RANKINGS, best_thresholds, check_metrics
from cloze.model.task_heads import TaskModel
from cloze.tasks.class_weights import ClassWeights, check_class_weights, positive_weights, scaled_class_weights
from cloze.tasks.finetuning import FineTuning, averaged, softmax
from cloze.tasks.soft_targets import binary_divergence, divergence
from cloze.tasks.thresholds import Threshold, as_state, is_stated, of_state, quoted_labels, thresholds_of
from cloze.tasks.training import Recipe


class Classification(FineTuning[TextExample]):
    """The hidden state of [CLS] to one of several classes, by cross entropy (Devlin et al. 2019, section 4.1).

    Args:
        metrics: names in `cloze.metrics.classification.METRICS` and `RANKINGS`, the main one first; None takes the
            first there. Rankings are the mean over classes or labels; of two classes those of the second.
        class_weights: factors of the losses of the classes, in the order of `labels`, scaled so that their mean over
            the training examples is 1; ``balanced`` gives every class the same part in the loss. Of several labels
            factors of the losses where each applies, as torch's ``pos_weight``.
        threshold: probability from which a label of several applies, or one for each; ``dev`` takes for each the one
            with the best F1 on the first dev split, which is part of the state; None that of the state, else 0.5.
        model, labels, recipe: see `cloze.tasks.finetuning.FineTuning`.

    Raises:
        InputError: metrics, weights or a threshold that do not fit the kind of label.
    """

    head = "sequence_classification"
    problem: ClassVar[Problem] = "single_label"
    problem_type = "single_label_classification"

    def __init__(
        self,
        *,
        metrics: Sequence[str] | None = None,
        class_weights: ClassWeights = None,
        threshold: Threshold = None,
        model: TaskModel,
        labels: Sequence[str],
        recipe: Recipe,
    ) -> None:
        super().__init__(model=model, labels=labels, recipe=recipe)
        self.metric_names = list(metrics or list(METRICS[self.problem])[:1])
        self.main_metric = self.metric_names[0]
        self.weights = class_weights
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)
        check_metrics(self.metric_names, self.problem, self.labels)
        if class_weights is not None and self.problem == "regression":
            raise InputError("task.module.class_weights: is for classes and labels, not for regression")
        check_class_weights(class_weights, self.labels)
        if threshold is not None and self.problem != "multi_label":
            raise InputError(f"task.module.threshold: is for several labels, not for {self.problem}; leave it out")
        self.threshold: Threshold = threshold
        self.thresholds = thresholds_of(threshold, self.labels)  # (L,), in force

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """The class with its probability, and that of each."""
        return {"prediction": pa.string(), "probability": pa.float64(), "probabilities": self._numbers}

    @property
    def _numbers(self) -> pa.DataType:
        return pa.struct({label: pa.float64() for label in self.labels})

    def setup(self, stage: str) -> None:
        """Weights of classes are scaled by how often each occurs in training."""
        if stage == "fit" and self.weights is not None:
            items: Sequence[Item] = self.trainer.datamodule.splits["train"].items  # type: ignore[attr-defined]
            self.class_weights = self._factors(self.weights, np.concatenate([item.labels for item in items])).to(
                self.device
            )

    def _factors(self, weights: Literal["balanced"] | Sequence[float], labels: np.ndarray) -> Tensor:
        if labels.dtype.kind == "f":
            return scaled_class_weights(weights, np.nansum(labels, axis=0))
        return scaled_class_weights(weights, np.bincount(labels[labels != IGNORED_LABEL], minlength=len(self.labels)))

    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum of the losses, and the logits (I, L); of a text in several windows the mean of theirs."""
        logits = self.logits(self.model, batch)
        return self.loss(logits.float(), batch.labels), logits

    def logits(self, model: TaskModel, batch: TaskBatch) -> Tensor:
        """(I, L)."""
        return averaged(model(batch), batch)

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """Of the classes of the labelled items."""
        labels = batch.labels
        is_labelled = ~labels.isnan().any(-1) if labels.is_floating_point() else labels != IGNORED_LABEL
        return (divergence(outputs, theirs, temperature) * is_labelled).sum()

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of the labelled items, (); labels may be probabilities, (I, L)."""
        if not labels.is_floating_point():
            return F.cross_entropy(logits, labels, self.class_weights, ignore_index=IGNORED_LABEL, reduction="sum")
        losses = F.cross_entropy(logits, labels.nan_to_num(), self.class_weights, reduction="none")  # (I,)
        return (losses * ~labels.isnan().any(dim=-1)).sum()

    def predictions(
        self, examples: Sequence[TextExample], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """What is said of each example, from its logits (L,)."""
        found = []
        for example, output in zip(examples, outputs, strict=True):
            texts = {"text": example.text}
            if example.text_pair is not None:
                texts["text_pair"] = example.text_pair
            found.append({"id": example.id, **texts, **self.said(example, output.astype(np.float64))})
        return found

    def said(self, example: TextExample, logits: np.ndarray) -> Prediction:
        """The prediction for one example, with probabilities, and whether it is right."""
        probabilities = softmax(logits)
        best = int(probabilities.argmax())
        said: Prediction = {
            "prediction": self.labels[best],
            "probability": float(probabilities[best]),
            "probabilities": dict(zip(self.labels, probabilities.tolist(), strict=True)),
        }
        if isinstance(shares := example.label, Mapping):
            right = max(shares, key=shares.__getitem__)
            said |= {"label": right, "label_probabilities": dict(shares), "correct": right == self.labels[best]}
        elif example.label is not None:
            said |= {"label": example.label, "correct": example.label == self.labels[best]}
        return said

    def metrics(self, examples: Sequence[TextExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Those asked for, on the labelled examples; nothing when there are none."""
        labelled = [prediction for prediction in predictions if "label" in prediction]
        if not labelled:
            return {}
        said, right = (self.numbers([prediction[key] for prediction in labelled]) for key in ("prediction", "label"))
        found = {}
        for name in self.metric_names:
            if name not in RANKINGS:
                found[name] = METRICS[self.problem][name](said, right)
                continue
            each = RANKINGS[name](probabilities_of(labelled, self.labels), self.applies(right))[self._ranked]
            if not np.isnan(each).all():
                found[name] = float(np.nanmean(each))
        return found

    @property
    def _ranked(self) -> slice:
        """The classes whose ranking is scored: of two the second, since the first is its mirror image."""
        return slice(1, None) if self.problem == "single_label" and len(self.labels) == 2 else slice(None)

    def applies(self, numbers: np.ndarray) -> np.ndarray:
        """Which classes are meant by `numbers`, (n, L)."""
        applies: np.ndarray = numbers[:, None] == np.arange(len(self.labels))
        return applies

    def check_split(self, split: str, examples: Sequence[TextExample], *, is_monitored: bool = False) -> list[str]:
        """Where some rankings are not defined, which."""
        names = [name for name in self.metric_names if name in RANKINGS]
        labelled = [example for example in examples if example.label is not None]
        if not names or not labelled:
            return []
        said = [self.said(example, np.zeros(len(self.labels))) for example in labelled]
        applies = self.applies(self.numbers([one["label"] for one in said]))
        counts = applies.sum(axis=0)
        undefined = ((counts == 0) | (counts == len(applies)))[self._ranked]
        if undefined.all() and is_monitored and self.main_metric in names:
            raise InputError(
                f"task.data.{split}: every row, or none, has {quoted_labels(self.labels[self._ranked])}, so that"
                f" {self.main_metric}, by which the best weights are chosen, is undefined; give a split with both, or"
                " another first one of task.module.metrics"
            )
        absent = [label for label, one in zip(self.labels[self._ranked], undefined, strict=True) if one]
        return (
            [f"{split}: {' and '.join(names)} leave out {quoted_labels(absent)}, which every row has, or none"]
            if absent
            else []
        )

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        """Predictions or labels as the metrics take them: the numbers of classes, (n,)."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers[name] for name in values], np.int64)


class MultiLabel(Classification):
    """Any number of labels, each by its own binary cross entropy; a row's loss is their mean, as in Hugging Face's."""

    problem = "multi_label"
    problem_type = "multi_label_classification"

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """The labels that apply, and the probability of each."""
        return {"prediction": pa.list_(pa.string()), "probabilities": self._numbers}

    def get_extra_state(self) -> dict[str, float]:
        """The thresholds in force."""
        return as_state(self.thresholds, self.labels)

    def set_extra_state(self, state: dict[str, float]) -> None:
        """Take over the thresholds of a checkpoint or a model folder, unless others were given."""
        if not is_stated(self.threshold):
            self.thresholds = of_state(state, self.labels)

    def scores(self, split: Split[TextExample], outputs: Sequence[np.ndarray]) -> dict[str, float]:
        """The metrics of a dev split; the first one sets the thresholds, where it has to."""
        predictions = self.predictions(split.examples, split.items, outputs)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        labelled = [prediction for prediction in predictions if "label" in prediction]
        if self.threshold == "dev" and split is data.splits[data.dev_splits[0]] and labelled:
            right = self.numbers([prediction["label"] for prediction in labelled])
            self.thresholds = best_thresholds(probabilities_of(labelled, self.labels), right)
            predictions = self.predictions(split.examples, split.items, outputs)
        return self.metrics(split.examples, predictions)

    def _factors(self, weights: Literal["balanced"] | Sequence[float], labels: np.ndarray) -> Tensor:
        return positive_weights(weights, np.nansum(labels, axis=0), int((~np.isnan(labels[:, 0])).sum()))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of the labelled items, ()."""
        losses = F.binary_cross_entropy_with_logits(
            logits, labels.nan_to_num(), reduction="none", pos_weight=self.class_weights
        )  # (I, L)
        return (losses * ~labels.isnan()).mean(dim=-1).sum()

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """Of each label by itself, the mean over them."""
        return (binary_divergence(outputs, theirs, temperature) * ~batch.labels.isnan()).mean(dim=-1).sum()

    def said(self, example: TextExample, logits: np.ndarray) -> Prediction:
        """The labels that apply, with the probability of each; right ones that are missed, and extra ones."""
        probabilities = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        applies = probabilities >= self.thresholds
        found = [label for label, one in zip(self.labels, applies, strict=True) if one]
        said: Prediction = {
            "prediction": found,
            "probabilities": dict(zip(self.labels, probabilities.tolist(), strict=True)),
        }
        if isinstance(example.label, tuple):
            right = [label for label in self.labels if label in example.label]
            missed, extra = [n for n in right if n not in found], [n for n in found if n not in right]
            said |= {"label": right, "correct": found == right, "missed": missed, "extra": extra}
        return said

    def applies(self, numbers: np.ndarray) -> np.ndarray:
        """Which labels are meant by `numbers`, (n, L)."""
        applies: np.ndarray = numbers == 1
        return applies

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        """Rows of 0 and 1, (n, L)."""
        return np.array([[label in names for label in self.labels] for names in values], np.int64)


class Regression(Classification):
    """A score, or several, by squared error; a row's loss is the mean of those of its scores, as in Hugging Face's."""

    problem = "regression"
    problem_type = "regression"

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """The score, or each by its name."""
        return {"prediction": self._numbers if self.labels else pa.float64()}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of the labelled items, ()."""
        labels = labels.view_as(logits)  # (I, L)
        losses = F.mse_loss(logits, labels.nan_to_num(), reduction="none")
        return (losses * ~labels.isnan()).mean(dim=-1).sum()

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """The squared errors from the teacher's scores, whatever the temperature, the mean over scores."""
        is_labelled = ~batch.labels.view_as(outputs).isnan()
        return ((outputs.float() - theirs).square() * is_labelled).mean(dim=-1).sum()

    def said(self, example: TextExample, logits: np.ndarray) -> Prediction:
        """The score, and by how much it is wrong; several by name, and the mean by which they are wrong."""
        if self.labels:
            scores = dict(zip(self.labels, logits.tolist(), strict=True))
            if not isinstance(right := example.label, Mapping):
                return {"prediction": scores}
            errors = [abs(scores[name] - right[name]) for name in self.labels]
            return {"prediction": scores, "label": dict(right), "error": sum(errors) / len(errors)}
        score = float(logits[0])
        if not isinstance(example.label, float):
            return {"prediction": score}
        return {"prediction": score, "label": example.label, "error": abs(score - example.label)}

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        """Scores, (n,), or of each name, (n, L)."""
        rows = [[value[name] for name in self.labels] for value in values] if self.labels else values
        return np.array(rows, np.float64)

    def metrics(self, examples: Sequence[TextExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Those asked for; of several scores their mean, and each."""
        labelled = [prediction for prediction in predictions if "label" in prediction]
        if not (self.labels and labelled):
            return super().metrics(examples, predictions)
        said, right = (self.numbers([prediction[key] for prediction in labelled]) for key in ("prediction", "label"))
        found = {}
        for name in self.metric_names:
            each = [METRICS[self.problem][name](p, y) for p, y in zip(said.T, right.T, strict=True)]
            found[name] = float(np.mean(each))
            found |= {f"{name}_{label}": value for label, value in zip(self.labels, each, strict=True)}
        return found


def probabilities_of(predictions: Sequence[Prediction], labels: Sequence[str]) -> np.ndarray:
    """Those of each label, (n, L)."""
    return np.array([[prediction["probabilities"][label] for label in labels] for prediction in predictions])
