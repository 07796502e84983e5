"""Sentences to ids on one core: the cached encoder of preparation against `tokenizers`' ``encode_batch_fast``.

    OMP_NUM_THREADS=1 python -m benchmarks.encoding --json FILE [--megabytes N] [--rounds N] [--vocab-size N]

Both get the same sentences in memory, cut by preparation's own rules, and the same tokeniser: Google's, and of each
kind one that the text has taught. Each begins a round with empty caches; the peer encodes batches of 1,000. They take
turns, and processor time is compared, so that other work on the machine disturbs both alike. In every round the ids of
both are compared, sentence by sentence; a difference ends the command with status 1.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.books import DATA, extract_books
from benchmarks.kinds import kinds
from benchmarks.machine import print_rows, write_rows
from cloze.text.characters import Kmers
from cloze.text.documents import SentenceSplitter
from cloze.text.encoding import WordEncoder
from cloze.text.sentences import Chinese, English
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import build_tokenizer, read_vocabulary

BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the rows go; else they are only printed")
    parser.add_argument("--megabytes", type=float, default=8, help="of books")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocab-size", type=int, default=8_192, help="of the tokenizers that are trained")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core
    rows = []
    for name, sentences, tokenizer in _texts(options.megabytes, options.vocab_size):
        rows.append(_compare(name, sentences, tokenizer, options.rounds))
        print_rows(rows[-1:])
    if options.json:
        write_rows(rows, options.json)


def _texts(megabytes: float, vocab_size: int) -> Iterator[tuple[str, list[str], Tokenizer]]:
    """What is measured: its name, its sentences, its tokeniser."""
    uncased, chinese = (
        build_tokenizer(read_vocabulary(DATA / f"vocab/bert-base-{name}-vocab.txt")) for name in ("uncased", "chinese")
    )
    with tempfile.TemporaryDirectory() as scratch:
        books = _sentences(extract_books(Path(scratch), megabytes), English())
    yield "English books", books, uncased
    yield "WikiText-2", _sentences([DATA / "corpus/wikitext2/train.txt"], English()), uncased
    small = _sentences([DATA / "corpus/zh_clue_small.txt"], Chinese())
    yield "Chinese", small, chinese
    for text, sentences in (("English books", books), ("Chinese", small)):
        for kind, source in kinds(vocab_size).items():
            yield f"{text}, {kind}", sentences, source.learn(sentences.copy).tokenizer.tokenizer
    windows = list(_windows(DATA / "bio/ecoli_k12_genome.fna.xz", megabytes))
    yield "DNA, 6-mers", windows, Kmers().learn(windows.copy).tokenizer.tokenizer


def _windows(genome: Path, megabytes: float) -> Iterator[str]:
    """Documents of a genome, as preparation cuts it."""
    files, size = TextFiles(files=str(genome)), 0
    for unit in files.units():
        for document in files.documents(unit, Counter()):
            if size >= 1e6 * megabytes:
                return
            yield from document.lines
            size += sum(map(len, document.lines))


def _sentences(paths: list[Path], splitter: SentenceSplitter) -> list[str]:
    return [
        sentence
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        for sentence in splitter.split(line)
    ]


def _compare(name: str, sentences: list[str], tokenizer: Tokenizer, rounds: int) -> dict[str, object]:
    kilobytes = sum(len(sentence.encode()) for sentence in sentences) / 1e3
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(rounds):
        encoder = WordEncoder(Tokenizer.from_str(tokenizer.to_str()))
        theirs = Tokenizer.from_str(tokenizer.to_str())
        begun = time.process_time()
        encoded = [encoder.encode(sentence) for sentence in sentences]
        ours.append(time.process_time() - begun)
        peer.append(0.0)
        for start in range(0, len(sentences), BATCH):
            begun = time.process_time()
            batch = theirs.encode_batch_fast(sentences[start : start + BATCH], add_special_tokens=False)
            expected = [encoding.ids for encoding in batch]
            peer[-1] += time.process_time() - begun
            for place, ids in enumerate(expected, start):
                if np.frombuffer(encoded[place], encoder.dtype).tolist() != ids:
                    raise SystemExit(f"{name}: other ids than the tokeniser's for {sentences[place]!r}")
    return {
        "what": f"sentences to ids, {name}, one core",
        "unit": "kB of text a second",
        "ours": kilobytes / statistics.median(ours),
        "peer": kilobytes / statistics.median(peer),
        "peer_name": "encode_batch_fast",
        "ratio": statistics.median(peer) / statistics.median(ours),
        "lowest_ratio": min(other / own for own, other in zip(ours, peer, strict=True)),
        "megabytes": kilobytes / 1e3,
        "sentences": len(sentences),
        "cached": len(encoder),
        "rounds": rounds,
    }


if __name__ == "__main__":
    main()
