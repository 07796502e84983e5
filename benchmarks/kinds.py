"""Tokenizers of every kind: how well they write a text, and how long one takes to train.

    OMP_NUM_THREADS=1 python -m benchmarks.kinds [--lines N] [--vocab-size N]
    OMP_NUM_THREADS=1 python -m benchmarks.kinds --training --json FILE [--megabytes N] [--rounds N]

The first prints the table of docs/text.md: characters a token, blanks not counted, and the share of the characters that
is unknown, of every tenth of up to N lines, with tokenizers that the others have taught. The second trains byte-level
BPE on books, by turns as cloze does and by the trainer of `tokenizers` alone, and compares processor time and merges.
"""

import argparse
import json
import lzma
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from benchmarks.books import DATA, extract_books
from benchmarks.machine import print_rows, write_rows
from cloze.text.bert_rules import SPECIAL_TOKENS, UNK
from cloze.text.characters import Characters
from cloze.text.encoding import WordEncoder
from cloze.text.tokenizer import WordPiece
from cloze.text.tokenizer_source import TokenizerSource
from cloze.text.trained import ByteLevelBPE, Unigram

TEXTS = {
    "English (WikiText-2)": "corpus/wikitext2/train.txt",
    "German (Leipzig)": "lang/de_leipzig_wikipedia_2021_10k.txt.xz",
    "Arabic (Tanzil)": "lang/ar_tanzil_simple_clean.txt.xz",
    "Japanese (Sōseki)": "lang/ja_soseki",
    "Chinese (CLUE)": "corpus/zh_clue_small.txt",
    "Python (TheAlgorithms)": "code/thealgorithms_python.tar.xz",
}
LEFT_OUT = 10
"""One line of so many is not trained on."""


def kinds(vocab_size: int) -> dict[str, TokenizerSource]:
    """Of the size, where a kind has one."""
    return {
        "WordPiece": WordPiece(vocab_size=vocab_size),
        "BPE": ByteLevelBPE(vocab_size=vocab_size),
        "Unigram": Unigram(vocab_size=vocab_size),
        "characters": Characters(),
    }


def lines_of(place: Path) -> Iterator[str]:
    """The lines of a text file, of a folder of them, or of the Python modules in an archive, that are not blank."""
    if place.is_dir():
        for file in sorted(place.iterdir()):
            yield from lines_of(file)
    elif ".tar" in place.name:
        with tarfile.open(place) as files:
            for member in files:
                content = files.extractfile(member) if member.name.endswith(".py") else None
                text = "" if content is None else content.read().decode()
                yield from (line.strip() for line in text.splitlines() if line.strip())
    else:
        with (lzma.open if place.suffix == ".xz" else open)(place, "rt", encoding="utf-8-sig") as stream:
            yield from (line.strip() for line in stream if line.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=12_000)
    parser.add_argument("--vocab-size", type=int, help="by default 8,192, of training 32,768")
    parser.add_argument("--training", action="store_true", help="measure the time of training")
    parser.add_argument("--json", type=Path, help="where the row of training goes; else it is only printed")
    parser.add_argument("--megabytes", type=float, default=60, help="of books to train on")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.training or options.json:
        row = training(options.megabytes, options.vocab_size or 32_768, options.rounds)
        print_rows([row])
        if options.json:
            write_rows([row], options.json)
    else:
        _print_table(options.lines, kinds(options.vocab_size or 8_192))


def _print_table(count: int, sources: dict[str, TokenizerSource]) -> None:
    print(f"| on text that was left out | {' | '.join(sources)} |\n|---|{'---|' * len(sources)}")
    for name, place in TEXTS.items():
        lines = list(islice(lines_of(DATA / place), count))
        columns = ["{:.2f}, {:.3%}".format(*_written(source, lines)) for source in sources.values()]
        print(f"| {name} | {' | '.join(columns)} |", flush=True)


def _written(source: TokenizerSource, lines: list[str]) -> tuple[float, float]:
    """Characters a token, and the share of them that is unknown."""
    left_out = lines[::LEFT_OUT]
    learned = [line for number, line in enumerate(lines) if number % LEFT_OUT]
    encoder = WordEncoder(source.learn(learned.copy).tokenizer.tokenizer)
    encoded = [encoder.encode(line) for line in left_out]
    characters = sum(len("".join(line.split())) for line in left_out)
    lost = sum(sum(encoder.lost(line, ids)) for line, ids in zip(left_out, encoded, strict=True))
    return characters * encoder.dtype.itemsize / sum(map(len, encoded)), lost / characters


def training(megabytes: float, vocab_size: int, rounds: int) -> dict[str, Any]:
    """Byte-level BPE from books: ours, with its normal form and its bounds, and the trainer of `tokenizers`."""
    with tempfile.TemporaryDirectory() as scratch:
        lines = [line for book in extract_books(Path(scratch), megabytes) for line in lines_of(book)]
    source = ByteLevelBPE(vocab_size=vocab_size, sample_megabytes=2 * megabytes)
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(rounds):
        begun = time.process_time()
        trained = source.train(lines)
        ours.append(time.process_time() - begun)
        begun = time.process_time()
        expected = _trained(lines, vocab_size)
        peer.append(time.process_time() - begun)
        same = _merges(trained) == _merges(expected)
    return {
        "what": f"training byte-level BPE, {vocab_size:,} tokens, books",
        "unit": "s of processor time",
        "ours": statistics.median(ours),
        "peer": statistics.median(peer),
        "peer_name": "tokenizers",
        "ratio": statistics.median(peer) / statistics.median(ours),
        "lowest_ratio": min(theirs / own for own, theirs in zip(ours, peer, strict=True)),
        "megabytes": sum(len(line.encode()) + 1 for line in lines) / 1e6,
        "same_merges": same,
        "rounds": rounds,
    }


def _trained(lines: list[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    found: list[list[str]] = json.loads(tokenizer.to_str())["model"]["merges"]
    return found


if __name__ == "__main__":
    main()
