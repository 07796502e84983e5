"""A training step of ELECTRA-Small against a plain loop over ``transformers``, and against our masked-LM step.

    taskset -c 0 python -m benchmarks.replaced_tokens --json replaced_tokens.json

One step is the forward pass of generator and discriminator, both losses, the backward pass and AdamW, on 32 sequences
of 128 tokens (``full``) or of 32 to 128 (``mixed``), masked by 15 %, in fp32 on one thread. The peer is
``ElectraForMaskedLM`` and ``ElectraForPreTraining`` on tied embeddings with SDPA attention, as one would write it: the
generator's logits at every token, its samples by ``torch.multinomial``. Masked LM is that of the discriminator's shape.
Seconds are those of the process on the processor, so that other processes do not count; all sides take turns in one
process, and the medians are compared.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.batches import padded
from benchmarks.machine import print_rows, write_rows
from benchmarks.train_step import Case
from cloze.batch import IGNORED_LABEL
from cloze.model.architecture import architecture_of
from cloze.model.config import ElectraConfig
from cloze.model.replaced_tokens import generator_shape
from cloze.optim.schedules import Linear
from cloze.runtime.allocator import keep_large_buffers
from cloze.tasks.masked_lm import pretraining_losses
from cloze.tasks.replaced_tokens import ReplacedTokensPretraining
from cloze.tasks.training import Recipe

SHAPE = ElectraConfig(vocab_size=30522)
LENGTHS = ("full", "mixed")
WEIGHT = 50.0


def batch_of(lengths: str) -> Any:
    """Every masked token a [MASK] but for its id, which no time depends on."""
    work = Case("bert", "small", lengths, 0.15).batch()
    return work._replace(next_sentence_labels=torch.full_like(work.next_sentence_labels, IGNORED_LABEL))


def updated(parameters: Any, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """The step of a loss."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def ours(lengths: str) -> Callable[[], None]:
    """The module of ``train.py``."""
    recipe = Recipe(optimizer=torch.optim.AdamW, schedule=Linear(), length=1)
    module, work = ReplacedTokensPretraining(shape=SHAPE, recipe=recipe).train(), batch_of(lengths)
    return updated(module.parameters(), lambda: module.step(work)[0])


def masked_lm(lengths: str) -> Callable[[], None]:
    """Masked tokens alone, on an encoder of the discriminator's shape."""
    model: Any = architecture_of(SHAPE).pretraining(SHAPE).train()
    work = batch_of(lengths)
    return updated(model.parameters(), lambda: pretraining_losses(model, work).masked_lm.loss / work.global_masked)


def peer(lengths: str) -> Callable[[], None]:
    """Hugging Face's two models in a plain loop on the padded batch."""
    import transformers

    shapes = [generator_shape(SHAPE, 0.25, 1.0), SHAPE]
    configs = [transformers.ElectraConfig(**asdict(shape), attn_implementation="sdpa") for shape in shapes]
    generator = transformers.ElectraForMaskedLM(configs[0]).train()
    discriminator = transformers.ElectraForPreTraining(configs[1]).train()
    discriminator.electra.embeddings = generator.electra.embeddings
    inputs = padded(batch_of(lengths))
    labels, real = inputs.pop("labels"), inputs["attention_mask"].bool()
    del inputs["next_sentence_label"]
    if real.all():
        del inputs["attention_mask"]  # spares the peer a mask that masks nothing
    is_masked = labels != IGNORED_LABEL
    parameters = {id(each): each for model in (generator, discriminator) for each in model.parameters()}

    def loss() -> torch.Tensor:
        logits = generator(**inputs).logits[is_masked]
        with torch.no_grad():
            drawn = torch.multinomial(logits.softmax(-1), 1).squeeze(-1)
        ids = inputs["input_ids"].masked_scatter(is_masked, drawn)
        replaced = torch.zeros_like(labels, dtype=torch.float).masked_scatter(
            is_masked, (drawn != labels[is_masked]).float()
        )
        found = discriminator(**{**inputs, "input_ids": ids}).logits
        binary = F.binary_cross_entropy_with_logits(found[real], replaced[real])
        return F.cross_entropy(logits, labels[is_masked]) + WEIGHT * binary

    return updated([*parameters.values()], loss)


def measure(lengths: str, rounds: int) -> dict[str, float]:
    """The median seconds of a step of each side."""
    torch.manual_seed(0)
    sides = {"ours": ours, "masked LM": masked_lm, "peer": peer}
    steps = {name: make(lengths) for name, make in sides.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def rows(lengths: str, seconds: dict[str, float], rounds: int) -> list[dict[str, Any]]:
    """Two rows: against the peer, and against our masked-LM step."""
    tokens = batch_of(lengths).num_tokens
    row: Any = partial(dict, unit="real tokens per second of CPU time", threads=1, steps_timed=rounds, mask_rate=0.15)
    peers = {"peer": "transformers ElectraForMaskedLM + ElectraForPreTraining, SDPA", "masked LM": "our masked-LM step"}
    return [
        row(
            what=f"training step, ELECTRA-Small, {lengths} lengths",
            ours=tokens / seconds["ours"],
            peer=tokens / seconds[side],
            peer_name=name,
            ratio=seconds[side] / seconds["ours"],
        )
        for side, name in peers.items()
    ]


def main() -> None:
    """Measure both kinds of lengths, print a table and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=LENGTHS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_buffers()
    found: list[dict[str, Any]] = []
    for lengths in arguments.lengths:
        new = rows(lengths, measure(lengths, arguments.rounds), arguments.rounds)
        print_rows(new)
        found += new
    if arguments.json:
        write_rows(found, arguments.json)


if __name__ == "__main__":
    main()
