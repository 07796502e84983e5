"""The model of a task as a file of onnxruntime, in the place of the one that it was made of."""

from pathlib import Path

import torch
from torch import Tensor, nn

from cloze.batch import TaskBatch
from cloze.checkpoint.onnx import OnnxSession, real_tokens
from cloze.checkpoint.padded import PaddedTask
from cloze.errors import InputError
from cloze.model.task_heads import MultipleChoiceModel, TaskModel


class OnnxTask(nn.Module):
    """Takes and gives what a ``TaskModel`` does; on a CPU.

    Args:
        file: as `cloze-convert format=onnx` writes it.
        model: that it was made of.

    Raises:
        InputError: the file cannot be read, or has other outputs than the model.
    """

    def __init__(self, file: Path, model: TaskModel) -> None:
        super().__init__()
        self.session = OnnxSession(file)
        self.takes_whole_sequences = model.takes_whole_sequences
        self.choices = isinstance(model, MultipleChoiceModel)
        expected = PaddedTask(model).outputs
        labels = 1 if self.choices or len(expected) == 2 else model.classifier.out_features
        if self.session.outputs != expected or self.session.labels not in (None, labels):
            raise InputError(
                f"onnx={file} has the outputs {', '.join(self.session.outputs)}, but this model "
                f"{', '.join(expected)} of {labels}: give the model that it was made of"
            )

    def forward(self, batch: TaskBatch) -> Tensor:
        """(B, L), (N, L), (N, 2), or (I, n)."""
        found = self.session.run(batch.packed, choices=1 if self.choices else None)
        if self.choices:
            return MultipleChoiceModel.by_item(found[0][:, 0], batch)
        if self.takes_whole_sequences:
            return found[0]
        real = real_tokens(batch.packed)
        return torch.stack([each[real] for each in found], -1) if len(found) == 2 else found[0][real]
