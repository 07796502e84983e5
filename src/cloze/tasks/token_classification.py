"""Token classification: entities, or classes of words such as parts of speech."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, TaskBatch
from cloze.data.finetuning.items import Item
from cloze.data.tables.examples import Prediction, TaggedExample
from cloze.metrics.classification import accuracy, macro_f1
from cloze.metrics.entities import Entity, bio2, entities, entity_scores, make_entities
from cloze.model.task_heads import TaskModel
from cloze.tasks.class_weights import ClassWeights, check_class_weights, scaled_class_weights
from cloze.tasks.finetuning import FineTuning
from cloze.tasks.soft_targets import divergence
from cloze.tasks.training import Recipe

ENTITY = pa.struct(
    {"label": pa.string(), "start": pa.int64(), "end": pa.int64(), "text": pa.string(), "score": pa.float64()}
)


class TokenClassification(FineTuning[TaggedExample]):
    """The hidden state of the first token of each word to its tag, each by itself (Devlin et al. 2019, section 5.3).

    Tags with B- and I- make entities, which are scored as wholes by F1; any others are scored word by word by accuracy.

    Args:
        class_weights: factors of the losses of the tags, in the order of `labels`, scaled so that their mean over the
            words of the training split is 1; ``balanced`` gives every tag the same part in the loss.
        model, labels, recipe: see `cloze.tasks.finetuning.FineTuning`.

    Raises:
        InputError: weights that do not fit the labels.
    """

    head = "token_classification"
    per_token = True

    def __init__(
        self,
        *,
        class_weights: ClassWeights = None,
        model: TaskModel,
        labels: Sequence[str],
        recipe: Recipe,
    ) -> None:
        super().__init__(model=model, labels=labels, recipe=recipe)
        self.of_entities = make_entities(self.labels)
        self.main_metric = "f1" if self.of_entities else "accuracy"
        self.weights = class_weights
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)
        check_class_weights(class_weights, self.labels)

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """Those of words and their tags; of tags that make entities, these as well."""
        words = {"offsets": pa.list_(pa.list_(pa.int64())), "words": pa.list_(pa.string())}
        tags = {"prediction": pa.list_(pa.string()), "probability": pa.float64()}
        return {**words, **tags, **({"entities": pa.list_(ENTITY)} if self.of_entities else {})}

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

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """Of the tags of the labelled tokens."""
        return (divergence(outputs, theirs, temperature) * (batch.labels != IGNORED_LABEL)).sum()

    def predictions(
        self, examples: Sequence[TaggedExample], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """The most probable tag of each word, and the entities that they make, if they do.

        Tags of entities are written as labels are, in BIO2, so that they are right where the entities are: an I- that
        begins an entity is a B-. Offsets of entities count words; in a raw text characters, as ``offsets`` do, which
        say where its words are.

        The probability of a sentence, and of an entity, is that of the tag that is least sure in it.
        """
        # The windows follow each other as the words do, and each word is in one of them.
        logits = np.concatenate([output[item.origin] for item, output in zip(items, outputs, strict=True)])
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))  # (words, L)
        best = powers.argmax(axis=1)
        probabilities = powers.max(axis=1) / powers.sum(axis=1)
        ends = np.cumsum([len(example.words) for example in examples])
        return [
            self._prediction(example, [self.labels[number] for number in numbers], sure)
            for example, numbers, sure in zip(
                examples, np.split(best, ends[:-1]), np.split(probabilities, ends[:-1]), strict=True
            )
        ]

    def _prediction(self, example: TaggedExample, tags: list[str], probabilities: np.ndarray) -> Prediction:
        said: Prediction = {"id": example.id}
        if example.text is not None:
            said |= {"text": example.text, "offsets": [list(place) for place in example.offsets]}
        if self.of_entities:
            tags = list(bio2(tags))
        said |= {"words": list(example.words), "prediction": tags, "probability": float(probabilities.min(initial=1.0))}
        if self.of_entities:
            said["entities"] = [_entity(example, entity, probabilities) for entity in entities(tags)]
        if example.tags is not None:
            said |= {"label": list(example.tags), "correct": tags == list(example.tags)}
        return said

    def metrics(self, examples: Sequence[TaggedExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Micro-averaged over entities, accuracy over tags, and the F1 of each type; none where nothing is labelled.

        Of tags that make no entities the accuracy, and the mean F1 of the tags.
        """
        labelled = [prediction for prediction in predictions if "label" in prediction]
        if not labelled:
            return {}
        right, said = ([prediction[key] for prediction in labelled] for key in ("label", "prediction"))
        if not self.of_entities:
            numbers = {label: number for number, label in enumerate(self.labels)}
            found, true = (np.array([numbers[tag] for tags in rows for tag in tags]) for rows in (said, right))
            return {"accuracy": accuracy(found, true), "macro_f1": macro_f1(found, true)}
        scores = entity_scores(right, said)
        precision, recall, f1 = scores.overall
        return {
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "accuracy": scores.accuracy,
            **{f"f1_{kind}": score.f1 for kind, score in scores.types.items()},
        }


def _entity(example: TaggedExample, entity: Entity, probabilities: np.ndarray) -> dict[str, Any]:
    """An entity with its text; in a raw text the offsets of its characters."""
    kind, start, end = entity
    score = float(probabilities[start:end].min())
    if example.text is not None:
        start, end = example.offsets[start][0], example.offsets[end - 1][1]
        text = example.text[start:end]
    else:
        # Where each word is a character, as in Chinese, no space belongs between two.
        text = ("" if all(len(word) == 1 for word in example.words) else " ").join(example.words[start:end])
    return {"label": kind, "start": start, "end": end, "text": text, "score": score}
