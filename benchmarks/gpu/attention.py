"""The kernels of attention alone, forward and backward, at the heads of BERT-Base.

``python -m benchmarks.gpu.attention`` tells the milliseconds of each kernel, with ``--tilings`` also of ours for each
way to cut it.
"""

import argparse
import itertools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.work import batches_of, filled
from cloze.batch import Packed
from cloze.model.kernels import triton_attention
from cloze.model.kernels.attention import attend
from cloze.model.kernels.triton_attention import Tiling

HEADS, HEAD_SIZE = 12, 64
CASES = (("mixed", 128), ("full", 128), ("mixed", 512), ("full", 512))
TILINGS = [
    Tiling(*given)
    for given in (
        (64, 64, 4, 1), (64, 64, 4, 2), (64, 64, 4, 3), (64, 32, 4, 2), (64, 128, 4, 2), (64, 128, 8, 2),
        (128, 64, 4, 2), (128, 64, 8, 2), (128, 128, 8, 1), (128, 128, 8, 2), (128, 32, 8, 2),
    )
]  # fmt: skip


def milliseconds(run: Any, rounds: int = 20) -> float:
    """The mean of a run, by the device's own clock."""
    for _ in range(3):
        run()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(rounds):
        run()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / rounds


def case(kind: str, length: int, tokens: int) -> tuple[Tensor, Packed, Tensor]:
    """Queries, keys and values of a batch of the table, and a gradient."""
    packed = filled(batches_of(kind, length, tokens)[0], length, tokens).packed
    there = packed._replace(cu_seqlens=packed.cu_seqlens.cuda())
    qkv = torch.randn(tokens, 3, HEADS, HEAD_SIZE, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    return qkv, there, torch.randn(tokens, HEADS, HEAD_SIZE, device="cuda", dtype=torch.bfloat16)


def times(qkv: Tensor, packed: Packed, grad: Tensor, dropout: float, kernel: str) -> dict[str, float]:
    """Forward alone, and the backward pass by the difference."""
    with torch.no_grad():
        forward = milliseconds(lambda: attend(qkv, packed, dropout, kernel))

    def both() -> None:
        qkv.grad = None
        attend(qkv, packed, dropout, kernel).backward(grad)

    return {"forward": forward, "backward": milliseconds(both) - forward}


def compile_one(job: tuple[Tiling, float]) -> None:
    """In a process of its own: what it compiles lies on disk for all."""
    triton_attention.FORWARD = triton_attention.BACKWARD = job[0]
    with suppress(Exception):  # told where it is measured
        qkv, packed, grad = case("full", 128, 4096)
        attend(qkv, packed, job[1], "triton").backward(grad)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tilings", action="store_true", help="also each way to cut our kernel")
    parser.add_argument("--tokens", type=int, default=65536)
    parser.add_argument("--output", type=Path, default=Path("runs/bench/gpu_attention.json"))
    args = parser.parse_args()
    rows = []
    if args.tilings:
        with ProcessPoolExecutor(12, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(compile_one, itertools.product(TILINGS, (0.0, 0.1))))
    for (kind, length), dropout in itertools.product(CASES, (0.0, 0.1)):
        given = case(kind, length, args.tokens)
        tried: list[tuple[str, Tiling | None]] = [("triton", None), ("sdpa", None)]
        tried += [] if dropout else [("varlen", None)]
        tried += [("triton", tiling) for tiling in TILINGS] if args.tilings else []
        for kernel, tiling in tried:
            kept = triton_attention.FORWARD, triton_attention.BACKWARD
            triton_attention.FORWARD, triton_attention.BACKWARD = (tiling, tiling) if tiling else kept
            row = {"batches": f"{kind} {length}", "dropout": dropout, "kernel": kernel, "tiling": tiling}
            try:
                rows.append({**row, **times(*given, dropout, kernel)})
            except Exception as error:  # what does not compile or fit is one of the answers
                rows.append({**row, "not_run": f"{type(error).__name__}: {error}"[:200]})
            triton_attention.FORWARD, triton_attention.BACKWARD = kept
            print(*(f"{v:.3f}" if isinstance(v, float) else v for v in rows[-1].values()), flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"device": torch.cuda.get_device_name(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
