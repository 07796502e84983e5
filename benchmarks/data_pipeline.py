"""Pre-training batches a second on one core: pairs, masks and packs, ready as tensors, at length 128.

    OMP_NUM_THREADS=1 python -m benchmarks.data_pipeline --json FILE

All sides read the same synthetic shard (sentence and document lengths as in English prose), and tokens a second are the
tokens of the batches they deliver. Peers: Hugging Face's ``DataCollatorForLanguageModeling``, which only masks and pads
pairs that were made before (its clock does not count them), and Google's rule in plain Python with its masking and
padding, up to a tensor. Sides take turns; medians of processor time are
compared, so that other work on the machine disturbs all alike.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

from benchmarks.google_rule import mask, pairs_of_document
from benchmarks.machine import print_rows, write_rows
from cloze.data.pretraining.dataset import cut_batch
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.packing import StaticShape
from cloze.data.pretraining.plan import BatchSize, Sequences, make_plan
from cloze.runtime.allocator import keep_large_buffers
from cloze.text.shards import Shard

VOCAB_SIZE = 30522
BATCH_TOKENS = 65_536
MICRO_BATCHES = 8
MAX_LENGTH = 128
CLS, SEP, MASK, PAD = 101, 102, 103, 0


def synthetic_shard(tokens: int, seed: int = 0) -> Shard:
    """Sentences of 25 tokens on average (log-normal), documents of 20 sentences (geometric)."""
    rng = np.random.default_rng(seed)
    count = tokens // 25
    lengths = np.clip(np.rint(rng.lognormal(3.05, 0.6, count)), 1, 400).astype(np.int64)
    documents = np.cumsum(rng.geometric(1 / 20, count // 10))
    documents = np.concatenate([[0], documents[documents < count], [count]])
    ids = rng.integers(1000, VOCAB_SIZE, lengths.sum(), dtype=np.uint16)
    ids.flags.writeable = False  # as a mapped file
    return Shard(ids, np.concatenate([[0], np.cumsum(lengths)]), documents)


def ours(shard: Shard, objective: MaskedLM, epoch: int, static: bool = False) -> tuple[int, int]:
    """Every micro-batch of an epoch of the shard: tokens, and tokens with padding."""
    vocabulary = Vocabulary(VOCAB_SIZE, CLS, SEP, MASK, PAD, np.arange(VOCAB_SIZE) % 5 == 0)
    shape = StaticShape.of(BATCH_TOKENS, MAX_LENGTH, MICRO_BATCHES) if static else None
    plan = make_plan(shard, objective, BatchSize(tokens=BATCH_TOKENS), seed=1, epoch=epoch, shard_index=0)
    tokens = padded = 0
    for batch in range(plan.num_batches):
        every = np.arange(plan.batches[batch], plan.batches[batch + 1])
        parts, counts = cut_batch(objective, Sequences(shard, plan, every, vocabulary), MICRO_BATCHES)
        for part in parts:
            micro_batch = objective.batch(part, counts, shape)
            tokens += micro_batch.num_tokens
            padded += len(micro_batch.packed.input_ids)
    return tokens, padded


def documents_of(shard: Shard) -> list[list[list[int]]]:
    """The shard as lists."""
    ids, sentences, documents, _ = shard
    tokens = ids.tolist()
    flat = [tokens[begin:end] for begin, end in pairwise(sentences)]
    return [flat[begin:end] for begin, end in pairwise(documents)]


def google_rule(documents: list[list[list[int]]], rng: Random) -> Iterator[torch.Tensor]:
    """Pairs, masks and padded rows as Google's script makes them, to the tensor."""
    for which in range(len(documents)):
        for pair in pairs_of_document(documents, which, MAX_LENGTH, 0.1, rng):
            tokens = [CLS, *pair.a, SEP, *pair.b, SEP]
            masked, positions, labels = mask(tokens, {CLS, SEP}, MASK, VOCAB_SIZE, rng)
            types = [0] * (len(pair.a) + 2) + [1] * (len(pair.b) + 1)
            room, gap = [0] * (MAX_LENGTH - len(tokens)), [0] * (20 - len(labels))
            yield torch.tensor([*masked, *room, *types, *room, *positions, *gap, *labels, *gap, len(tokens)])


