import numpy as np
import pytest
import torch

from cloze.batch import Packed, TaskBatch


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
