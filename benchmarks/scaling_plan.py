"""What a step sends, and the scaling to be expected, by arithmetic: nothing here is measured.

    python -m benchmarks.scaling_plan

Prints the tables of `docs/scaling.md`. The assumptions are the constants below; the page discusses them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks.shapes import shape
from cloze.model.architecture import Work
from cloze.model.bert import BertForPreTraining
from cloze.model.flops import training_flops

PEAK = 989e12  # FLOP/s, dense bf16, H100 and H200 SXM (NVIDIA's data sheets)
MFU = 0.45  # share of it in the products of one GPU's step: what we aim at
GPUS_A_NODE = 8
LATENCY = 30e-6  # seconds, of one collective
BUCKET = 25e6  # bytes, of DDP's gradients: torch's default of 25 MB
MICRO_BATCH = 65_536  # tokens, hardware=ddp and fsdp
LENGTH, MASKED = 128, 0.15


@dataclass(frozen=True)
class Network:
    """How fast a collective moves, as NCCL's `bus bandwidth`: bytes that a GPU sends and receives in a second.

    Attributes:
        name: of the kind.
        inside: of a node, bytes/s.
        between: of nodes, bytes/s of the node's adapters together, since they all carry a part of each collective.
    """

    name: str
    inside: float
    between: float

    def rate(self, gpus: int) -> float:
        """Bytes/s of a collective over this many GPUs: the slowest part of the ring."""
        return self.inside if gpus <= GPUS_A_NODE else min(self.inside, self.between)


NETWORKS = (
    Network("8 x 400 Gb/s a node", inside=0.8 * 450e9, between=0.8 * 8 * 50e9),
    Network("1 x 100 Gb/s a node", inside=0.8 * 450e9, between=0.8 * 12.5e9),
)
SIZES = ("base", "large")


def parameters(size: str) -> int:
    """Of the encoder and both heads, the tied matrix once."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in BertForPreTraining(shape(size)).parameters())


def compute_seconds(size: str, tokens: int) -> float:
    """Of one GPU's forward and backward pass over this many tokens."""
    sequences = max(1, tokens // LENGTH)
    work = Work(tokens, {None: sequences * LENGTH**2}, int(MASKED * tokens), sequences)
    return training_flops(shape(size), work) / (PEAK * MFU)


def ddp_bytes(size: str, gpus: int) -> float:
    """Each GPU sends in a step: a ring's all-reduce of the gradients in fp32."""
    return 2 * (gpus - 1) / gpus * 4 * parameters(size)


def fsdp_bytes(size: str, gpus: int) -> tuple[float, float]:
    """Each GPU sends in a micro-batch: all-gathers of bf16 weights (forward, backward), reduce-scatter of gradients."""
    gather = (gpus - 1) / gpus * 2 * parameters(size)
    return 2 * gather, (gpus - 1) / gpus * REDUCED_BYTES * parameters(size)


REDUCED_BYTES = 4  # of a gradient under FSDP: reduced in fp32


def ddp_seconds(size: str, tokens: int, gpus: int, network: Network) -> float:
    """A step: gradients travel while the backward pass runs, but for the last bucket."""
    compute, send = compute_seconds(size, tokens), ddp_bytes(size, gpus) / network.rate(gpus)
    buckets = math.ceil(4 * parameters(size) / BUCKET)
    travel = send + buckets * LATENCY
    return compute / 3 + max(2 * compute / 3, travel) + travel / buckets


def fsdp_seconds(size: str, tokens: int, gpus: int, network: Network) -> float:
    """A step: each layer's weights travel while the layer before is computed, but for the first."""
    compute, rate = compute_seconds(size, tokens), network.rate(gpus)
    blocks = shape(size).num_hidden_layers + 1
    gathers, scatter = fsdp_bytes(size, gpus)
    gather = gathers / 2 / rate + blocks * LATENCY
    back = gather + scatter / rate + blocks * LATENCY
    return max(compute / 3, gather) + max(2 * compute / 3, back) + gather / blocks


def volume_rows() -> Iterator[list[str]]:
    """What is sent."""
    yield ["model", "parameters", "DDP: gradients", "FSDP: weights", "FSDP: gradients", "state a GPU: DDP", "FSDP on 8"]
    for size in SIZES:
        count = parameters(size)
        gathers, scatter = fsdp_bytes(size, 512)
        yield [
            size,
            f"{count / 1e6:.1f} M",
            f"{ddp_bytes(size, 512) / 1e9:.2f} GB",
            f"{gathers / 1e9:.2f} GB",
            f"{scatter / 1e9:.2f} GB",
            f"{16 * count / 1e9:.2f} GB",
            f"{16 * count / 8 / 1e9:.2f} GB",
        ]


def scaling_rows(tokens_a_gpu: int | None, batch: int | None = None) -> Iterator[list[str]]:
    """Efficiency against one GPU without a network, for a fixed micro-batch or a fixed global batch."""
    yield [
        "model",
        "GPUs",
        "tokens a step",
        *(f"{kind}, {network.name}" for network in NETWORKS for kind in STRATEGIES),
    ]
    for size in SIZES:
        for gpus in (8, 64, 512):
            tokens = tokens_a_gpu if tokens_a_gpu is not None else (batch or 0) // gpus
            cells = [
                f"{compute_seconds(size, tokens) / seconds(size, tokens, gpus, network):.0%}"
                for network in NETWORKS
                for seconds in STRATEGIES.values()
            ]
            yield [size, str(gpus), f"{tokens * gpus / 1e6:.1f} M", *cells]


STRATEGIES = {"DDP": ddp_seconds, "FSDP": fsdp_seconds}


def table(rows: Iterator[list[str]]) -> str:
    """Markdown."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def main() -> None:
    """Print the tables."""
    print(table(volume_rows()))
    for tokens, batch in ((MICRO_BATCH, None), (None, 1_048_576)):
        print("\n" + table(scaling_rows(tokens, batch)))


if __name__ == "__main__":
    main()
