"""One side on one kind of batches: warmed up, timed without a wait between steps, parts by the device's own clock."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from benchmarks.gpu.sides import Side
from benchmarks.gpu.work import Sizes
from benchmarks.shapes import shape
from cloze.model.architecture import Work
from cloze.model.flops import training_flops

PARTS = ("forward", "backward", "optimizer")
WARM_UP = 3
MOST_STEPS = 400


def wait(device: torch.device) -> None:
    """For all that was started."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Clock:
    """Moments of a step: on a GPU events in its own order, which nothing waits for, on a CPU the time of day."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.moments: list[Any] = []

    def mark(self) -> None:
        """Now."""
        if not self.cuda:
            self.moments.append(time.perf_counter())
            return
        self.moments.append(torch.cuda.Event(enable_timing=True))
        self.moments[-1].record()

    def milliseconds(self) -> dict[str, float]:
        """The mean of each part over all steps; read after the last."""
        places = len(PARTS) + 1
        sums = dict.fromkeys(PARTS, 0.0)
        for first in range(0, len(self.moments), places):
            for number, part in enumerate(PARTS, first):
                begin, end = self.moments[number], self.moments[number + 1]
                sums[part] += begin.elapsed_time(end) if self.cuda else 1e3 * (end - begin)
        return {part: total * places / len(self.moments) for part, total in sums.items()}


def run_step(side: Side, batch: Any, clock: Clock) -> Tensor:
    """Forward, backward, update; the loss, unread."""
    clock.mark()
    loss = side.loss(batch)
    clock.mark()
    loss.backward()
    clock.mark()
    side.update()
    clock.mark()
    return loss.detach()


def fetcher(batches: Iterator[tuple[Any, Sizes]], device: torch.device) -> Callable[[], tuple[Any, Sizes]]:
    """The next batch on the device, its copy not waited for."""

    def fetch() -> tuple[Any, Sizes]:
        batch, sizes = next(batches)
        return tree_map_only(Tensor, lambda tensor: tensor.to(device, non_blocking=True), batch), sizes

    return fetch


def measure(
    side: Side,
    size: str,
    batches: Iterator[tuple[Any, Sizes]],
    device: torch.device,
    *,
    seconds: float,
    peak: float | None,
    gemm: float,
) -> dict[str, Any]:
    """One row of the table: real tokens only, whatever padding was computed next to them.

    Args:
        side: what trains.
        size: of its model.
        batches: without end, with what each is worth.
        device: where.
        seconds: to measure for, after the warm-up.
        peak: dense FLOP/s of the card in bf16; None where it is not known.
        gemm: FLOP/s of a large product, measured just before.
    """
    fetch, began = fetcher(batches, device), time.perf_counter()
    for _ in range(WARM_UP):
        run_step(side, fetch()[0], Clock(device))
    wait(device)
    warm = time.perf_counter()
    run_step(side, fetch()[0], Clock(device))
    wait(device)
    one = time.perf_counter() - warm
    steps = max(3, min(MOST_STEPS, round(seconds / one)))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clock, data, done, start = Clock(device), 0.0, [], time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch, sizes = fetch()
        data += time.perf_counter() - asked
        done.append(sizes)
        loss = run_step(side, batch, clock)
    wait(device)
    elapsed = time.perf_counter() - start
    if not loss.isfinite():
        raise RuntimeError(f"the loss is {loss.item()}")
    flops = sum(
        training_flops(
            shape(size, attention_probs_dropout_prob=0.0),
            Work(work.tokens, {None: work.squared}, work.masked, work.sequences),
        )
        for work in done
    )
    return {
        "tokens_per_second": sum(work.tokens for work in done) / elapsed,
        "sequences_per_second": sum(work.sequences for work in done) / elapsed,
        "mfu": None if peak is None else flops / elapsed / peak,
        "share_of_gemm": flops / elapsed / gemm,
        "peak_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None,
        "ms_step": 1e3 * elapsed / steps,
        "ms_data": 1e3 * data / steps,
        **{f"ms_{part}": value for part, value in clock.milliseconds().items()},
        "steps": steps,
        "warm_up_seconds": warm - began,
    }


def gemm_rate(device: torch.device) -> float:
    """FLOP/s of a product of random numbers, on a GPU 8192 x 8192 x 8192 in bf16, the best of four rounds."""
    cuda = device.type == "cuda"
    size = 8192 if cuda else 256
    a, b = torch.randn(2, size, size, device=device).to(torch.bfloat16 if cuda else torch.float32)
    best = float("inf")
    for _ in range(4):
        wait(device)
        start = time.perf_counter()
        for _ in range(10):
            torch.mm(a, b)
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 10 * 2 * size**3 / best
