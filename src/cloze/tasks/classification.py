"""Classes, several labels or a score of a text or a pair of texts."""

import difflib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, TaskBatch
from cloze.data.downstream.classification import Problem
from cloze.data.downstream.examples import TextExample
from cloze.data.downstream.items import Item
from cloze.errors import InputError
from cloze.metrics.classification import METRICS
from cloze.model.task_heads import TaskModel
from cloze.tasks.class_weights import ClassWeights, check_class_weights, scaled_class_weights
from cloze.tasks.finetuning import FineTuning, Prediction
from cloze.tasks.training import Recipe


class Classification(FineTuning[TextExample]):
    """The vector of [CLS] to one of several classes, by cross entropy (Devlin et al. 2019, section 4.1).

    Args:
        metrics: names in `cloze.metrics.classification.METRICS`, the main one first; None takes the first there.
        class_weights: factors of the losses of the classes, in the order of `labels`, scaled so that their mean over
            the training examples is 1; ``balanced`` gives every class the same part in the loss.
        threshold: probability from which a label of several applies; None for 0.5.
        model, labels, recipe: see `cloze.tasks.finetuning.FineTuning`.

    Raises:
        InputError: metrics, weights or a threshold that do not fit the kind of label.
    """

    architecture = "BertForSequenceClassification"
    problem: ClassVar[Problem] = "single_label"
    problem_type = "single_label_classification"

    def __init__(
        self,
        *,
        metrics: Sequence[str] | None = None,
        class_weights: ClassWeights = None,
        threshold: float | None = None,
        model: TaskModel,
        labels: Sequence[str],
        recipe: Recipe,
    ) -> None:
        super().__init__(model=model, labels=labels, recipe=recipe)
        self.metric_names = list(metrics or list(METRICS[self.problem])[:1])
        self.main_metric = self.metric_names[0]
        self.weights = class_weights
        self.threshold = 0.5 if threshold is None else threshold
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)
        _check_metrics(self.metric_names, self.problem, self.labels)
        if class_weights is not None and self.problem != "single_label":
            raise InputError(f"task.module.class_weights: is for one class of several, not for {self.problem}")
        check_class_weights(class_weights, self.labels)
        if threshold is not None and self.problem != "multi_label":
            raise InputError(f"task.module.threshold: is for several labels, not for {self.problem}; leave it out")

    def setup(self, stage: str) -> None:
        """Weights of classes are scaled by how often each occurs in training."""
        if stage == "fit" and self.weights is not None:
            items: Sequence[Item] = self.trainer.datamodule.splits["train"].items  # type: ignore[attr-defined]
            labels = np.array([item.labels[0] for item in items])
            counts = np.bincount(labels[labels != IGNORED_LABEL], minlength=len(self.labels))
            self.class_weights = scaled_class_weights(self.weights, counts).to(self.device)

    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum of the losses, and the logits (I, L)."""
        logits = self.model(batch)
        return self.loss(logits.float(), batch.labels), logits

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of the labelled items, ()."""
        return F.cross_entropy(logits, labels, self.class_weights, ignore_index=IGNORED_LABEL, reduction="sum")

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
        if example.label is not None:
            said |= {"label": example.label, "correct": example.label == self.labels[best]}
        return said

    def metrics(self, examples: Sequence[TextExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Those asked for, on the labelled examples; nothing when there are none."""
        labelled = [prediction for prediction in predictions if "label" in prediction]
        if not labelled:
            return {}
        said, right = (self.numbers([prediction[key] for prediction in labelled]) for key in ("prediction", "label"))
        return {name: METRICS[self.problem][name](said, right) for name in self.metric_names}

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        """Predictions or labels as the metrics take them: the numbers of classes, (n,)."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers[name] for name in values], np.int64)


class MultiLabel(Classification):
    """Any number of labels, each by its own binary cross entropy; a row's loss is their mean, as in Hugging Face's."""

    problem = "multi_label"
    problem_type = "multi_label_classification"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of the labelled items, ()."""
        losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")  # (I, L)
        return (losses * ~labels.isnan()).mean(dim=-1).sum()

    def said(self, example: TextExample, logits: np.ndarray) -> Prediction:
        """The labels that apply; the probability is that of the whole row, each label being decided by itself."""
        probabilities = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        applies = probabilities >= self.threshold
        said: Prediction = {
            "prediction": [label for label, one in zip(self.labels, applies, strict=True) if one],
            "probability": float(np.where(applies, probabilities, 1 - probabilities).prod()),
            "probabilities": dict(zip(self.labels, probabilities.tolist(), strict=True)),
        }
        if isinstance(example.label, tuple):
            right = [label for label in self.labels if label in example.label]
            said |= {"label": right, "correct": said["prediction"] == right}
        return said

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        """Rows of 0 and 1, (n, L)."""
        return np.array([[label in names for label in self.labels] for names in values], np.int64)


class Regression(Classification):
    """A score, by squared error."""

    problem = "regression"
    problem_type = "regression"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of the labelled items, ()."""
        losses = F.mse_loss(logits.squeeze(-1), labels.nan_to_num(), reduction="none")  # (I,)
        return (losses * ~labels.isnan()).sum()

    def said(self, example: TextExample, logits: np.ndarray) -> Prediction:
        """The score, and by how much it is wrong."""
        score = float(logits[0])
        if not isinstance(example.label, float):
            return {"prediction": score}
        return {"prediction": score, "label": example.label, "error": abs(score - example.label)}

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        """Scores, (n,)."""
        return np.array(values, np.float64)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities from logits, (L,)."""
    powers = np.exp(logits - logits.max())
    probabilities: np.ndarray = powers / powers.sum()
    return probabilities


def _check_metrics(names: Sequence[str], problem: Problem, labels: Sequence[str]) -> None:
    known = METRICS[problem]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]}? " if close else ""
            raise InputError(
                f"task.module.metrics: {name!r} is no metric of {problem}; {guess}known: {', '.join(known)}"
            )
    if problem == "single_label" and "f1" in names and len(labels) != 2:
        raise InputError(f"task.module.metrics: f1 is for two classes, here are {len(labels)}; choose macro_f1")
