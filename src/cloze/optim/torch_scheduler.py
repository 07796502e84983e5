"""A scheduler of `torch.optim.lr_scheduler` as a function of the position, so that a resumed run needs no state."""

import math
from array import array
from collections.abc import Callable

import torch
from torch.nn import Parameter
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler


class TorchScheduler:
    """The multipliers that a scheduler gives, all computed beforehand on an optimizer of one parameter.

    A step of the scheduler is one unit of the position: an optimizer step, or a second where the run has a time.

    Args:
        make: the scheduler of an optimizer.
        lr: the peak learning rate, for schedulers that are configured with absolute rates.
        length: of the run, in steps or in seconds.

    Raises:
        ValueError: the scheduler refuses a value, ends before the run, needs more than the number of the step, or moves
            more than the learning rate.
    """

    def __init__(self, make: Callable[[Optimizer], LRScheduler], lr: float, length: float) -> None:
        optimizer = SGD([Parameter(torch.zeros(1))], lr=lr, momentum=0.5)
        (group,) = optimizer.param_groups
        settings = {name: value for name, value in group.items() if name not in ("params", "lr")}
        try:
            scheduler = make(optimizer)
            moved = [name for name, value in settings.items() if group[name] != value]
            optimizer.step()  # without which torch warns of the wrong order
            rates = [float(group["lr"])]
            for _ in range(math.ceil(length)):
                scheduler.step()
                rates.append(float(group["lr"]))
        except ValueError:
            raise
        except Exception as error:  # what needs a metric, or schedulers that are made already
            raise ValueError(
                f"this scheduler needs more than the number of the step ({str(error).strip()}): take another one"
            ) from error
        if moved:
            raise ValueError(
                f"this scheduler moves {', '.join(moved)}, too, but only the learning rate follows a schedule here: "
                "set cycle_momentum=false"
            )
        self._multipliers = array("d", (rate / lr if lr else 1.0 for rate in rates))

    def __call__(self, position: float, length: float) -> float:
        """The multiplier at ``position``; behind the end of the run, that of the end."""
        return self._multipliers[min(int(position), len(self._multipliers) - 1)]
