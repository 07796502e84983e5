"""Predict whether a text continues another (Devlin et al. 2019, section 3.1, task 2)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from cloze.batch import TaskBatch
from cloze.data.finetuning.classification import TextFeatures
from cloze.data.tables.examples import Prediction, TextExample
from cloze.errors import BadRowError
from cloze.inference.predictor import PROBABILITY, Inference, Predictor
from cloze.model.heads import PretrainingModel


class NextSentence(Predictor[TextExample]):
    """The probability that segment B continues A; of a model of sentence order, that they stand in their order.

    Args:
        model: with its encoder, its pooler and its next-sentence head on the device; no other part is used.
        tokenizer: its own.
        inference: how it is applied.
        max_length: tokens of the longest pair.
    """

    def __init__(self, *, model: PretrainingModel, tokenizer: Tokenizer, inference: Inference, max_length: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.inference = inference
        self.features = TextFeatures(max_length=max_length)
        self.counts = self.features.counts
        self.fields = {"prediction": pa.bool_(), **PROBABILITY}

    def predict(self, examples: Sequence[TextExample]) -> list[Prediction | BadRowError]:
        """Whether the second text continues the first, and how probable that is."""
        items = self.features.items(examples, self.tokenizer, [])
        probabilities = map(float, self.inference.outputs(items, self._step))
        return [
            {"id": e.id, "text": e.text, "text_pair": e.text_pair, "prediction": p >= 0.5, "probability": p}
            for e, p in zip(examples, probabilities, strict=True)
        ]

    def _step(self, batch: TaskBatch) -> dict[int, np.ndarray]:
        logits = self.model.next_sentence_logits(self.model.encoder(batch.packed), batch.packed)
        probabilities = logits.float().softmax(dim=-1)[:, 0]
        return dict(zip(batch.items.tolist(), probabilities.cpu().numpy(), strict=True))