def measure_ours(shard: Shard, objective: MaskedLM, epoch: int) -> float:
    begun = time.process_time()
    tokens, _ = ours(shard, objective, epoch)
    return tokens / (time.process_time() - begun)


def measure_google(documents: list[list[list[int]]], epoch: int) -> float:
    begun = time.process_time()
    tokens = sum(int(row[-1]) for row in google_rule(documents, Random(epoch)))
    return tokens / (time.process_time() - begun)


def measure_collator(rows: list[dict[str, Any]], collator: DataCollatorForLanguageModeling) -> float:
    begun = time.process_time()
    tokens = 0
    for start in range(0, len(rows), 64):
        tokens += int(collator(rows[start : start + 64])["attention_mask"].sum())
    return tokens / (time.process_time() - begun)


def collator_and_rows(
    documents: list[list[list[int]]],
) -> tuple[DataCollatorForLanguageModeling, list[dict[str, Any]]]:
    """Hugging Face's collator and pairs for it."""
    pieces = {f"w{i}": i for i in range(VOCAB_SIZE)}
    for name, index in (("[PAD]", PAD), ("[UNK]", 100), ("[CLS]", CLS), ("[SEP]", SEP), ("[MASK]", MASK)):
        del pieces[f"w{index}"]
        pieces[name] = index
    collator = DataCollatorForLanguageModeling(BertTokenizerFast(vocab=pieces), mlm_probability=0.15)
    rng = Random(0)
    rows = []
    for which in range(len(documents)):
        for pair in pairs_of_document(documents, which, MAX_LENGTH, 0.1, rng):
            ids = [CLS, *pair.a, SEP, *pair.b, SEP]
            types = [0] * (len(pair.a) + 2) + [1] * (len(pair.b) + 1)
            rows.append({"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * len(ids)})
    return collator, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where to write the rows")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=4_000_000, help="size of the shard")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_buffers()  # as training does
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core

    shard = synthetic_shard(arguments.tokens)
    documents = documents_of(synthetic_shard(arguments.tokens // 20))
    collator, rows = collator_and_rows(documents)
    objectives = {masking: MaskedLM(masking=masking) for masking in ("token", "whole_word", "span")}
    for objective in objectives.values():
        ours(synthetic_shard(BATCH_TOKENS), objective, 0)  # compiles, or loads what was compiled
    sides: dict[str, Callable[[int], float]] = {
        **{name: lambda epoch, o=objective: measure_ours(shard, o, epoch) for name, objective in objectives.items()},  # type: ignore[misc]
        "Google's rule in plain Python": lambda epoch: measure_google(documents, epoch),
        "Hugging Face's MLM collator": lambda _: measure_collator(rows, collator),
    }
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for epoch in range(arguments.rounds):
        for name, side in sides.items():
            speeds[name].append(side(epoch))
    median = {name: statistics.median(values) for name, values in speeds.items()}
    real, padded = ours(shard, objectives["token"], 0, static=True)
    results = [
        {
            "what": f"pairs, {masking} masks and packs at length {MAX_LENGTH}, one core",
            "unit": "tokens/s",
            "ours": median[masking],
            "peer": median[peer],
            "peer_name": peer,
            "ratio": median[masking] / median[peer],
            "ours_low": min(speeds[masking]),
            "ours_high": max(speeds[masking]),
            "padding_share": 1 - real / padded,
            "rounds": arguments.rounds,
        }
        for masking in objectives
        for peer in ("Hugging Face's MLM collator", "Google's rule in plain Python")
    ]
    write_rows(results, arguments.json)
    print_rows(results)


if __name__ == "__main__":
    main()
