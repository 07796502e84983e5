"""Predictions of a fine-tuned model, whatever its task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from cloze.batch import TaskBatch
from cloze.checkpoint.modules import fine_tuned_model
from cloze.checkpoint.pretrained import Pretrained
from cloze.data.finetuning.items import Features
from cloze.data.tables.examples import Example, Prediction
from cloze.data.tables.spans import with_whole_tokens
from cloze.errors import BadRowError, InputError
from cloze.inference.predictor import Chosen, Inference, Options, Predictor
from cloze.inference.rebuild import rebuild
from cloze.model.task_heads import TaskModel
from cloze.tasks.finetuning import FineTuning


class TaskPredictor(Predictor[Example]):
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
        self.fields = module.fields

    def predict(self, examples: Sequence[Example]) -> list[Prediction | BadRowError]:
        """What the module says of each example."""
        examples = with_whole_tokens(examples, self.tokenizer)
        items = self.features.items(examples, self.tokenizer, self.module.labels)
        outputs = self.inference.outputs(items, self._step)
        return [*self.module.predictions(examples, items, outputs)]

    def _step(self, batch: TaskBatch) -> dict[int, np.ndarray]:
        return self.module.outputs(batch)


def fine_tuned(
    pretrained: Pretrained, inference: Inference, options: Options, model: TaskModel | None, trust: Sequence[str]
) -> Chosen:
    """What predicts the task that a folder was fine-tuned on.

    Raises:
        InputError: it was fine-tuned on none, or an option does not fit.
    """
    model = model or fine_tuned_model(pretrained)
    if model is None:
        raise InputError(
            f"{pretrained.folder} holds a {pretrained.title}, which is fine-tuned on "
            "no task: fine-tune it with cloze-finetune, or choose task=fill-mask"
        )
    for name in ("n_best", "max_answer_length"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise InputError(f"{name}={value}: must be at least 1")
    found = rebuild(pretrained, model, max_length=options.max_length, options=options.of_module(), trust=trust)
    module, tokenizer = found.module.to(inference.device), pretrained.tokenizer
    predictor = TaskPredictor(module=module, features=found.features, tokenizer=tokenizer, inference=inference)
    return Chosen(predictor, found.shape)
