"""Attention inside each sequence of a packed batch. Legend: see ``cloze.batch``."""

import torch
from torch import Tensor

from cloze.batch import Packed
from cloze.model.kernels.fused import HALF, KERNELS, suits_triton
from cloze.model.kernels.reference import reference


def attend(qkv: Tensor, packed: Packed, dropout: float, kernel: str = "auto") -> Tensor:
    """Softmax attention within each sequence.

    Args:
        qkv: (N, 3, H, K), queries, keys and values.
        packed: where the sequences lie.
        dropout: the share of the probabilities that are dropped.
        kernel: ``triton``, ``varlen``, ``sdpa``, ``flex``, ``reference``, or ``auto`` for the fastest that can do it.

    Returns:
        (N, H, K); zeros for tokens after the last sequence.

    Raises:
        ValueError: the kernel cannot honour the dropout, the precision or the device.
    """
    if kernel == "auto":
        kernel = fastest(qkv.device, qkv.dtype, dropout, qkv.shape[-1])
    return reference(qkv, packed, dropout) if kernel == "reference" else KERNELS[kernel](qkv, packed, dropout)


def fastest(device: torch.device, dtype: torch.dtype, dropout: float, head_size: int) -> str:
    """What ``auto`` means: the kernel that does this with the least work, and off the CPU without a wait."""
    if device.type == "cpu":
        return "reference"
    if suits_triton(device, dtype, head_size):
        return "triton"
    return "varlen" if device.type == "cuda" and dtype in HALF and not dropout else "sdpa"
