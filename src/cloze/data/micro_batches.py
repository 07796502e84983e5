"""Split a global batch over ranks and accumulation steps."""

from typing import TYPE_CHECKING

import numpy as np

from cloze.data.splitmix import IntArray
from cloze.runtime.compiled import compiled

if TYPE_CHECKING:  # prediction needs no Lightning, which takes longer to import than most texts to predict
    from lightning.pytorch import Trainer


def cut(lengths: IntArray, micro_batches: int) -> list[IntArray]:
    """Split sequences into micro-batches of nearly equal tokens: each the longest left, to the one with the fewest.

    Args:
        lengths: (n,) tokens of each sequence.
        micro_batches: ranks times accumulation steps.

    Returns:
        ``micro_batches`` arrays of indices into ``lengths``, the longest sequence first; their tokens differ by at most
        one sequence. Some are empty where there are fewer sequences than micro-batches.
    """
    order = np.argsort(-lengths, kind="stable")
    owner = _deal(lengths[order], micro_batches)
    return [order[owner == i] for i in range(micro_batches)]


@compiled
def _deal(lengths: IntArray, micro_batches: int) -> IntArray:
    owner = np.empty(len(lengths), np.int64)
    loads = np.zeros(micro_batches, np.int64)
    for i in range(len(lengths)):
        lightest = 0
        for j in range(1, micro_batches):
            if loads[j] < loads[lightest]:
                lightest = j
        owner[i] = lightest
        loads[lightest] += lengths[i]
    return owner


def recount_micro_batches(trainer: "Trainer") -> None:
    """Tell the trainer how many micro-batches it has seen, counted in those of this run.

    Lightning steps at multiples of the accumulation in its own count of micro-batches, and restores that count from
    the checkpoint, where another accumulation may have been in force.
    """
    seen = trainer.fit_loop.epoch_loop.batch_progress.current
    shift = trainer.global_step * trainer.accumulate_grad_batches - seen.ready
    for name in ("ready", "started", "processed", "completed"):
        setattr(seen, name, getattr(seen, name) + shift)
