"""Copies of batches to the device beside its work."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from cloze.batch import Batch, moved


def on_device(batches: Iterable[Batch], device: torch.device | None) -> Iterator[Batch]:
    """The same batches on a CUDA device, each copied on a stream of its own; off CUDA as they are.

    Steps are started long before the device gets to them, so the next batch is asked for, and copied, while the device
    is at work; it waits for the copy only where it would use it. Nothing is read ahead: a loader whose position is its
    state stands where training does.

    Args:
        batches: any nesting of tuples with tensors, in page-locked memory if copies are not to wait.
        device: where they go.
    """
    if device is None or device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)

    iterator = iter(batches)
    while (batch := next(iterator, None)) is not None:
        with torch.cuda.stream(copies):
            there = moved(batch, device)
        compute = torch.cuda.current_stream(device)
        compute.wait_stream(copies)
        for tensor in tree_leaves(there):
            if isinstance(tensor, Tensor):
                tensor.record_stream(compute)  # its memory is not given away before the step is over
        yield there
