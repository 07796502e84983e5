"""Read the tensors of a model folder, safetensors or pickle, whole or in shards, without running pickled code."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cloze.errors import InputError
from cloze.files import bounded

CONFIG, WEIGHTS, PICKLED_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"
TOKENIZER_CONFIG = "tokenizer_config.json"
FORMATS = (WEIGHTS, f"{WEIGHTS}.index.json", PICKLED_WEIGHTS, f"{PICKLED_WEIGHTS}.index.json")
"""In the order in which they are looked for: where a folder has several, they hold the same."""

KINDS: dict[str, Callable[[Tensor], bool]] = {
    "meta": lambda tensor: tensor.device.type != "cpu",
    "nested": lambda tensor: tensor.is_nested,
    "quantised": lambda tensor: tensor.is_quantized,
    "sparse": lambda tensor: tensor.layout is not torch.strided,
}
"""Tensors that a pickle may hold and that are no weights."""

NUMBERS = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
}

FOREIGN = ("tf_model.h5", "flax_model.msgpack", "model.onnx")
"""What other libraries put in the same place."""


def read_weights(folder: Path) -> tuple[dict[str, Tensor], Path]:
    """All tensors of a model folder under the names in its files, and the file that was read.

    Raises:
        InputError: there is none, or one of them is damaged, lacks a tensor or would run code.
    """
    for name in FORMATS:
        if (file := folder / name).is_file():
            tensors = _read_shards(file) if file.suffix == ".json" else read_tensors(file)
            _check_finite(tensors, file)
            return tensors, file
    for name in FOREIGN:
        if (folder / name).is_file():
            raise InputError(f"{folder} holds {name}, which is not read: put {WEIGHTS} or {PICKLED_WEIGHTS} there")
    raise _missing(folder / WEIGHTS)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of an older ``.bin``, without running any of its code.

    Raises:
        InputError: it is missing or damaged, or it would run code.
    """
    if not file.is_file():
        raise _missing(file)
    try:
        if file.suffix != ".bin":
            return plain(load_file(file), file)
        content = load_pickle(file)
    except bounded.ExpansionError as error:
        raise InputError(f"{file}: {error}") from error
    except SafetensorError as error:
        raise damaged(file, error) from error
    except Exception as error:  # damage makes torch's reader of pickles raise nearly anything
        raise _refusal(file, error) from error
    if not isinstance(content, dict):
        raise damaged(file, "no tensors with names")
    return plain(_tensors(content) or _state(content, file), file)


def _tensors(content: object) -> dict[str, Tensor]:
    """What of a mapping is tensors."""
    found = content.items() if isinstance(content, Mapping) else ()
    return {str(name): value for name, value in found if isinstance(value, Tensor)}


def _state(content: Mapping[Any, Any], file: Path) -> dict[str, Tensor]:
    """The tensors under the one name that has some, as trainers save a state besides their own.

    Raises:
        InputError: several names have.
    """
    states = {str(name): found for name, value in content.items() if (found := _tensors(value))}
    if len(states) > 1:
        raise InputError(f"{file} holds several models ({', '.join(states)}): save the one that you mean alone")
    return next(iter(states.values()), {})


def read_json(file: Path, kind: type = dict) -> Any:
    """A file of a model folder that holds one JSON object, or of the modules of sentence-transformers a list.

    Raises:
        InputError: it does not, or is missing.
    """
    if not file.is_file():
        raise _missing(file)
    try:
        content = bounded.read_json(file)
    except ValueError as error:
        raise damaged(file, error) from error
    if not isinstance(content, kind):
        raise damaged(file, "no JSON object" if kind is dict else "no JSON list")
    return content


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all files that an index names.

    Raises:
        InputError: the index or a file is damaged, or a file or a tensor that the index names is missing.
    """
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise damaged(index, "no weight_map")
    tensors: dict[str, Tensor] = {}
    for shard in sorted({str(place) for place in places.values()}):
        if Path(shard).name != shard or len(shard.encode(errors="replace")) > 255:  # it must not make us read elsewhere
            raise damaged(index, f"{shard!r} is no file of this folder")
        file = index.with_name(shard)
        if not file.is_file():
            raise InputError(f"{file} is missing, but {index.name} names it: copy the model folder again")
        tensors |= read_tensors(file)
    for name, shard in places.items():
        if name not in tensors:
            raise InputError(f"{index.with_name(shard)} has no {name!r}, which {index.name} sees in it")
    return tensors


def load_pickle(file: Path, *, mapped: bool = False) -> Any:
    """What PyTorch has saved, on the CPU; no code in it is ever run.

    Args:
        file: of any age.
        mapped: tensors stay in the file until they are looked at.

    Raises:
        ExpansionError: PyTorch stores numbers as they are; this archive is compressed, and would become far larger.
        Exception: nearly any, for a file that is damaged or would run code.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            bounded.check_expansion(sum(member.file_size for member in archive.infolist()), file.stat().st_size)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # about the pickle's age
        return torch.load(file, map_location="cpu", mmap=mapped, weights_only=True)


def plain(tensors: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The tensors, each checked to be an array of real numbers that the file holds.

    Raises:
        InputError: one is not; a pickle may describe others, some of any size.
    """
    for name, tensor in tensors.items():
        kind = next((kind for kind, is_one in KINDS.items() if is_one(tensor)), None)
        if kind is None and tensor.dtype not in NUMBERS:
            kind = str(tensor.dtype).removeprefix("torch.")
        if kind is not None:
            raise InputError(f"{file}: {name} is a {kind} tensor, but only dense ones of real numbers are read")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(f"{file}: {name} has the shape {tuple(tensor.shape)}, but the file holds fewer numbers")
    return tensors


def _check_finite(tensors: dict[str, Tensor], file: Path) -> None:
    """Weights with NaN would show only later, as a loss that is not a number."""
    for name, tensor in tensors.items():
        wide = tensor.float() if tensor.element_size() == 1 else tensor  # torch looks at no number of 8 bits
        if tensor.is_floating_point() and not torch.isfinite(wide).all():
            raise InputError(f"{file}: {name} holds NaN or infinite values; take weights from before that happened")


def damaged(file: Path, why: object) -> InputError:
    """The error about a file that cannot be read."""
    return InputError(f"{file} is damaged ({why}); copy the model folder again")


def runs_code(error: Exception) -> str | None:
    """What a pickle would have called, by the error with which torch has refused it; None for another error."""
    found = re.search(r"[Uu]nsupported (?:global: GLOBAL|GLOBAL|class) ([\w.]+)", str(error))
    return found[1] if found else None


def _missing(file: Path) -> InputError:
    if not file.parent.exists():
        return InputError(f"{file.parent}: there is no such folder; give the folder of a model, or hub:NAME")
    return InputError(
        f"{file} is missing: a model folder holds {CONFIG} and {WEIGHTS}, or an older {PICKLED_WEIGHTS}, or Google's "
        "bert_config.json with a TensorFlow checkpoint"
    )


def _refusal(file: Path, error: Exception) -> InputError:
    """About a pickle that holds more than tensors, or nothing that can be read."""
    if code := runs_code(error):
        return InputError(
            f"{file} would run code when it is read ({code}), so it is refused: get this model's {WEIGHTS}"
        )
    if isinstance(error, pickle.UnpicklingError):
        return damaged(file, "no tensors that PyTorch has saved")
    return damaged(file, re.split(r"\n|\. ", str(error).strip())[0] or type(error).__name__)
