"""Our training step against ``transformers.BertForPreTraining``: the same work, fp32, in one run.

    python -m benchmarks.train_step --sizes tiny mini --lengths full mixed --json FILE

One step is the forward pass, both losses, the backward pass and AdamW, dropout 0.1 everywhere, on 32 sequences: all of
128 tokens (``full``), or of 32 to 128 (``mixed``; the peer pads them, real tokens are counted on both sides).
Each side runs in a process of its own, set up as its users would have it: ours keeps large buffers as ``train.py``
does, the peer is Hugging Face's model with SDPA attention and ``AdamW(fused=True)``. The sides take turns, round by
round, so that a slow minute of the machine hits both; the medians are compared.
"""

import argparse
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.batches import padded, random_batch
from benchmarks.machine import print_rows, write_rows
from cloze.allocator import keep_large_buffers
from cloze.batch import PretrainingBatch
from cloze.model.config import BertConfig
from cloze.model.flops import training_flops
from cloze.model.heads import BertForPreTraining

SHAPES = {  # layers, hidden size, heads: Turc et al. 2019, table 1; Devlin et al. 2019
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
}
VOCAB_SIZE = 30522


def config(size: str) -> BertConfig:
    """The published shape with the published vocabulary."""
    layers, hidden, heads = SHAPES[size]
    return BertConfig(
        vocab_size=VOCAB_SIZE,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )


def batch(lengths: str, sequences: int = 32) -> PretrainingBatch:
    """The benchmark's batch, ordered by length as our loader orders it."""
    generator = random.Random(0)
    sizes = [128 if lengths == "full" else generator.randint(32, 128) for _ in range(sequences)]
    return random_batch(sorted(sizes), VOCAB_SIZE)


def our_step(size: str, work: PretrainingBatch) -> Callable[[], None]:
    """Ours, set up as ``train.py`` does it."""
    keep_large_buffers()
    model = BertForPreTraining(config(size)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        losses = model.losses(work)
        loss = losses.masked_lm.loss / work.global_masked + losses.next_sentence.loss / work.global_pairs
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def their_step(size: str, work: PretrainingBatch) -> Callable[[], None]:
    """Hugging Face's model and losses on the padded batch."""
    import transformers

    shape = transformers.BertConfig(**asdict(config(size)), attn_implementation="sdpa")
    model = transformers.BertForPreTraining(shape).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    inputs = padded(work)
    if inputs["attention_mask"].all():
        del inputs["attention_mask"]  # spares the peer a mask that masks nothing

    def step() -> None:
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def side(
    make: Callable[[str, PretrainingBatch], Callable[[], None]], size: str, lengths: str, pipe: Connection
) -> None:
    """One side in its own process: on each message run that many steps and answer their seconds."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    step = make(size, batch(lengths))
    while repeats := pipe.recv():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        pipe.send(seconds)


THREADS = 2
WARM_UP = 2  # steps; the first one also compiles kernels
SIDES = {"ours": our_step, "peer": their_step}


def turn(pipe: Connection, steps: int) -> list[float]:
    """Seconds of each of so many steps of one side."""
    time.sleep(0.3)  # lets the other side's spinning threads fall asleep
    pipe.send(steps)
    seconds: list[float] = pipe.recv()
    return seconds


def gemm_rate() -> float:
    """FLOP/s of this machine's fp32 matrix product, the best of ten of 2048 x 2048 x 2048."""
    torch.set_num_threads(THREADS)
    a, b = torch.randn(2, 2048, 2048)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return float(2 * 2048**3 / min(times))


def compare(size: str, lengths: str, rounds: int, repeats: int) -> dict[str, Any]:
    """One row: both sides' real tokens/s, their ratio, and each one's share of the GEMM floor."""
    context = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    pipes, processes = {}, []
    for name, make in SIDES.items():
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=side, args=(make, size, lengths, theirs)))
        processes[-1].start()
    slowest = max(turn(pipe, WARM_UP)[-1] for pipe in pipes.values())
    # A step of a second or more needs no company: one a turn, and none thrown away after the other side's turn.
    discarded, timed = (1, repeats) if slowest < 1 else (0, 1)
    for _ in range(rounds):
        for name, pipe in pipes.items():
            seconds[name] += turn(pipe, discarded + timed)[discarded:]
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(0)
        process.join()
    work = batch(lengths)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    bounds = work.packed.cu_seqlens
    flops = training_flops(
        config(size),
        tokens=work.num_tokens,
        squared_lengths=int((bounds.diff().long() ** 2).sum()),
        masked=len(work.masked_positions),
        sequences=len(bounds) - 1,
    )
    floor = flops / gemm_rate()
    return {
        "what": f"training step, {size}, {lengths} lengths",
        "unit": "real tokens/s",
        "ours": work.num_tokens / median["ours"],
        "peer": work.num_tokens / median["peer"],
        "peer_name": "transformers BertForPreTraining, SDPA",
        "ratio": median["peer"] / median["ours"],
        "ours_share_of_gemm_floor": floor / median["ours"],
        "peer_share_of_gemm_floor": floor / median["peer"],
        "steps_timed": len(seconds["ours"]),
    }


def main() -> None:
    """Measure each size on each kind of lengths, print a table and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=["tiny", "mini"])
    parser.add_argument("--lengths", nargs="+", choices=["full", "mixed"], default=["full"])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of each side in a round")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    rows = []
    for size in arguments.sizes:
        for lengths in arguments.lengths:
            rows.append(compare(size, lengths, arguments.rounds, arguments.repeats))
            print_rows(rows[-1:])
    if arguments.json:
        write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
