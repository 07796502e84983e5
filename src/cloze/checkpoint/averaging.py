"""The mean of the weights of several models.

Of checkpoints of one run it often generalises better than the last one (Izmailov et al. 2018), and so does that of
runs that began from the same weights (Wortsman et al. 2022).
"""

from collections.abc import Sequence
from pathlib import Path
from shutil import copytree

import torch
from safetensors.torch import load_file, save_file

from cloze.checkpoint.folder import GENERATOR
from cloze.checkpoint.record import HEAD
from cloze.checkpoint.weights import CONFIG, WEIGHTS, read_json
from cloze.errors import InputError
from cloze.files.partial_output import differences
from cloze.text.tokenizer_files import WHOLE


def average(folders: Sequence[Path], names: Sequence[Path | str], to: Path) -> None:
    """Write the folder of the mean model; all but the weights is that of the first one.

    Args:
        folders: in Hugging Face's layout as ``convert`` writes it, in fp32.
        names: of the models, for messages.
        to: a folder that does not exist yet.

    Raises:
        InputError: two differ in their configuration or their tokenizer, or in what they have weights for.
    """
    first = read_json(folders[0] / CONFIG)
    for folder, name in zip(folders[1:], names[1:], strict=True):
        if changes := differences(first, read_json(folder / CONFIG)):
            key = changes[0].partition(":")[0]
            raise InputError(f"{names[0]} and {name} have no mean: their {CONFIG} differ in {key}")
        if (folders[0] / WHOLE).read_bytes() != (folder / WHOLE).read_bytes():
            raise InputError(f"{names[0]} and {name} have no mean: their tokenizers differ")
    copytree(folders[0], to)
    for file in (WEIGHTS, HEAD, f"{GENERATOR}/{WEIGHTS}"):
        if not any((folder / file).exists() for folder in folders):
            continue
        mean = {name: tensor.double() for name, tensor in _weights(folders[0] / file).items()}
        for folder, name in zip(folders[1:], names[1:], strict=True):
            weights = _weights(folder / file)
            if weights.keys() != mean.keys() or any(mean[key].shape != weights[key].shape for key in mean):
                raise InputError(f"{names[0]} and {name} have no mean: they have weights for other parts")
            for key, tensor in weights.items():
                mean[key] += tensor
        save_file({key: (total / len(folders)).float() for key, total in mean.items()}, to / file, {"format": "pt"})


def _weights(file: Path) -> dict[str, torch.Tensor]:
    return load_file(file) if file.exists() else {}
