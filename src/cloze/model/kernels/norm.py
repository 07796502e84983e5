"""Layer normalisation."""

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
                normed = F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps)
            return normed.to(torch.get_autocast_dtype("cuda"))
        dtype = torch.promote_types(x.dtype, self.weight.dtype)  # as autocast has it on a GPU, but not on a CPU
        bias = None if bias is None else bias.to(dtype)
        return F.layer_norm(x, self.normalized_shape, self.weight.to(dtype), bias, self.eps)
