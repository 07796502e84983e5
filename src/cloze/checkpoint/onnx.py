"""Export the encoder and every head to ONNX as one graph on padded rows.

Inputs: ``input_ids``, ``attention_mask`` (0 at padding) and, where the encoder reads segments, ``token_type_ids``,
int64 (batch, length), both free; for multiple choice (batch, choices, length). The outputs have the names of Hugging
Face's classes.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cloze.batch import Packed
from cloze.checkpoint.modules import discriminator_head, fine_tuned_model, pretraining_model
from cloze.checkpoint.padded import PaddedDetection, PaddedFeatures, PaddedModel, PaddedPretraining, PaddedTask
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
    if "discriminator_head" in parts:
        return PaddedDetection(model.encoder, discriminator_head(pretrained))
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
    config = model.encoder.config
    packed = random_tokens(tuple(min(length, config.max_position_embeddings) for length in lengths), config.vocab_size)
    return max(float(apart.max()) for apart in _apart(model, folder / MODEL, packed))


class Rounding(NamedTuple):
    """How far the outputs of a quantised model are from those of the model in fp32.

    Attributes:
        largest: of all differences.
        mean: of their absolute values.
        spread: the standard deviation of the outputs, to compare these with.
    """

    largest: float
    mean: float
    spread: float

    def __str__(self) -> str:
        return (
            f"outputs differ from those in fp32 by {self.mean:.2g} on average and {self.largest:.2g} at most, and have "
            f"a standard deviation of {self.spread:.2g}"
        )


def write_quantised(model: PaddedModel, folder: Path) -> None:
    """As ``write_onnx``, with the weights of matrix products and embeddings as int8, a scale for each output channel.

    Activations are quantised as they come, by their range in each product; norms, softmax and what is added stay fp32.

    Raises:
        InputError: a package for it is missing.
    """
    size = sum(parameter.numel() for parameter in model.parameters())
    with TemporaryDirectory(dir=folder) as exact:
        write_onnx(model, Path(exact))
        quantise(Path(exact) / MODEL, folder / MODEL, external=size > LARGEST)


def quantise(source: Path, to: Path, *, external: bool = False) -> None:
    """Write a file in fp32 as one in int8; see ``write_quantised``."""
    check_packages("onnxruntime")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _silent():
        quantize_dynamic(source, to, weight_type=QuantType.QInt8, per_channel=True, use_external_data_format=external)


def rounding(model: PaddedModel, folder: Path, packed: Sequence[Packed]) -> Rounding:
    """What quantisation has changed of the outputs.

    Args:
        model: in fp32.
        folder: of its ``model.onnx``.
        packed: batches of texts; for multiple choice each of an even number of them.
    """
    apart = torch.cat([each.flatten() for batch in packed for each in _apart(model, folder / MODEL, batch)])
    with torch.inference_mode():
        ours = torch.cat([each.flatten() for batch in packed for each in model.packed(batch)])
    return Rounding(float(apart.max()), float(apart.mean()), float(ours.std()))


def _apart(model: PaddedModel, file: Path, packed: Packed) -> list[Tensor]:
    """The absolute differences of each output of a file from the packed model's."""
    with torch.inference_mode():
        expected = model.packed(packed)
    found = OnnxSession(file).run(packed, choices=2 if model.choices else None)
    return [(_at(packed, theirs, ours) - ours).abs() for theirs, ours in zip(found, expected, strict=True)]


def _inputs(model: PaddedModel) -> tuple[str, ...]:
    return INPUTS if model.segments else INPUTS[:2]


class OnnxSession:
    """A file in onnxruntime, on packed tokens.

    Args:
        file: as ``write_onnx`` writes it.

    Attributes:
        inputs: their names, of ``INPUTS``.
        outputs: likewise.
        labels: the last dimension of the first output, where it is no free one.

    Raises:
        InputError: it cannot be read, or a package for it is missing.
    """

    def __init__(self, file: Path) -> None:
        check_packages("onnxruntime")
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        except Exception as error:  # of onnxruntime, which has one for each kind of damage
            raise InputError(f"{file} cannot be read ({str(error).strip().splitlines()[0]:.200})") from error
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        outputs = self._session.get_outputs()
        self.outputs = tuple(value.name for value in outputs)
        last = outputs[0].shape[-1]  # a name where it is free
        self.labels = last if isinstance(last, int) else None

    def run(self, packed: Packed, choices: int | None = None) -> list[Tensor]:
        """Each output for the sequences as padded rows.

        Args:
            packed: the sequences.
            choices: for multiple choice, how many neighbours are an item's.
        """
        real = real_tokens(packed)
        ids, segments = (torch.zeros(real.shape, dtype=torch.long).masked_scatter(real, row) for row in packed[:2])
        given = dict(zip(INPUTS, (ids, real.long(), segments), strict=True))
        rows = {
            name: given[name] if choices is None else given[name].unflatten(0, (-1, choices)) for name in self.inputs
        }
        return [torch.from_numpy(each) for each in self._session.run(None, {k: v.numpy() for k, v in rows.items()})]


def real_tokens(packed: Packed) -> Tensor:
    """(B, T), true where a padded row has a token."""
    lengths = packed.cu_seqlens.diff()
    return torch.arange(int(lengths.max())) < lengths[:, None]


def _at(packed: Packed, theirs: Tensor, ours: Tensor) -> Tensor:
    """Where the packed model speaks of tokens, the padded one's words at real tokens."""
    return theirs[real_tokens(packed)] if len(ours) == len(packed.input_ids) and theirs.ndim > ours.ndim else theirs


def random_tokens(lengths: tuple[int, ...], vocab_size: int) -> Packed:
    """Sequences of these lengths, the same each time; their second half is segment B."""
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
