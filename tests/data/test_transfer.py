from collections.abc import Iterator

import pytest
import torch

from benchmarks.batches import random_batch
from cloze.batch import PretrainingBatch
from cloze.data.transfer import on_device

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def made(asked: list[int]) -> Iterator[PretrainingBatch]:
    for number in range(5):
        asked.append(number)
        yield random_batch([3, 8], 60, seed=number)


@pytest.mark.parametrize("device", [None, torch.device("cpu")])
def test_off_cuda_the_very_batches_come(device: torch.device | None) -> None:
    batches = list(made([]))
    assert all(a is b for a, b in zip(on_device(batches, device), batches, strict=True))


@GPU
def test_on_cuda_the_same_values_come_and_nothing_is_read_ahead() -> None:
    asked: list[int] = []
    for number, batch in enumerate(on_device((pinned(b) for b in made(asked)), torch.device("cuda"))):
        assert len(asked) == number + 1
        expected = random_batch([3, 8], 60, seed=number)
        assert batch.packed.input_ids.is_cuda
        assert torch.equal(batch.packed.input_ids.cpu(), expected.packed.input_ids)
        assert torch.equal(batch.masked_labels.cpu(), expected.masked_labels)
        assert batch.num_tokens == expected.num_tokens
    assert len(asked) == 5


def pinned(batch: PretrainingBatch) -> PretrainingBatch:
    return torch.utils.data._utils.pin_memory.pin_memory(batch)  # type: ignore[no-any-return]
