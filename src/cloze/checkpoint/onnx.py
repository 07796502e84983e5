"""Export the encoder and every head to ONNX as one graph on padded rows.

Inputs: ``input_ids``, ``attention_mask`` (0 at padding) and, where the encoder reads segments, ``token_type_ids``,
int64 (batch, length), both free; for multiple choice (batch, choices, length). The outputs have the names of Hugging
Face's classes.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cloze.batch import Packed
from cloze.checkpoint.modules import fine_tuned_model, pretraining_model
from cloze.checkpoint.padded import PaddedFeatures, PaddedModel, PaddedPretraining, PaddedTask
from cloze.checkpoint.pretrained import Pretrained
from cloze.errors import InputError
from cloze.model.architecture import architecture_of
from cloze.runtime.distribution import installation

MODEL = "model.onnx"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TOLERANCE = 1e-4
LARGEST = 3 << 29
"""Bytes of weights in the graph's own file; protobuf ends at 2 GiB, so more go into a file next to it."""


def padded_model(pretrained: Pretrained) -> PaddedModel:
    """What ONNX gets of a model: its task's head, else its pre-training heads, else the bare encoder.

    Raises:
        InputError: it has a head that needs packed tokens.
    """
    if (task := fine_tuned_model(pretrained)) is not None:
        if task.lstm is not None:
            raise InputError(f"{pretrained.folder} has a bilstm head, which ONNX is not written for: train head=linear")
        return PaddedTask(task)
    model, parts = pretraining_model(pretrained), pretrained.parts
    masked_lm = "masked_lm_head" in parts
    next_sentence = {*architecture_of(pretrained.config).pair_parts} <= {*parts}
    if masked_lm or next_sentence:
        return PaddedPretraining(model, masked_lm=masked_lm, next_sentence=next_sentence)
    pooler: Any = getattr(model, "pooler", None) if "pooler" in parts else None
    return PaddedFeatures(model.encoder, pooler)


def write_onnx(model: PaddedModel, folder: Path) -> None:
    """Write ``model.onnx`` into a folder; weights of more than 1.5 GiB into ``model.onnx.data`` next to it.

    Raises:
        InputError: a package for it is missing.
    """
    check_packages("onnx", "onnxscript")
    row = torch.ones(2, min(7, model.encoder.config.max_position_embeddings), dtype=torch.long)
    rows = row.unsqueeze(1).expand(2, 3, -1).contiguous() if model.choices else row
    axes = ("batch", "choices", "length") if model.choices else ("batch", "length")
    inputs = _inputs(model)
    shapes = {name: {number: torch.export.Dim(axis) for number, axis in enumerate(axes)} for name in inputs}
    with torch.no_grad(), _silent():
        program = torch.onnx.export(
            model.eval(),
            (rows, rows.clone(), torch.zeros_like(rows))[: len(inputs)],  # one tensor twice would become one input
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(inputs),
            output_names=list(model.outputs),
            verbose=False,
        )
        assert program is not None
        size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
        program.save(folder / MODEL, external_data=size > LARGEST)


def difference(model: PaddedModel, folder: Path, lengths: tuple[int, ...] = (9, 4, 6, 2)) -> float:
    """How far onnxruntime with the file of ``write_onnx`` is from the packed model, at most, on random tokens.

    Args:
        model: the very one.
        folder: of ``model.onnx``.
        lengths: of the rows, the longest first where there is padding to be seen; an even number of them, each at most
            the positions of the model.

    Raises:
        InputError: a package for it is missing.
    """
    check_packages("onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / MODEL), providers=["CPUExecutionProvider"])
    config = model.encoder.config
    lengths = tuple(min(length, config.max_position_embeddings) for length in lengths)
    packed = _random(lengths, config.vocab_size)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]  # (B, T)
    ids, segments = (torch.zeros(real.shape, dtype=torch.long).masked_scatter(real, row) for row in packed[:2])
    given = (rows.unflatten(0, (-1, 2)) if model.choices else rows for rows in (ids, real.long(), segments))
    feeds = {name: rows.numpy() for name, rows in zip(_inputs(model), given, strict=False)}
    said = session.run(list(model.outputs), feeds)
    with torch.inference_mode():
        expected = model.packed(packed)
    return max(
        float((_at(real, torch.from_numpy(theirs), ours) - ours).abs().max())
        for theirs, ours in zip(said, expected, strict=True)
    )


def _inputs(model: PaddedModel) -> tuple[str, ...]:
    return INPUTS if model.segments else INPUTS[:2]


def _at(real: Tensor, theirs: Tensor, ours: Tensor) -> Tensor:
    """Where the packed model speaks of tokens, the padded one's words at real tokens."""
    return theirs[real] if len(ours) == int(real.sum()) and theirs.ndim > ours.ndim else theirs


def _random(lengths: tuple[int, ...], vocab_size: int) -> Packed:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocab_size, (sum(lengths),), generator=generator)
    return Packed.of(ids.split(lengths), [np.arange(length) > length // 2 for length in lengths])


def check_packages(*names: str) -> None:
    """Refuse before any work.

    Raises:
        InputError: one is missing.
    """
    from importlib.util import find_spec

    if absent := [name for name in names if find_spec(name) is None]:
        raise InputError(f"ONNX needs {' and '.join(absent)}: {installation('onnx')}")


@contextmanager
def _silent() -> Iterator[None]:
    """Without what the exporter says about itself: packages that it can do without, its own old calls, axes' names."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"# The axis name")
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        logging.disable(before)
