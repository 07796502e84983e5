"""Muon for the weight matrices of the blocks and AdamW for all other parameters, as one optimizer."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from cloze.model.kernels.matmul import product

SMALLEST = 1 << 20
"""Multiplications from which the faster library is looked for: earlier than in a layer, which has more to do."""


class MatrixMuon(Muon):
    """torch's Muon with ``match_rms_adamw``, and on a CPU with products in fp32.

    torch takes bf16 everywhere, which a CPU without units for it emulates: there a step of BERT-Tiny spent 0.8 of its
    0.9 seconds on these small products. In fp32 on every CPU, so that the curve does not depend on which one it is.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step with momentum (Nesterov's), decoupled decay, and an orthogonal update."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if (grad := parameter.grad) is None:
                    continue
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(grad)
                buffer = state["momentum_buffer"].lerp_(grad, 1 - group["momentum"])
                step = grad.lerp(buffer, group["momentum"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parts = group.get("parts", 1)  # matrices that lie in the rows of one tensor
                for part, rows in zip(parameter.chunk(parts), step.chunk(parts), strict=True):
                    update = orthogonalise(rows, group["ns_coefficients"], group["ns_steps"], group["eps"])
                    part.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(part.shape)))


def orthogonalise(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float, dtype: torch.dtype | None = None
) -> Tensor:
    """The nearest matrix with orthonormal rows or columns, roughly, by Newton-Schulz iterations (Jordan et al. 2024).

    Args:
        matrix: (rows, columns).
        coefficients: of the first, third and fifth power in an iteration.
        steps: iterations.
        eps: the least norm that is divided by.
        dtype: of the products; by default fp32 on a CPU, bf16 elsewhere.
    """
    first, third, fifth = coefficients
    x = matrix.to(dtype or (torch.float32 if matrix.is_cpu else torch.bfloat16))
    tall = matrix.shape[0] > matrix.shape[1]
    x = x.T if tall else x
    x = (x / x.norm().clamp(min=eps)).contiguous()
    for _ in range(steps):
        gram = product(x, x, smallest=SMALLEST)  # x @ x.T
        square = product(gram, gram, smallest=SMALLEST)  # the Gram matrix is its own transpose
        x = torch.add(product(torch.add(third * gram, square, alpha=fifth), x.T, smallest=SMALLEST), x, alpha=first)
    return x.T if tall else x


class MuonAdamW(Optimizer):
    """Muon (Jordan et al. 2024) on hidden matrices and AdamW on embeddings, heads, biases and norms.

    Muon's steps have the scale of AdamW's (Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2), so that
    one learning rate serves both.

    Args:
        params: groups of parameters, as ``parameter_groups`` makes them: those marked ``hidden`` go to Muon,
            which takes a tensor marked ``parts`` as so many matrices, one below the other.
        lr: the learning rate of both.
        momentum: Muon's.
        betas: AdamW's.
        eps: AdamW's.
        weight_decay: of groups that do not say their own.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        groups = [{"weight_decay": weight_decay, **group} for group in params]
        hidden = [group for group in groups if group.get("hidden")]
        others = [group for group in groups if not group.get("hidden")]
        self.parts: list[Optimizer] = []
        if hidden:
            self.parts.append(MatrixMuon(hidden, lr=lr, momentum=momentum, adjust_lr_fn="match_rms_adamw"))
        if others:
            self.parts.append(AdamW(others, lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True))
        super().__init__([group for part in self.parts for group in part.param_groups], {"lr": lr})
        # The very same dictionaries: a scheduler that sets the rate here sets it there.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both, side by side."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
