"""Muon for the matrices of the blocks, AdamW for everything else, behind the face of one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer


class MuonAdamW(Optimizer):
    """Muon (Jordan et al. 2024) on hidden matrices and AdamW on embeddings, heads, biases and norms.

    Muon's steps have the scale of AdamW's (Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2), so that
    one learning rate serves both.

    Args:
        params: groups of parameters, as ``parameter_groups`` makes them: those marked ``hidden`` go to Muon.
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
            self.parts.append(Muon(hidden, lr=lr, momentum=momentum, adjust_lr_fn="match_rms_adamw"))
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
