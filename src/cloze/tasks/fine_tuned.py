"""Predictions of a fine-tuned model, whatever its task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from cloze.batch import TaskBatch
from cloze.data.finetuning.items import Features
from cloze.data.tables.examples import Example
from cloze.data.tables.spans import with_whole_tokens
from cloze.errors import BadRowError
from cloze.metrics.entities import make_entities
from cloze.tasks.finetuning import FineTuning, Prediction
from cloze.tasks.inference import PROBABILITY, Inference, Predictor

ENTITY = pa.struct(
    {"label": pa.string(), "start": pa.int64(), "end": pa.int64(), "text": pa.string(), "score": pa.float64()}
)
ANSWER = pa.struct({"text": pa.string(), "probability": pa.float64(), "start": pa.int64(), "end": pa.int64()})
NUMBERED = pa.map_(pa.string(), pa.float64())


class FineTuned(Predictor[Example]):
    """The module of a task, outside of a trainer.

    Args:
        module: of the task, on the device.
        features: from examples to what the model sees.
        tokenizer: its own.
        inference: how it is applied.
    """

    repeats = frozenset({"text", "text_pair", "words", "question", "choices"})

    def __init__(
        self, *, module: FineTuning[Any], features: Features[Any], tokenizer: Tokenizer, inference: Inference
    ) -> None:
        self.module = module.eval()
        self.features = features
        self.tokenizer = tokenizer
        self.inference = inference
        self.counts = features.counts
        self.fields = fields_of(module)

    def predict(self, examples: Sequence[Example]) -> list[Prediction | BadRowError]:
        """What the module says of each example."""
        examples = with_whole_tokens(examples, self.tokenizer)
        items = self.features.items(examples, self.tokenizer, self.module.labels)
        outputs = self.inference.outputs(items, self._step)
        return [*self.module.predictions(examples, items, outputs)]

    def _step(self, batch: TaskBatch) -> dict[int, np.ndarray]:
        return self.module.outputs(batch)


def fields_of(module: FineTuning[Any]) -> dict[str, pa.DataType]:
    """The columns of a task's predictions in Parquet."""
    if module.architecture == "BertForTokenClassification":
        words = {"offsets": pa.list_(pa.list_(pa.int64())), "words": pa.list_(pa.string())}
        tags = {"prediction": pa.list_(pa.string()), **PROBABILITY}
        of_entities = make_entities(module.labels)
        return {**words, **tags, "entities": pa.list_(ENTITY)} if of_entities else {**words, **tags}
    if module.architecture == "BertForQuestionAnswering":
        places = {"start": pa.int64(), "end": pa.int64(), "n_best": pa.list_(ANSWER)}
        nothing = {"no_answer_probability": pa.float64(), "no_answer_score": pa.float64()}
        return {"prediction": pa.string(), **PROBABILITY, **places, **nothing}
    if module.architecture == "BertForMultipleChoice":
        return {"prediction": pa.int64(), **PROBABILITY, "probabilities": NUMBERED}
    numbers = pa.struct({label: pa.float64() for label in module.labels})
    if module.problem_type == "regression":
        return {"prediction": numbers if module.labels else pa.float64()}
    said = pa.list_(pa.string()) if module.problem_type == "multi_label_classification" else pa.string()
    certainty = {} if module.problem_type == "multi_label_classification" else PROBABILITY
    return {"prediction": said, **certainty, "probabilities": numbers}
