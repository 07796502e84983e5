"""A tag for every word: entities."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, TaskBatch
from cloze.data.downstream.examples import TaggedExample
from cloze.data.downstream.items import Item
from cloze.metrics.entities import bio2, entities, entity_scores
from cloze.model.task_heads import TaskModel
from cloze.tasks.class_weights import ClassWeights, check_class_weights, scaled_class_weights
from cloze.tasks.finetuning import FineTuning, Prediction
from cloze.tasks.training import Recipe


class TokenClassification(FineTuning[TaggedExample]):
    """The vector of the first piece of each word to its tag, each by itself (Devlin et al. 2019, section 5.3).

    Args:
        class_weights: factors of the losses of the tags, in the order of `labels`, scaled so that their mean over the
            words of the training split is 1; ``balanced`` gives every tag the same part in the loss.
        model, labels, recipe: see `cloze.tasks.finetuning.FineTuning`.

    Raises:
        InputError: weights that do not fit the labels.
    """

    architecture = "BertForTokenClassification"
    per_token = True
    main_metric = "f1"

    def __init__(
        self,
        *,
        class_weights: ClassWeights = None,
        model: TaskModel,
        labels: Sequence[str],
        recipe: Recipe,
    ) -> None:
        super().__init__(model=model, labels=labels, recipe=recipe)
        self.weights = class_weights
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)
        check_class_weights(class_weights, self.labels)

    def setup(self, stage: str) -> None:
        """Weights of tags are scaled by how often each occurs in training."""
        if stage == "fit" and self.weights is not None:
            items: Sequence[Item] = self.trainer.datamodule.splits["train"].items  # type: ignore[attr-defined]
            labels = np.concatenate([item.labels[item.origin] for item in items])
            counts = np.bincount(labels, minlength=len(self.labels))
            self.class_weights = scaled_class_weights(self.weights, counts).to(self.device)

    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum of the cross entropies of the labelled tokens, and the logits (N, L)."""
        logits = self.model(batch)  # (N, L)
        loss = F.cross_entropy(
            logits.float(), batch.labels, self.class_weights, ignore_index=IGNORED_LABEL, reduction="sum"
        )
        return loss, logits

    def predictions(
        self, examples: Sequence[TaggedExample], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """The most probable tag of each word, and the entities that they make.

        Tags are written as labels are, in BIO2, so that they are right where the entities are: an I- that begins an
        entity is a B-.

        The probability of a sentence, and of an entity, is that of the tag that is least sure in it.
        """
        # The windows follow each other as the words do, and each word is in one of them.
        logits = np.concatenate([output[item.origin] for item, output in zip(items, outputs, strict=True)])
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))  # (words, L)
        best = powers.argmax(axis=1)
        probabilities = powers.max(axis=1) / powers.sum(axis=1)
        ends = np.cumsum([len(example.words) for example in examples])
        return [
            self._prediction(example, list(bio2([self.labels[number] for number in numbers])), sure)
            for example, numbers, sure in zip(
                examples, np.split(best, ends[:-1]), np.split(probabilities, ends[:-1]), strict=True
            )
        ]

    def _prediction(self, example: TaggedExample, tags: list[str], probabilities: np.ndarray) -> Prediction:
        # Where each word is a character, as in Chinese, no space belongs between two.
        space = "" if all(len(word) == 1 for word in example.words) else " "
        said: Prediction = {
            "id": example.id,
            "words": list(example.words),
            "prediction": tags,
            "probability": float(probabilities.min()),
            "entities": [
                {
                    "type": entity.type,
                    "start": entity.start,
                    "end": entity.end,
                    "text": space.join(example.words[entity.start : entity.end]),
                    "probability": float(probabilities[entity.start : entity.end].min()),
                }
                for entity in entities(tags)
            ],
        }
        if example.tags is not None:
            said |= {"label": list(example.tags), "correct": tags == list(example.tags)}
        return said

    def metrics(self, examples: Sequence[TaggedExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Micro-averaged over entities, accuracy over tags, and the F1 of each type; none where nothing is labelled."""
        labelled = [prediction for prediction in predictions if "label" in prediction]
        if not labelled:
            return {}
        scores = entity_scores(
            [prediction["label"] for prediction in labelled], [prediction["prediction"] for prediction in labelled]
        )
        precision, recall, f1 = scores.overall
        return {
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "accuracy": scores.accuracy,
            **{f"f1_{kind}": score.f1 for kind, score in scores.types.items()},
        }
