"""Our training step against that of ``transformers``: the same work, in one run.

    python -m benchmarks.train_step --sizes tiny mini --lengths full mixed --json FILE
    python -m benchmarks.train_step --family modernbert --json train_step.modernbert.json
    taskset -c 0 python -m benchmarks.train_step --threads 1            # CPU time of one core: bears company

One step is the forward pass, the losses, the backward pass and AdamW, on 32 sequences of 128 tokens (``full``), 32 of
32 to 128 (``mixed``), 8 of 64 to 1,024 (``long``), 8 of 1,024 or one of 8,192; the peer pads them, real tokens are
counted on both sides. ``--family bert`` is ``BertForPreTraining`` with dropout 0.1 everywhere, ``modernbert``
is ``ModernBertForMaskedLM`` without dropout, as it comes and with ``sparse_prediction``, which decodes masked positions
only. The peer is Hugging Face's model with SDPA attention and ``AdamW(fused=True)``, in fp32. Ours is set up as
``train.py`` does it; where the processor multiplies bf16, it runs once more in bf16 autocast against the same peer, and
with ``--compile`` once more compiled. Each runs in a process of its own. They take turns, round by round, so that a
slow minute of the machine hits all; the medians are compared. A share of the floor is the useful products at the rate
of the machine's own product in that precision (the faster of torch's two libraries, the best of the same run), over the
whole step.
"""

import argparse
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.batches import padded, random_batch
from benchmarks.machine import print_rows, write_rows
from benchmarks.shapes import FAMILIES, SHAPES, family_shape
from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.model.architecture import architecture_of
from cloze.model.flops import training_flops, work_of
from cloze.model.heads import PretrainingModel
from cloze.run.hardware import multiplies_bf16
from cloze.runtime.allocator import keep_large_buffers
from cloze.runtime.peak import products
from cloze.tasks.masked_lm import pretraining_losses

LENGTHS: dict[str, tuple[int, int, int]] = {
    "full": (32, 128, 128), "mixed": (32, 32, 128), "long": (8, 64, 1024), "1024": (8, 1024, 1024),
    "8192": (1, 8192, 8192),
}  # fmt: skip
"""Sequences, and their fewest and most tokens."""


class Case(NamedTuple):
    """What is measured.

    Attributes:
        family: of encoders.
        size: of the encoder.
        lengths: of the sequences, by the name in ``LENGTHS``.
        mask_rate: the share of the tokens that are predicted.
    """

    family: str
    size: str
    lengths: str
    mask_rate: float

    @property
    def shape(self) -> Any:
        """Of the encoder."""
        return family_shape(self.family, self.size)

    def batch(self) -> PretrainingBatch:
        """Ordered by length as our loader orders it; without pairs where the family has no head for them."""
        generator = random.Random(0)
        sequences, fewest, most = LENGTHS[self.lengths]
        sizes = sorted(generator.randint(fewest, most) for _ in range(sequences))
        made = random_batch(sizes, self.shape.vocab_size, self.mask_rate)
        if self.family == "bert":
            return made
        none = torch.full_like(made.next_sentence_labels, IGNORED_LABEL)
        return made._replace(next_sentence_labels=none, global_pairs=0)


def our_step(case: Case, *, bf16: bool = False, compiled: bool = False) -> Callable[[], None]:
    """Ours, set up as ``train.py`` does it."""
    keep_large_buffers()
    work, shape = case.batch(), case.shape
    model = architecture_of(shape).pretraining(shape).train()
    assert isinstance(model, PretrainingModel)
    if compiled:
        model.encoder.compile()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = pretraining_losses(model, work)
        loss = losses.masked_lm.loss / work.global_masked + losses.next_sentence.loss / max(1, work.global_pairs)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def their_step(case: Case, **settings: Any) -> Callable[[], None]:
    """Hugging Face's model and losses on the padded batch."""
    import transformers

    work, record = case.batch(), architecture_of(case.shape)
    written = {**record.write_config(case.shape), **{key: i for i, key in enumerate(record.special_ids)}, **settings}
    config = getattr(transformers, f"{record.classes}Config")(**written, attn_implementation="sdpa")
    model = getattr(transformers, FAMILIES[case.family])(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    inputs = padded(work)
    if inputs["attention_mask"].all():
        del inputs["attention_mask"]  # spares the peer a mask that masks nothing
    if case.family != "bert":
        del inputs["token_type_ids"], inputs["next_sentence_label"]

    def step() -> None:
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


SIDES: dict[str, Callable[[Case], Callable[[], None]]] = {
    "ours": our_step,
    "ours, bf16": partial(our_step, bf16=True),
    "ours, compiled": partial(our_step, compiled=True),
    "peer": their_step,
    "peer, sparse_prediction": partial(their_step, sparse_prediction=True),
}


def clock(threads: int) -> Callable[[], float]:
    """Of the wall, or with one thread of the process, which does not count what other processes take."""
    return time.process_time if threads == 1 else time.perf_counter


def side(name: str, case: Case, threads: int, pipe: Connection) -> None:
    """One side in its own process: on each message run that many steps and answer their seconds."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    now, step = clock(threads), SIDES[name](case)
    while repeats := pipe.recv():
        seconds = []
        for _ in range(repeats):
            start = now()
            step()
            seconds.append(now() - start)
        pipe.send(seconds)


def turn(pipe: Connection, steps: int) -> list[float]:
    """Seconds of each of this many steps of one side."""
    time.sleep(0.3)  # lets the other side's spinning threads fall asleep
    pipe.send(steps)
    seconds: list[float] = pipe.recv()
    return seconds


class GemmRate:
    """FLOP/s of this machine's own matrix product, 2,048 x 2,048 x 2,048: the best that was seen in a run."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.best: dict[torch.dtype, float] = {}

    def measure(self, dtype: torch.dtype, times: int = 3) -> None:
        """So many products of each library."""
        torch.set_num_threads(self.threads)
        a, b = torch.randn(2, 2048, 2048).to(dtype)
        now = clock(self.threads)
        for product in products(a, b):
            for _ in range(times):
                start = now()
                product()
                self.best[dtype] = max(self.best.get(dtype, 0.0), 2 * 2048**3 / (now() - start))


def measure(
    case: Case, sides: Sequence[str], *, threads: int, rounds: int, repeats: int, seconds: float
) -> tuple[dict[str, list[float]], GemmRate]:
    """Seconds of the steps of each side, and the rate of the machine's product between them.

    Args:
        case: what is measured.
        sides: who takes turns.
        threads: of torch.
        rounds: at most; one at least.
        repeats: timed steps of each side in a round, where a step is short.
        seconds: after which no other round begins.
    """
    deadline = time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    taken: dict[str, list[float]] = {name: [] for name in sides}
    pipes, processes, rate = {}, [], GemmRate(threads)
    for name in sides:
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=side, args=(name, case, threads, theirs)))
        processes[-1].start()
    slowest = max(turn(pipe, 1)[-1] for pipe in pipes.values())  # the first step also compiles kernels
    # A step of a second or more needs no company: one a turn, and none thrown away after the other side's turn.
    discarded, timed = (1, repeats) if slowest < 1 else (0, 1)
    for done in range(rounds):
        if done and time.monotonic() > deadline:
            break
        for name, pipe in pipes.items():
            taken[name] += turn(pipe, discarded + timed)[discarded:]
            rate.measure(dtype_of(name))
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(0)
        process.join()
    return taken, rate


