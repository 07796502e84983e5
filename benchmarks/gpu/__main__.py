"""The training step on one GPU: ours and Hugging Face's, in one run of less than nine minutes.

    python -m benchmarks.gpu                                               the table, in runs/bench/gpu.json and .md
    python -m benchmarks.gpu                                               again: what the time did not suffice for
    python -m benchmarks.gpu --sizes base --lengths 128 --trace step.json  a trace of three steps, and what took longest
    python -m benchmarks.gpu --curves runs/bench/fp8.json                  the loss in fp8 next to that in bf16
    python -m benchmarks.gpu --device cpu --sizes tiny --seconds 1         the same code where there is no GPU

Needs this checkout, torch 2.11, lightning, tokenizers, transformers, pyarrow and Hydra; numba for the rows that the
real loader feeds. Batches: all sequences of the full length, a quarter of it to all of it (mixed), or what the loader
plans and packs (loader). Ours runs without dropout of attention, the peer with 0.1 of it, as its scripts do.
"""

import argparse
import gc
import itertools
import json
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import HAS_NUMBA
from benchmarks.gpu.curves import curves
from benchmarks.gpu.measure import Clock, fetcher, gemm_rate, measure, run_step, wait
from benchmarks.gpu.report import describe, markdown
from benchmarks.gpu.side_by_side import compile_side_by_side
from benchmarks.gpu.sides import VARIANTS, Side, our_side, their_side
from benchmarks.gpu.work import Sizes, batches_of, endless, filled, loader_batches, rows_of
from benchmarks.shapes import SHAPES
from cloze.model.kernels.fused import KERNELS
from cloze.runtime.peak import peak_flops

TOKENS = {"tiny": 1024, "mini": 131072, "base": 65536, "large": 32768}
"""Of a micro-batch; halved until it fits."""


class OutOfTimeError(Exception):
    """The budget is spent."""


def work(kind: str, length: int, tokens: int, ours: bool, args: argparse.Namespace, folder: Path) -> Iterator[Any]:
    """Batches as a side takes them, with what they are worth."""
    if kind == "loader":
        device = torch.device(args.device)
        for batch in loader_batches(folder, length, tokens, args.workers, device):
            yield batch, _Planned(batch)
    found = batches_of(kind, length, tokens)
    made: list[Any] = [filled(b, length, tokens) if ours else rows_of(b, length) for b in found]
    if not ours and kind == "full":
        for rows in made:
            del rows["attention_mask"]  # spares the peer a mask that masks nothing
    if args.device == "cuda":
        made = [torch.utils.data._utils.pin_memory.pin_memory(one) for one in made]
    yield from endless(made, [Sizes(batch) for batch in found])


class _Planned(Sizes):
    """Of a batch with padding, which may lie on the device: read after the step has been started."""

    def __init__(self, batch: Any) -> None:
        self.tokens, self.masked = batch.num_tokens, batch.global_masked
        self.sequences = batch.global_pairs
        self.squared = self.tokens**2 // max(1, self.sequences)  # at least: sequences are of different lengths


def kinds_of(variant: str, args: argparse.Namespace) -> list[str]:
    """Those asked for; the loader makes packed batches, so it is ours alone."""
    return [kind for kind in args.kinds if kind != "loader" or variant.startswith("ours")]


def unit(size: str, length: int, variant: str, args: argparse.Namespace, gemm: float, rows: list[Any]) -> None:
    """All kinds of batches of one model, compiled once where shapes stay; a row each, or the reason why not."""
    ours, where, tokens = variant.startswith("ours"), torch.device(args.device), args.tokens or TOKENS[size]
    kinds = kinds_of(variant, args)
    if "loader" in kinds and not HAS_NUMBA:
        kinds.remove("loader")
        name = {"size": size, "length": length, "variant": variant, "batches": "loader"}
        rows.append({**name, "not_run": "the loader needs numba"})
    while kinds:
        name = {"size": size, "length": length, "variant": variant, "batches": kinds[0], "micro_batch_tokens": tokens}
        side: Side | None = None
        try:
            side = make(size, where, variant, args)
            while kinds:
                with tempfile.TemporaryDirectory() as folder:
                    batches = work(kinds[0], length, tokens, ours, args, Path(folder))
                    peak = peak_flops(where, "bf16-mixed") if where.type == "cuda" else None
                    found = measure(side, size, batches, where, seconds=args.seconds, peak=peak, gemm=gemm)
                rows.append({**name, "batches": kinds.pop(0), **found})
        except torch.OutOfMemoryError:
            tokens //= 2
            if tokens < 4 * length:
                rows.append({**name, "not_run": "the model does not fit into memory"})
                return
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
            rows.append({**name, "batches": kinds.pop(0), "not_run": str(error).strip().partition("\n")[0][:200]})
        side = None
        clean(where)


def make(size: str, where: torch.device, variant: str, args: argparse.Namespace) -> Side:
    """The model of a variant."""
    torch.manual_seed(0)
    if variant.startswith("ours"):
        return our_side(size, where, compiled=variant == "ours", kernel=args.attention, graphs=args.graphs)
    return their_side(size, where, compiled=variant.endswith("compiled"))


