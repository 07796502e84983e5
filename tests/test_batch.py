from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks.batches import random_batch
from cloze.batch import Packed, PretrainingBatch, TaskBatch, batch_type, on_device
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.objective import B, Objective


@pytest.mark.parametrize("rows", [[[5, 6, 7]], [[5, 6, 7], [8], [9, 10]], []])
def test_sequences_lie_one_after_the_other(rows: list[list[int]]) -> None:
    packed = Packed.of([np.array(row, np.uint16) for row in rows])
    assert packed.input_ids.tolist() == [token for row in rows for token in row]
    assert packed.position_ids.tolist() == [place for row in rows for place in range(len(row))]
    assert packed.cu_seqlens.tolist() == [sum(map(len, rows[:count])) for count in range(len(rows) + 1)]
    assert packed.max_seqlen == max(map(len, rows), default=0)
    assert packed.token_type_ids.tolist() == [0] * len(packed.input_ids)
    assert [part.dtype for part in packed[:4]] == [torch.int64, torch.int64, torch.int64, torch.int32]


def test_all_of_a_batch_moves() -> None:
    packed = Packed.of([[5, 6], [7]], [[0, 1], [0]])
    assert packed.token_type_ids.tolist() == [0, 1, 0]
    batch = TaskBatch(packed, torch.zeros(2), torch.arange(2), 3, 2, features=torch.zeros(3, 4)).to("meta")
    assert isinstance(batch, TaskBatch)
    assert isinstance(batch.packed, Packed)
    tensors = [*batch.packed[:4], batch.labels, batch.items, batch.features]
    assert all(tensor is not None and tensor.is_meta for tensor in tensors)
    assert (batch.packed.max_seqlen, batch.num_tokens, batch.sequences) == (2, 3, None)


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


def test_a_class_says_the_type_of_its_batches_at_any_distance() -> None:
    class Stated(Objective[TaskBatch]): ...

    class Further(Stated): ...

    class Open(Objective[B]): ...

    class Closed(Open[PretrainingBatch]): ...

    class Unsaid(Objective): ...

    found = [batch_type(kind, Objective) for kind in (Stated, Further, Open, Closed, Unsaid, MaskedLM)]
    assert found == [TaskBatch, TaskBatch, None, PretrainingBatch, None, PretrainingBatch]
