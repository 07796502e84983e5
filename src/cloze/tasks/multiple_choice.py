"""Multiple choice."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, TaskBatch
from cloze.data.finetuning.items import Item
from cloze.data.tables.examples import ChoiceExample, Prediction
from cloze.metrics.classification import accuracy
from cloze.tasks.finetuning import FineTuning, softmax
from cloze.tasks.soft_targets import divergence


class MultipleChoice(FineTuning[ChoiceExample]):
    """A score for the [CLS] of each choice, and a softmax over them (Devlin et al. 2019, section 4.4)."""

    head = "multiple_choice"
    main_metric = "accuracy"

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """The number of the best choice, and the probability of each."""
        each = pa.map_(pa.string(), pa.float64())
        return {"prediction": pa.int64(), "probability": pa.float64(), "probabilities": each}

    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum of the cross entropies, and the scores of the choices (I, n)."""
        scores = self.model(batch)  # (I, n)
        loss = F.cross_entropy(scores.float(), batch.labels, ignore_index=IGNORED_LABEL, reduction="sum")
        return loss, scores

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """Of the choices of the labelled items."""
        return (divergence(outputs, theirs, temperature) * (batch.labels != IGNORED_LABEL)).sum()

    def predictions(
        self, examples: Sequence[ChoiceExample], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """The numbers of the choices, from 0, with their probabilities."""
        found = []
        for example, scores in zip(examples, outputs, strict=True):
            probabilities = softmax(scores[: len(example.choices)].astype(np.float64))
            best = int(probabilities.argmax())
            said: Prediction = {
                "id": example.id,
                "text": example.text,
                "choices": list(example.choices),
                "prediction": best,
                "probability": float(probabilities[best]),
                "probabilities": {str(number): p for number, p in enumerate(probabilities.tolist())},
            }
            if example.label is not None:
                said |= {"label": example.label, "correct": best == example.label}
            found.append(said)
        return found

    def metrics(self, examples: Sequence[ChoiceExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Accuracy on the labelled examples; nothing when there are none."""
        labelled = [prediction for prediction in predictions if "label" in prediction]
        if not labelled:
            return {}
        said, right = (np.array([prediction[key] for prediction in labelled]) for key in ("prediction", "label"))
        return {"accuracy": accuracy(said, right)}