def clean(where: torch.device) -> None:
    """Give back what the last model held."""
    torch._dynamo.reset()
    gc.collect()
    if where.type == "cuda":
        torch.cuda.empty_cache()


def trace(size: str, length: int, variant: str, args: argparse.Namespace) -> None:
    """Three steps in the profiler: what took the time, and each moment of it for chrome://tracing or Perfetto."""
    where = torch.device(args.device)
    side, ours = make(size, where, variant, args), variant.startswith("ours")
    fetch = fetcher(work("mixed", length, args.tokens or TOKENS[size], ours, args, Path()), where)
    for _ in range(3):
        run_step(side, fetch()[0], Clock(where))
    wait(where)
    with torch.profiler.profile() as profiler:
        for _ in range(3):
            run_step(side, fetch()[0], Clock(where))
        wait(where)
    profiler.export_chrome_trace(str(args.trace))
    by = "self_device_time_total" if where.type == "cuda" else "self_cpu_time_total"
    print(profiler.key_averages().table(sort_by=by, row_limit=40, max_name_column_width=100))
    clean(where)


def table(args: argparse.Namespace) -> dict[str, Any]:
    """All rows; those of an earlier run on the same machine are kept."""
    file, began = args.output.with_suffix(".json"), time.monotonic()
    about = describe(torch.device(args.device))
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    same = all(earlier.get(key) == about[key] for key in ("device", "versions"))
    rows = [row for row in earlier.get("rows", []) if "not_run" not in row] if same else []
    known = {(row["size"], row["length"], row["variant"]) for row in rows}
    result = {**about, "gemm_flops": gemm_rate(torch.device(args.device)), "rows": rows}
    units = sorted(itertools.product(args.sizes, args.lengths, args.variants), key=lambda u: u[2] == VARIANTS[-1])
    longest: dict[str, float] = {}
    if args.side_by_side:
        options = ["--device", args.device, "--attention", args.attention, *(["--graphs"] if args.graphs else [])]
        options += ["--tokens", str(args.tokens)] if args.tokens else []
        missing = [unit for unit in units if unit not in known and unit[2] == "ours"]  # the peer takes more memory
        compile_side_by_side(missing, options, args.budget / 3)
    for size, length, variant in units:
        if (size, length, variant) in known:
            continue
        start = time.monotonic()
        left = args.budget - (start - began)
        if left < longest.get(variant, 0.0):
            name = {"size": size, "length": length, "variant": variant, "not_run": "no time left, call again"}
            rows.extend({**name, "batches": kind} for kind in kinds_of(variant, args))
        else:
            with suppress(OutOfTimeError), limited(left, args.device):
                unit(size, length, variant, args, result["gemm_flops"], rows)
            longest[variant] = max(longest.get(variant, 0.0), time.monotonic() - start)
        save(result, args.output)
    return result


def save(result: dict[str, Any], output: Path) -> None:
    """JSON and Markdown, after every unit: what was measured stays."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(markdown(result), encoding="utf-8")


@contextmanager
def limited(seconds: float, device: str) -> Iterator[None]:
    """On a GPU a compiler that hangs ends with the budget."""
    if device != "cuda":
        yield
        return
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _out_of_time(*_: Any) -> None:
    raise OutOfTimeError


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--sizes", nargs="+", choices=SHAPES, default=["base", "large", "mini"], help="most wanted first"
    )
    parser.add_argument("--lengths", nargs="+", type=int, choices=[128, 512], default=[128, 512])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--kinds", nargs="+", choices=["mixed", "full", "loader"], default=["mixed", "full", "loader"])
    parser.add_argument("--tokens", type=int, help="of a micro-batch, instead of each size's own")
    parser.add_argument("--attention", default="auto", choices=["auto", *KERNELS], help="ours")
    parser.add_argument("--graphs", action="store_true", help="ours in CUDA graphs")
    parser.add_argument("--side-by-side", action="store_true", help="compile all at once, before")
    parser.add_argument("--workers", type=int, default=4, help="processes of the loader")
    parser.add_argument("--seconds", type=float, default=3.0, help="to measure for, each row")
    parser.add_argument("--budget", type=float, default=500.0, help="seconds of the whole run")
    parser.add_argument("--output", type=Path, default=Path("runs/bench/gpu"), help="without a suffix")
    parser.add_argument("--trace", type=Path, help="only write a trace of the first size, length and variant")
    parser.add_argument("--curves", type=Path, help="only write the losses in bf16 and fp8 of the first size")
    parser.add_argument("--curve-steps", type=int, default=300)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --device cpu --sizes tiny --seconds 1 runs the same code")
    if args.device == "cpu" and not HAS_NUMBA:
        parser.error("on a CPU the model's own kernels need numba: pip install numba")
    torch.set_float32_matmul_precision("high")
    if args.trace:
        trace(args.sizes[0], args.lengths[0], args.variants[0], args)
    elif args.curves:
        size = args.sizes[0]
        found = curves(size, torch.device(args.device), args.tokens or TOKENS[size] // 4, args.curve_steps)
        args.curves.parent.mkdir(parents=True, exist_ok=True)
        args.curves.write_text(json.dumps(found) + "\n", encoding="utf-8")
    else:
        print(markdown(table(args)))


if __name__ == "__main__":
    main()
