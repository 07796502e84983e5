"""Preparation of 1, 4 and 16 times the same amount of books: processor time grows with the text, memory does not.

    OMP_NUM_THREADS=1 python -m benchmarks.growth --json FILE [--megabytes N]

Each size is prepared by a process of its own, on one core, without workers, with a given vocabulary. Processor time is
that of the whole preparation without imports; memory is the peak resident set of the process. The smallest size is the
peer of all: a ratio of 1 is linear time.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.books import DATA, extract_books
from benchmarks.machine import print_rows, write_rows
from cloze.text.prepare import Preparation
from cloze.text.report import load_report
from cloze.text.sentences import English
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece

FACTORS = (1, 4, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the rows go; else they are only printed")
    parser.add_argument("--megabytes", type=float, default=12, help="of the smallest corpus")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare is not None:
        print(json.dumps(_prepare(options.prepare)))
        return
    rows: list[dict[str, object]] = []
    smallest = 0.0
    for factor in FACTORS:
        with tempfile.TemporaryDirectory() as scratch:
            extract_books(Path(scratch) / "text", factor * options.megabytes)
            command = [sys.executable, "-m", "benchmarks.growth", "--prepare", scratch]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        speed = 1e3 * found["megabytes"] / found["processor_s"]
        smallest = smallest or speed
        rows.append(
            {
                "what": f"whole preparation, {factor} times the text, one core",
                "unit": "kB of text a second",
                "ours": speed,
                "peer": smallest,
                "peer_name": "the smallest size",
                "ratio": speed / smallest,
                **found,
            }
        )
        print_rows(rows[-1:])
    if options.json:
        write_rows(rows, options.json)


def _prepare(scratch: Path) -> dict[str, float]:
    """What it took to prepare the text below a folder, in this process."""
    begun = time.process_time()
    Preparation(
        source=TextFiles(files=f"{scratch}/text/**/*.md"),
        sentences=English(),
        tokenizer=WordPiece(vocab=str(DATA / "vocab/bert-base-uncased-vocab.txt")),
        workers=0,
    ).run(scratch / "corpus")
    seconds = time.process_time() - begun
    report = load_report(scratch / "corpus")
    return {
        "megabytes": report["text_megabytes"],
        "tokens": report["train"]["tokens"] + report["heldout"]["tokens"],
        "processor_s": seconds,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,  # Linux counts in KiB
    }


if __name__ == "__main__":
    main()
