"""StableAdamW with the weight decay of ModernBERT."""

from collections.abc import Callable, Iterable
from typing import Any

from pytorch_optimizer import StableAdamW


class DecoupledStableAdamW(StableAdamW):  # type: ignore[misc]
    """AdamW with update clipping (Wortsman et al. 2023, algorithm 2), whose decay does not depend on the peak rate.

    A step multiplies a matrix by ``1 - weight_decay * lr / max_lr``, where ``max_lr`` is the peak of the schedule and
    ``lr`` its rate at the step, clipped as the update is (Warner et al. 2024, appendix A; ``decouple_lr`` in their code
    and in optimi). AdamW has ``1 - weight_decay * lr`` (Loshchilov & Hutter 2019).

    Args:
        params: parameters, or groups of them.
        lr: the peak learning rate.
        betas: decay of the first and second moments.
        eps: added to the root of the second moment.
        weight_decay: the share of a matrix that a step at the peak takes away.

    Raises:
        ValueError: ``lr`` is 0, by which the decay is divided.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 8e-4,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 1e-5,
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr={lr}: it must be above 0, since the weight decay is relative to it")
        super().__init__(params, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; the groups have the decay of AdamW that is the same, for as long as it takes."""
        stated = [group["weight_decay"] for group in self.param_groups]
        for group in self.param_groups:  # a scheduler keeps the peak as the initial rate, whatever the rate begins with
            group["weight_decay"] /= group.get("initial_lr", self.defaults["lr"])
        try:
            return super().step(closure)  # type: ignore[no-any-return]
        finally:
            for group, weight_decay in zip(self.param_groups, stated, strict=True):
                group["weight_decay"] = weight_decay
