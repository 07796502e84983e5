"""Linear layers for inference on a CPU, with prepacked weights and a fused activation.

For fp32 and bf16 on x86 with oneDNN. On one core of an AMD EPYC (Zen 4) a packed product of MiniLM's width (2,048
tokens, 384 to 1,536) took 0.68 of the time of MKL's, the product back 0.84. Without AVX-512 (Zen 3) it took 1.1 times
MKL's, and oneDNN's GELU six times torch's: fp32 is then left to these.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.model.kernels.matmul import has_avx512

Activation = Callable[[Tensor], Tensor]
FUSED: dict[Activation, str] = {F.gelu: "gelu", F.relu: "relu"}
"""Activations that oneDNN computes in the product, by its names; its GELU is the exact one."""


class PackedLinear(nn.Module):
    """``nn.Linear`` without its gradient, in the faster library's layout of the weight, and an activation after it."""

    def __init__(self, linear: nn.Module, activation: Activation | None = None) -> None:
        super().__init__()
        assert isinstance(linear, nn.Linear)
        weight = linear.weight.detach()
        self.by_onednn = has_avx512() or weight.dtype != torch.float32
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None) if self.by_onednn else weight
        bias = linear._parameters["bias"]
        self.bias = None if bias is None else bias.detach()
        self.fused = "none" if activation is None or not self.by_onednn else FUSED.get(activation, "none")
        self.activation = activation if self.fused == "none" else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features)."""
        if self.by_onednn:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.fused, [], "none")
        else:
            product = F.linear(x, self.weight, self.bias)
        if self.activation is F.gelu:
            return torch.ops.aten.gelu_(product)  # type: ignore[no-any-return]
        return product if self.activation is None else self.activation(product)
