"""Layer normalisation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` (Ba et al. 2016) whose parameters may have been sent in bf16 for an input in fp32."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in the precision of the input."""
        dtype = torch.promote_types(x.dtype, self.weight.dtype)  # as autocast has it on a GPU, but not on a CPU
        return F.layer_norm(x, self.normalized_shape, self.weight.to(dtype), self.bias.to(dtype), self.eps)
