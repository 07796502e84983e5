"""Hidden states of a frozen encoder, computed once for every token of a split and stored on disk.

Legend for shapes: see ``cloze.batch``; S tokens of a split, L layers are read.

One file a layer, ``FOLDER/KEY/layer_NN.npy``: (S, D) float32, NN being 00 for the embeddings; the tokens of the items
follow each other in the order of the items. KEY is a hash of what they depend on, the encoder and the items; so
jobs that read other layers share a folder, and nothing stale is ever read. float32, and not half of the space: a model
evaluated later through its encoder then gives the scores that it had in training, up to the order of summation.
"""

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cloze.data.finetuning.batching import collate, evaluation_batches
from cloze.data.finetuning.items import Item
from cloze.errors import InputError
from cloze.model.encoder import Encoder
from cloze.text.progress import ReportsProgress, silent

TOKENS_AT_ONCE = 8192
"""Of one pass through the encoder: for BERT-Base all layers together take 0.3 GB."""


class FrozenFeatures:
    """The hidden states of one split, read from disk as they are asked for."""

    def __init__(self, layers: Sequence[np.ndarray], starts: np.ndarray) -> None:
        self.layers = layers  # L arrays (S, D)
        self.starts = starts  # (items + 1,)

    def rows(self, items: Sequence[int]) -> np.ndarray:
        """The hidden states of these items' tokens, one item after the other: (N, L * D) float32, as for ``LayerMix``.

        Args:
            items: their numbers in the split.
        """
        spans = [slice(self.starts[item], self.starts[item + 1]) for item in items]
        return np.concatenate([np.concatenate([layer[span] for layer in self.layers], axis=1) for span in spans])


def frozen_features(
    encoder: Encoder,
    items: Sequence[Item],
    layers: Sequence[int],
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    progress: ReportsProgress = silent,
) -> FrozenFeatures:
    """The hidden states of all items' tokens, from disk where they are there.

    Several processes may do this at once: each file appears whole.

    Args:
        encoder: put on the device, and into evaluation mode.
        items: of one split.
        layers: that are read, as ``LayerMix.numbers`` has them: 0 is the embeddings.
        folder: of all cached hidden states.
        device: that computes.
        progress: receives the number of tokens.

    Raises:
        InputError: the disk has no room for them.
    """
    starts = np.cumsum([0, *(item.num_tokens for item in items)], dtype=np.int64)
    place = folder / _key(encoder, items)
    files = {layer: place / f"layer_{layer:02d}.npy" for layer in layers}
    if absent := {layer: file for layer, file in files.items() if not file.exists()}:
        place.mkdir(parents=True, exist_ok=True)
        _check_room(place, len(absent) * int(starts[-1]) * encoder.config.hidden_size * 4)
        _compute(encoder, items, starts, absent, torch.device(device), progress)
    return FrozenFeatures([np.load(files[layer], mmap_mode="r") for layer in layers], starts)


def _compute(
    encoder: Encoder,
    items: Sequence[Item],
    starts: np.ndarray,
    files: dict[int, Path],
    device: torch.device,
    progress: ReportsProgress,
) -> None:
    encoder.to(device).eval()
    done, total = 0, int(starts[-1])
    place = next(iter(files.values())).parent
    with tempfile.TemporaryDirectory(dir=place, prefix=".") as unfinished, torch.inference_mode():
        written = {
            layer: np.lib.format.open_memmap(
                Path(unfinished) / file.name, mode="w+", dtype=np.float32, shape=(total, encoder.config.hidden_size)
            )
            for layer, file in files.items()
        }
        progress("frozen hidden states", 0, total)
        for numbers in evaluation_batches(np.diff(starts), TOKENS_AT_ONCE):
            batch = collate(items, numbers, global_labels=1)
            states = encoder.hidden_states(batch.packed.to(device), sorted(files))
            chosen = batch.items.numpy()
            rows = np.concatenate([np.arange(starts[item], starts[item + 1]) for item in chosen])
            for layer, state in zip(sorted(files), states, strict=True):
                written[layer][rows] = state.float().cpu().numpy()
            done += batch.num_tokens
            progress("frozen hidden states", done, total)
        for layer, vectors in written.items():
            vectors.flush()
            (Path(unfinished) / files[layer].name).replace(files[layer])


def _key(encoder: Encoder, items: Sequence[Item]) -> str:
    """A hash of the encoder's shape and weights, and of all tokens with where each sequence and item ends."""
    shape = dataclasses.replace(encoder.config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    hashed = hashlib.sha256(repr(shape).encode())
    for name, tensor in encoder.state_dict().items():
        hashed.update(name.encode())
        hashed.update(tensor.detach().float().cpu().contiguous().numpy().data)
    sequences = [sequence for item in items for sequence in item.sequences]
    hashed.update(np.array([len(item.sequences) for item in items]).data)
    hashed.update(np.array([len(sequence.input_ids) for sequence in sequences]).data)
    for part in (0, 1):
        hashed.update(np.concatenate([sequence[part] for sequence in sequences]).astype(np.int32).data)
    return hashed.hexdigest()[:32]


def _check_room(place: Path, needed: int) -> None:
    free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            f"adaptation.cache: the frozen hidden states need {needed / 2**30:.1f} GiB, but {place} has only "
            f"{free / 2**30:.1f} GiB free; set it to a folder on another disk, or read fewer layers"
        )
