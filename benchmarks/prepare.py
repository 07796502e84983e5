"""Speed and memory of a whole preparation, against `tokenizers`' own ``encode_batch_fast`` on the same text and cores.

    python -m benchmarks.prepare --json FILE [--files PATTERN] [--megabytes N] [--workers N]

Ours is everything: starting workers, reading, cutting sentences, encoding, hashing, duplicates, shards, report. The
peer is given the same lines in memory and does nothing but encode them, in batches, on as many threads as we have
workers; in the second row both also train a vocabulary, on as much text. Both run in processes of their own, one after
the other; memory is the resident set of ours with all its children.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from tokenizers import BertWordPieceTokenizer

from benchmarks.machine import print_rows, write_rows
from cloze.text.prepare import Preparation
from cloze.text.report import load_report
from cloze.text.sentences import English
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece, load_tokenizer

DATA = Path(os.environ.get("CLOZE_DATA", "../shared/data"))
BOOKS = DATA / "corpus/classic_books.tar.xz"
LINES_A_BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the rows go; else they are only printed")
    parser.add_argument("--files", help="pattern of text files; without, an archive of books is unpacked")
    parser.add_argument("--megabytes", type=float, default=60, help="stop taking files beyond this")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--vocab", default=str(DATA / "vocab"), help="a vocab.txt, or a folder with an uncased one")
    parser.add_argument("--as", dest="role", choices=["ours", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "ours":
        source = TextFiles(files=_first_files(options.files, options.megabytes))
        vocab = options.vocab or None
        Preparation(source=source, sentences=English(), tokenizer=WordPiece(vocab=vocab), workers=options.workers).run(
            options.folder
        )
    elif options.role == "peer":
        source = TextFiles(files=_first_files(options.files, options.megabytes))
        print(json.dumps(_encode_all(source, options.folder, train=not options.vocab)))
    elif options.files:
        _compare(options)
    elif not BOOKS.exists():
        parser.error(f"{BOOKS} is not there: say --files PATTERN, or set CLOZE_DATA")
    else:
        with tempfile.TemporaryDirectory() as scratch, tarfile.open(BOOKS) as archive:
            archive.extractall(scratch, filter="data")
            options.files = f"{scratch}/**/*.md"
            _compare(options)


def _compare(options: argparse.Namespace) -> None:
    vocab = Path(options.vocab)
    vocab = next(iter(sorted(vocab.glob("*uncased*.txt")))) if vocab.is_dir() else vocab
    rows = []
    for name, given in (("vocabulary given", str(vocab)), ("vocabulary trained", "")):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "corpus"
            arguments = ["--files", options.files, "--megabytes", str(options.megabytes), "--folder", str(folder)]
            arguments += ["--workers", str(options.workers), "--vocab", given]
            seconds, peak_mib, _ = _measure("ours", arguments, options.workers)
            _, _, output = _measure("peer", arguments, options.workers)
            report, peer = load_report(folder), json.loads(output)
        megabytes = report["text_megabytes"]
        rows.append(
            {
                "what": f"whole preparation, {name}",
                "unit": "MB of text a second",
                "ours": megabytes / seconds,
                "peer": megabytes / peer["seconds"],
                "peer_name": f"{peer['does']} alone",
                "ratio": peer["seconds"] / seconds,
                "tokens_per_second": (report["train"]["tokens"] + report["heldout"]["tokens"]) / seconds,
                "megabytes": megabytes,
                "workers": options.workers,
                "peak_rss_mib": peak_mib,
            }
        )
        print_rows(rows[-1:])
    if options.json:
        write_rows(rows, options.json)


def _first_files(pattern: str, megabytes: float) -> list[str]:
    files, size = [], 0.0
    for path in TextFiles(files=pattern).paths():
        if size < megabytes:
            files.append(path)
            size += Path(path).stat().st_size / 1e6
    return files


def _measure(role: str, arguments: list[str], threads: int) -> tuple[float, float, str]:
    """Seconds, peak resident MiB of the process tree, and output of this program in one of its roles."""
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.prepare", "--as", role, *arguments]
    begun = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident_bytes(process.pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{role} failed with status {process.returncode}")
    return seconds, peak / 2**20, output


def _resident_bytes(pid: int) -> int:
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.Error:
        pass  # ended while we looked
    return total


def _encode_all(source: TextFiles, folder: Path, *, train: bool) -> dict[str, Any]:
    """Time of the peer; reading the lines is not part of it."""
    tokenizer = load_tokenizer(folder / "tokenizer")
    counts: Counter[str] = Counter()
    lines = [line for unit in source.units() for document in source.documents(unit, counts) for line in document.lines]
    tokens = 0
    begun = time.perf_counter()
    if train:
        config = WordPiece()
        peer = BertWordPieceTokenizer()
        peer.train_from_iterator(
            _up_to(lines, config.sample_megabytes),
            vocab_size=config.vocab_size,
            min_frequency=config.min_frequency,
            show_progress=False,
        )
    for start in range(0, len(lines), LINES_A_BATCH):
        batch = tokenizer.encode_batch_fast(lines[start : start + LINES_A_BATCH], add_special_tokens=False)
        tokens += sum(len(encoding.ids) for encoding in batch)
    does = "train_from_iterator and encode_batch_fast" if train else "encode_batch_fast"
    return {"does": does, "seconds": time.perf_counter() - begun, "tokens": tokens}


def _up_to(lines: list[str], megabytes: float) -> list[str]:
    taken, size = [], 0.0
    for line in lines:
        if size < megabytes:
            taken.append(line)
            size += len(line) / 1e6
    return taken


if __name__ == "__main__":
    main()
