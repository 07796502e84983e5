"""What a batch beyond the memory costs: GradCache against batches of the size of a chunk.

    python -m benchmarks.embeddings.chunks --json FILE

A batch of 4,096 pairs of Tatoeba in chunks, which are embedded twice, and the same texts in batches of 128 pairs, which
have 127 negatives instead of 4,095 and are embedded once. Both by ``finetune.py`` with one thread.
"""

import argparse
from pathlib import Path

from benchmarks.embeddings.__main__ import REPOSITORY, SETTINGS, measured, prepared
from benchmarks.machine import print_rows, write_rows

LARGE, STEPS = 4096, 3


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunk-tokens", type=int, default=4096)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs/bench/chunks")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "runs/bench/chunks.json")
    given = parser.parse_args()
    setting = {**SETTINGS["tatoeba"]._asdict(), "seed": 1, "encoding": False}
    small = setting["batch_size"]
    folder = prepared("tatoeba", given.work.absolute(), STEPS * LARGE // small)
    speed = {}
    for size, steps, tokens in ((LARGE, STEPS, given.chunk_tokens), (small, STEPS * LARGE // small, 65536)):
        words = [f"hardware.micro_batch_tokens={tokens}"]
        speed[size] = measured("ours", folder, 1, {**setting, "batch_size": size, "steps": steps, "overrides": words})
    ours, plain = (speed[size]["train"] for size in (LARGE, small))
    row = {
        "what": f"batch of {LARGE:,} pairs in chunks, Tatoeba",
        "ours": ours,
        "peer": plain,
        "ratio": ours / plain,
        "unit": "texts/s",
        "peer_name": f"ours, batches of {small}",
        "time of plain batches": f"{plain / ours:.2f}",
        "tokens of a chunk": given.chunk_tokens,
    }
    print_rows([row])
    write_rows([row], given.json)


if __name__ == "__main__":
    main()
