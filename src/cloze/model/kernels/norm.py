"""Layer normalisation, with the mean and without."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` (Ba et al. 2016) whose parameters may have been sent in bf16 for an input in fp32.

    The bias may be left out.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in the precision of the input; while training under autocast on a GPU in its own.

        There the hidden states between the blocks take half the memory and bandwidth; sums and norms stay in fp32.
        """
        bias: Tensor | None = self._parameters["bias"]
        if self.training and x.is_cuda and torch.is_autocast_enabled("cuda"):
            with torch.autocast("cuda", enabled=False):
                weight, bias = self.weight.float(), None if bias is None else bias.float()
                normed = self.normed(x.float(), weight, bias)
            return normed.to(torch.get_autocast_dtype("cuda"))
        dtype = torch.promote_types(x.dtype, self.weight.dtype)  # as autocast has it on a GPU, but not on a CPU
        bias = None if bias is None else bias.to(dtype)
        return self.normed(x, self.weight.to(dtype), bias)

    def normed(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(..., D) -> (..., D), in the precision of the parameters."""
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class RMSNorm(LayerNorm):
    """The same without the mean and without a bias (Zhang & Sennrich 2019)."""

    def __init__(self, size: int, *, eps: float) -> None:
        super().__init__(size, eps=eps, bias=False)

    def normed(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(..., D) -> (..., D), in the precision of the weight; the bias is None."""
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)