def dtype_of(name: str) -> torch.dtype:
    """In which a side multiplies."""
    return torch.bfloat16 if "bf16" in name else torch.float32


def rows(case: Case, threads: int, taken: dict[str, list[float]], rate: GemmRate) -> list[dict[str, Any]]:
    """A row for each of our sides and each peer: real tokens/s, their ratio, and each one's share of the floor."""
    work, config = case.batch(), case.shape
    median = {name: statistics.median(values) for name, values in taken.items()}
    flops = training_flops(config, work_of(config, work.packed.cu_seqlens.diff().tolist(), len(work.masked_positions)))
    return [
        {
            "what": f"training step, {case.size}, {case.lengths} lengths{name.removeprefix('ours')}",
            "unit": "real tokens/s" if threads > 1 else "real tokens per second of CPU time",
            "ours": work.num_tokens / median[name],
            "peer": work.num_tokens / median[peer],
            "peer_name": f"transformers {FAMILIES[case.family]}, SDPA{peer.removeprefix('peer')}",
            "ratio": median[peer] / median[name],
            "ours_share_of_gemm_floor": flops / rate.best[dtype_of(name)] / median[name],
            "peer_share_of_gemm_floor": flops / rate.best[torch.float32] / median[peer],
            "gemm_gflop_per_s": rate.best[dtype_of(name)] / 1e9,
            "mask_rate": case.mask_rate,
            "threads": threads,
            "steps_timed": len(taken[name]),
        }
        for name in taken
        if name.startswith("ours")
        for peer in taken
        if peer.startswith("peer")
    ]


def main() -> None:
    """Measure each size on each kind of lengths, print a table and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, default="bert")
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, help="default tiny and mini, of modernbert mini")
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, help="default full, of modernbert the first three")
    parser.add_argument("--mask-rates", nargs="+", type=float, default=[0.15])
    parser.add_argument("--threads", type=int, default=2, help="of torch; with 1, CPU time is measured")
    parser.add_argument("--bf16", action="store_true", help="measure it even where the processor only emulates it")
    parser.add_argument("--compile", action="store_true", help="measure the compiled encoder, too")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3, help="timed steps of each side in a round")
    parser.add_argument(
        "--minutes", type=float, default=30, help="for all, shared out by what is left; a round at least"
    )
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    modern = arguments.family == "modernbert"
    optional = {
        "ours, bf16": arguments.bf16 or multiplies_bf16(),
        "ours, compiled": arguments.compile,
        "peer, sparse_prediction": modern,
    }
    sides = [name for name in SIDES if optional.get(name, True)]
    end = time.monotonic() + 60 * arguments.minutes
    cases = [
        Case(arguments.family, size, lengths, rate)
        for size in arguments.sizes or (["mini"] if modern else ["tiny", "mini"])
        for lengths in arguments.lengths or (["full", "mixed", "long"] if modern else ["full"])
        for rate in arguments.mask_rates
    ]
    found: list[dict[str, Any]] = []
    for i, case in enumerate(cases):
        seconds = (end - time.monotonic()) / (len(cases) - i)
        taken, rate = measure(
            case,
            sides,
            threads=arguments.threads,
            rounds=arguments.rounds,
            repeats=arguments.repeats,
            seconds=seconds,
        )
        new = rows(case, arguments.threads, taken, rate)
        print_rows(new)
        found += new
    if arguments.json:
        write_rows(found, arguments.json)


if __name__ == "__main__":
    main()
