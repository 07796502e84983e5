"""Time to the first batch, and memory, of corpora of 1 to 10,000 shards; a whole epoch of them planned.

    OMP_NUM_THREADS=1 python -m benchmarks.start_of_epoch --json FILE [--shards N ...] [--plan N]

A shard holds 10,000 documents of synthetic lengths. A corpus has a manifest of this many shards, whose files are links
to four different ones; nothing in the code can tell. Each corpus is opened by a process of its own: manifest,
tokenizer, the length of an epoch in steps, the plan of the first shard, its first micro-batch. Imports are not counted.
The first `--plan` shards of the largest corpus are then planned one after the other, as a training would.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.machine import print_rows, write_rows
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.module import PretrainingData
from cloze.text.manifest import Manifest, ShardInfo
from cloze.text.shards import write_shard
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, save_tokenizer, tokenizer_sha256

DOCUMENTS = 10_000
SENTENCES, TOKENS = 2.5, 20  # of a document, of a sentence, on average
DIFFERENT = 4
VOCAB_SIZE = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the rows go; else they are only printed")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 100, 10_000])
    parser.add_argument("--plan", type=int, default=10_000, help="shards of the largest corpus to plan")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open is not None:
        print(json.dumps(_open(options.open, options.plan)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        infos = _write_shards(Path(scratch))
        _measure(_write_corpus(Path(scratch), infos, 1), 0)  # compiles, or finds what was compiled
        for shards in options.shards:
            plan = options.plan if shards == max(options.shards) else 0
            rows.append(_row(shards, _measure(_write_corpus(Path(scratch), infos, shards), plan)))
            print_rows(rows[-1:])
    if options.json:
        write_rows(rows, options.json)


def _write_shards(folder: Path) -> list[ShardInfo]:
    """Different shards, to which the files of a corpus are links."""
    infos = []
    for number in range(DIFFERENT):
        rng = np.random.default_rng(number)
        sentences = rng.geometric(1 / SENTENCES, DOCUMENTS)
        lengths = np.clip(np.rint(rng.lognormal(np.log(TOKENS) - 0.18, 0.6, sentences.sum())), 1, 400).astype(np.int32)
        tokens = rng.integers(len(SPECIAL_TOKENS), VOCAB_SIZE, lengths.sum(), dtype=np.uint16)
        ends = np.cumsum([0, *lengths])
        documents = [
            (tokens[ends[first] : ends[last]], lengths[first:last])
            for first, last in pairwise(np.cumsum([0, *sentences]))
        ]
        write_shard(folder / f"shard-{number}.arrow", documents, VOCAB_SIZE)
        infos.append(ShardInfo(file="", documents=DOCUMENTS, sentences=len(lengths), tokens=len(tokens)))
    return infos


def _write_corpus(scratch: Path, infos: list[ShardInfo], shards: int) -> Path:
    folder = scratch / f"corpus-{shards}"
    if folder.exists():
        return folder
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, *(f"w{index}" for index in range(VOCAB_SIZE - len(SPECIAL_TOKENS)))])
    save_tokenizer(tokenizer, folder / "tokenizer")
    train = []
    for number in range(shards):
        different = number % DIFFERENT
        file = f"train-{number:05d}.arrow"
        (folder / file).symlink_to(scratch / f"shard-{different}.arrow")
        train.append(ShardInfo(**{**vars(infos[different]), "file": file}))
    Manifest(
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        vocab_size=VOCAB_SIZE,
        config_sha256="",
        config={},
        source={},
        train=tuple(train),
        heldout=(),
        unigram_entropy=float(np.log(VOCAB_SIZE)),
    ).save(folder)
    return folder


def _measure(folder: Path, plan: int) -> dict[str, float]:
    """What a process says that opens a corpus."""
    command = [sys.executable, "-m", "benchmarks.start_of_epoch", "--open", str(folder), "--plan", str(plan)]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def _open(folder: Path, plan: int) -> dict[str, float]:
    wall, begun = time.perf_counter(), time.process_time()
    data = PretrainingData(folder=folder, objective=MaskedLM(), batch_tokens=8192)
    data.setup()
    data.training_batches = data.batches_in_epochs(1)
    loader = data.train_dataloader()
    next(iter(loader))
    found = {
        "processor_s": time.process_time() - begun,
        "wall_s": time.perf_counter() - wall,
        "rss_mib": _peak_mib(),
        "steps": data.training_batches,
    }
    if plan:
        begun = time.process_time()
        windows = loader.data.order.windows(0)[: plan // data.shuffle_shards]
        batches = sum(loader.data.parts[0].num_batches(0, 0, window) for window in windows)
        found |= {
            "planned_documents": float(sum(data.manifest.train[i].documents for window in windows for i in window)),
            "planned_tokens": float(sum(data.manifest.train[i].tokens for window in windows for i in window)),
            "planned_batches": batches,
            "planning_s": time.process_time() - begun,
            "rss_after_planning_mib": _peak_mib(),
        }
    return found


def _peak_mib() -> float:
    """Peak resident memory of this process; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _row(shards: int, found: dict[str, float]) -> dict[str, object]:
    milliseconds, limit = 1e3 * found.pop("processor_s"), 2e3
    return {
        "what": f"to the first batch, {shards:,} shards, {shards * DOCUMENTS:,} documents",
        "unit": "ms of processor time",
        "ours": milliseconds,
        "peer": limit,
        "peer_name": "the limit",
        "ratio": limit / milliseconds,
        **found,
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
