"""Muon for the weight matrices of the blocks and AdamW for all other parameters, as one optimizer."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from cloze.model.kernels.matmul import product

SMALLEST = 1 << 20
"""Multiplications from which the faster library is looked for: earlier than in a layer, which has more to do."""

NEWTON_SCHULZ = "newton_schulz"
Polynomial = tuple[float, float, float]
"""The coefficients of the first, third and fifth power."""

_SAFETY = 1.01  # of the largest singular value, for rounding (Amsel et al. 2025, algorithm 1)
_POLAR = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
POLAR_EXPRESS: tuple[Polynomial, ...] = (
    *((first / _SAFETY, third / _SAFETY**3, fifth / _SAFETY**5) for first, third, fifth in _POLAR),
    (1.875, -1.25, 0.375),
)
"""Of each iteration, the best after those before it for singular values from 0.001 to 1; the last one repeats."""


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
            momentum = momentum_at(group.get("step", 0), group)
            group["step"] = group.get("step", 0) + 1
            polynomials = polynomials_of(group)
            for parameter in group["params"]:
                if (grad := parameter.grad) is None:
                    continue
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(grad)
                buffer = state["momentum_buffer"].lerp_(grad, 1 - momentum)
                step = grad.lerp(buffer, momentum)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parts = group.get("parts", 1)  # matrices that lie in the rows of one tensor
                updates = [orthogonalise(rows, polynomials, group["eps"]) for rows in step.chunk(parts)]
                if (beta := group.get("neuron_beta")) is not None:
                    updates = self._balanced(state, updates, beta)
                for part, update in zip(parameter.chunk(parts), updates, strict=True):
                    part.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(part.shape)))

    @staticmethod
    def _balanced(state: dict[str, Any], updates: list[Tensor], beta: float) -> list[Tensor]:
        """Each row, the weights of a neuron, over the root of its mean square so far; the norm of a matrix stays.

        NorMuon (Li et al. 2025, algorithm 1): what is orthogonal still moves some neurons more than others.
        """
        squares = torch.cat([update.float().square().mean(1, keepdim=True) for update in updates])
        if "neuron_squares" not in state:
            state["neuron_squares"] = torch.zeros_like(squares)
        roots = state["neuron_squares"].lerp_(squares, 1 - beta).sqrt().add(1e-8).chunk(len(updates))
        balanced = [update / root for update, root in zip(updates, roots, strict=True)]
        return [new * (old.norm() / new.norm().clamp(min=1e-8)) for old, new in zip(updates, balanced, strict=True)]


def momentum_at(step: int, group: Mapping[str, Any]) -> float:
    """The momentum of a step, the first being 0: from ``initial_momentum`` in a straight line to ``momentum``."""
    final = float(group["momentum"])
    if (initial := group.get("initial_momentum")) is None:
        return final
    return float(initial + (final - initial) * min(1.0, step / group["momentum_warmup_steps"]))


def polynomials_of(group: Mapping[str, Any]) -> list[Polynomial]:
    """Of each iteration."""
    iterations = group.get("iterations", group["ns_steps"])
    if group.get("orthogonalisation", NEWTON_SCHULZ) == NEWTON_SCHULZ:
        return [group["ns_coefficients"]] * iterations
    return [POLAR_EXPRESS[min(i, len(POLAR_EXPRESS) - 1)] for i in range(iterations)]


def orthogonalise(
    matrix: Tensor, polynomials: Sequence[Polynomial], eps: float, dtype: torch.dtype | None = None
) -> Tensor:
    """The nearest matrix with orthonormal rows or columns, roughly, by Newton-Schulz iterations (Jordan et al. 2024).

    Args:
        matrix: (rows, columns).
        polynomials: of each iteration.
        eps: the least norm that is divided by.
        dtype: of the products; by default fp32 on a CPU, bf16 elsewhere.
    """
    x = matrix.to(dtype or (torch.float32 if matrix.is_cpu else torch.bfloat16))
    tall = matrix.shape[0] > matrix.shape[1]
    x = x.T if tall else x
    x = (x / x.norm().clamp(min=eps)).contiguous()
    for first, third, fifth in polynomials:
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
        initial_momentum: Muon's at the first step, from where it rises in a straight line, in modded-nanogpt from 0.85
            (Jordan et al. 2024); null for ``momentum`` all along.
        momentum_warmup_steps: how long it rises.
        orthogonalisation: ``newton_schulz``, the same polynomial in each iteration (Jordan et al. 2024), or
            ``polar_express``, in each the best one after those before it (Amsel et al. 2025, algorithm 1).
        iterations: of it; an iteration is three products of the matrix, or of its smaller side.
        neuron_beta: the decay of NorMuon's mean squares of neurons, there 0.95 (Li et al. 2025); null for Muon.
        betas: AdamW's.
        eps: AdamW's.
        weight_decay: of groups that do not say their own.

    Raises:
        ValueError: a value lies outside its range.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        initial_momentum: float | None = None,
        momentum_warmup_steps: int = 300,
        orthogonalisation: Literal["newton_schulz", "polar_express"] = "newton_schulz",
        iterations: int = 5,
        neuron_beta: float | None = None,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        for name, value in (("initial_momentum", initial_momentum), ("neuron_beta", neuron_beta)):
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name}={value}: it must be at least 0 and below 1")
        for name, count in (("momentum_warmup_steps", momentum_warmup_steps), ("iterations", iterations)):
            if count < 1:
                raise ValueError(f"{name}={count}: it must be at least 1")
        own = {
            "initial_momentum": initial_momentum,
            "momentum_warmup_steps": momentum_warmup_steps,
            "orthogonalisation": orthogonalisation,
            "iterations": iterations,
            "neuron_beta": neuron_beta,
        }
        groups = [{"weight_decay": weight_decay, **group} for group in params]
        hidden = [{**own, **group} for group in groups if group.get("hidden")]
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
