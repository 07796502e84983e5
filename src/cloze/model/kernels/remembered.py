"""What all blocks compute alike of a batch is computed once."""

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

Made = TypeVar("Made")
_KNOWN = WeakTensorKeyDictionary()


def remembered(of: Tensor, key: Hashable, make: Callable[[], Made]) -> Made:
    """What ``make`` returns, at the first call with this tensor and key; then the same object, as long as it lives.

    Args:
        of: a tensor of the batch; one that has changed in place since then is another one.
        key: says, with the tensor, all that the result depends on.
        make: computes it.
    """
    if torch.compiler.is_compiling():  # which finds what is equal by itself
        return make()
    key = (key, 0 if of.is_inference() else of._version)
    known: dict[Hashable, Made] = _KNOWN.setdefault(of, {})
    if key not in known:
        with torch.inference_mode(False):  # training may meet the same tensor
            known[key] = make()
    return known[key]
