"""Cached hidden states of a frozen encoder equal what the model computes itself, and are computed once."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from cloze.data.finetuning.batching import collate
from cloze.data.finetuning.frozen import frozen_features
from cloze.data.finetuning.items import Item, TokenSequence
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation, Layers
from cloze.model.encoder import Encoder
from cloze.model.task_heads import MultipleChoiceModel, TaskModel, TokenClassifier
from tests.tiny import tiny_config

CONFIG = tiny_config(60, hidden_size=16, num_hidden_layers=5)


def items(count: int = 40, choices: int = 1, seed: int = 0) -> list[Item]:
    numbers = np.random.default_rng(seed)

    def sequence() -> TokenSequence:
        length = int(numbers.integers(2, 50))
        ids = numbers.integers(5, 60, length).astype(np.int32)
        return TokenSequence(ids, numbers.integers(0, 2, length).astype(np.int8))

    return [Item(i, tuple(sequence() for _ in range(choices)), np.array([0])) for i in range(count)]


def frozen_model(layers: Layers, kind: type[TaskModel] = TokenClassifier) -> TaskModel:
    torch.manual_seed(0)
    model = kind(CONFIG, 1, Adaptation(frozen_layers="all", layers=layers))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.train()


@pytest.mark.parametrize("layers", ["embeddings", "last", "concat_last_4", "weighted_sum"])
@pytest.mark.parametrize(("kind", "choices"), [(TokenClassifier, 1), (MultipleChoiceModel, 3)])
def test_a_model_gives_the_same_with_them_as_through_its_encoder(
    tmp_path: Path, layers: Layers, kind: type[TaskModel], choices: int
) -> None:
    model, split = frozen_model(layers, kind).eval(), items(choices=choices)
    features = frozen_features(model.encoder, split, model.mix.numbers, tmp_path)
    numbers = [7, 3, 31, 0, 39]
    with_features = collate(split, numbers, global_labels=5, frozen=features.rows)
    assert with_features.features is not None
    assert with_features.features.shape == (with_features.num_tokens, 16 * len(model.mix.numbers))
    expected = model(collate(split, numbers, global_labels=5))
    torch.testing.assert_close(model(with_features), expected, atol=1e-5, rtol=0)
    assert expected.abs().max() > 0.1


class Calls(NamedTuple):
    """How often a block of the encoder has run."""

    encoder: Encoder
    passes: list[int]


@pytest.fixture
def watched() -> Calls:
    encoder = frozen_model("last").encoder
    passes = [0]
    encoder.blocks[0].register_forward_hook(lambda *_: passes.__setitem__(0, passes[0] + 1))
    return Calls(encoder, passes)


def all_rows(encoder: Encoder, split: Sequence[Item], layers: Sequence[int], folder: Path) -> np.ndarray:
    return frozen_features(encoder, split, layers, folder).rows(range(len(split)))


def test_the_second_time_they_come_from_disk_to_the_bit(tmp_path: Path, watched: Calls) -> None:
    split = items()
    first = all_rows(watched.encoder, split, (2, 5), tmp_path)
    first_passes = watched.passes[0]
    assert np.array_equal(all_rows(watched.encoder, split, (2, 5), tmp_path), first)
    assert np.array_equal(all_rows(watched.encoder, split, (5,), tmp_path), first[:, 16:])  # a job on fewer layers
    assert watched.passes[0] == first_passes > 0
    more = all_rows(watched.encoder, split, (2, 3, 5), tmp_path)
    assert watched.passes[0] > first_passes
    assert np.array_equal(more[:, :16], first[:, :16])
    assert np.array_equal(more[:, 32:], first[:, 16:])


def test_files_have_the_documented_layout(tmp_path: Path, watched: Calls) -> None:
    split = items()
    rows = all_rows(watched.encoder, split, (0, 5), tmp_path)
    (place,) = tmp_path.iterdir()
    assert sorted(file.name for file in place.iterdir()) == ["layer_00.npy", "layer_05.npy"]
    stored = np.load(place / "layer_05.npy")
    assert stored.shape == (sum(item.num_tokens for item in split), 16)
    assert stored.dtype == np.float32
    assert np.array_equal(stored, rows[:, 16:])


def test_other_weights_or_other_items_never_share_a_folder(tmp_path: Path, watched: Calls) -> None:
    split = items()
    all_rows(watched.encoder, split, (5,), tmp_path)
    all_rows(watched.encoder, items(seed=1), (5,), tmp_path)
    swapped = [split[1], split[0], *split[2:]]
    all_rows(watched.encoder, swapped, (5,), tmp_path)
    segments = TokenSequence(split[0].sequences[0].input_ids, 1 - split[0].sequences[0].token_type_ids)
    all_rows(watched.encoder, [Item(0, (segments,), np.array([0])), *split[1:]], (5,), tmp_path)
    ids, types = (np.concatenate([split[0].sequences[0][part], split[1].sequences[0][part]]) for part in (0, 1))
    for cut in (3, 4):
        pair = [
            Item(0, (TokenSequence(ids[part], types[part]),), np.array([0])) for part in (slice(cut), slice(cut, 20))
        ]
        all_rows(watched.encoder, pair, (5,), tmp_path)
    watched.encoder.embeddings.norm.bias.data[0] += 1e-6  # type: ignore[index, operator, union-attr]
    all_rows(watched.encoder, split, (5,), tmp_path)
    assert len(list(tmp_path.iterdir())) == 7


def test_labels_and_dropout_do_not_matter(tmp_path: Path, watched: Calls) -> None:
    split = items()
    all_rows(watched.encoder, split, (5,), tmp_path)
    torch.manual_seed(0)
    other = TokenClassifier(CONFIG, 2, Adaptation(frozen_layers="all", hidden_dropout_prob=0.5))
    other.encoder.load_state_dict(watched.encoder.state_dict())
    all_rows(other.encoder, [Item(9, item.sequences, np.array([1])) for item in split], (5,), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_stopped_on_the_way_leaves_nothing(tmp_path: Path, watched: Calls) -> None:
    def stop(step: str, done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        frozen_features(watched.encoder, items(), (5,), tmp_path, progress=stop)
    (place,) = tmp_path.iterdir()
    assert not list(place.iterdir())


def test_a_full_disk_is_told_before_the_work(tmp_path: Path, watched: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(InputError, match=r"adaptation\.cache: the frozen hidden states need 0\.0 GiB"):
        all_rows(watched.encoder, items(), (5,), tmp_path)
    assert watched.passes[0] == 0
