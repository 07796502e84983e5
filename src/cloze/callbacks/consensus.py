"""Stop signals to any process of a run, agreed on by all processes at the same step."""

from datetime import timedelta
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor


class Consensus:
    """The largest of each number over all processes, without making a GPU wait.

    With several processes the answer is one question old: it is asked for in the background, over gloo, while the step
    after it is computed. All have to ask equally often.

    Args:
        timeout: seconds to wait for the others.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timedelta(seconds=timeout)
        self._group: Any = None
        self._asked: tuple[Tensor, Any] | None = None

    def begin(self, trainer: pl.Trainer) -> None:
        """Once the processes have met."""
        if trainer.world_size > 1 and self._group is None:
            self._group = torch.distributed.new_group(backend="gloo", timeout=self.timeout)

    def of(self, *mine: int) -> list[int]:
        """The largest of each."""
        if self._group is None:
            return [int(number) for number in mine]
        answer = self._answer(len(mine))
        numbers = torch.tensor([int(number) for number in mine])
        work = torch.distributed.all_reduce(numbers, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True)
        self._asked = (numbers, work)
        return answer

    def end(self) -> None:
        """Nobody asks any more."""
        self._asked, self._group = None, None

    def _answer(self, count: int) -> list[int]:
        if self._asked is None:
            return [0] * count
        numbers, work = self._asked
        work.wait()
        answer: list[int] = numbers.tolist()
        return answer
