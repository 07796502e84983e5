"""Every reader on damaged files: it reads, or raises InputError; it neither hangs nor allocates much.

    python -m tests.fuzz.readers READER EXAMPLES

A process of its own, so that memory can be bounded for all that allocates, Arrow, NumPy and torch included.
"""

import faulthandler
import json
import shutil
import sys
import tempfile
import traceback
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import HealthCheck, Phase, given, settings

from cloze.checkpoint.folder import read_folder
from cloze.checkpoint.google import write_google
from cloze.checkpoint.saves import CheckpointStore, read_checkpoint
from cloze.checkpoint.weights import read_json, read_weights
from cloze.data.extraction.partial import partial_features
from cloze.data.tables.formats import TableFormat
from cloze.data.tables.output import open_output
from cloze.data.tables.stream import stream_rows
from cloze.errors import InputError
from cloze.text.manifest import Manifest
from cloze.text.shards import read_shard, write_shard
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, load_tokenizer, save_tokenizer, vocabulary
from tests.fuzz.damage import bound_memory, damages, unbound_memory
from tests.tiny import save_tiny

SECONDS = 10
"""Of an example, on a machine that does other things, too."""

FLOOR = 128 << 20
"""Bytes that any example may allocate; the files have at most 100 KB."""

TIMES = 64
"""What Python may hold at once, as a multiple of the file's size."""


class Reader(NamedTuple):
    """What is fuzzed.

    Attributes:
        make: writes good files into a folder and names the one to be damaged.
        read: reads that folder.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


PIECES = [*SPECIAL_TOKENS, *"abcdefghij", *(f"##{c}" for c in "abcdefghij")]


def _tokenizer() -> Any:
    return build_tokenizer(PIECES)


def _shard(folder: Path) -> Path:
    documents = [(np.arange(20, dtype=np.uint16) % 9, np.array([5, 15], np.int32)) for _ in range(30)]
    write_shard(folder / "a.arrow", documents, 25)
    return folder / "a.arrow"


def _manifest(folder: Path) -> Path:
    content = {"tokenizer_sha256": "a", "vocab_size": 25, "config_sha256": "b", "config": {"a": 1}, "source": {}}
    info = [{"file": "a.arrow", "documents": 1, "sentences": 2, "tokens": 3}]
    content |= {"format": 1, "train": info, "heldout": info, "unigram_entropy": 1.5}
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    return folder / "manifest.json"


def _tokenizer_file(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        save_tokenizer(_tokenizer(), folder)
        if name != "tokenizer.json":
            (folder / "tokenizer.json").unlink()
        return folder / name

    return make


def _use_tokenizer(folder: Path) -> object:
    tokenizer = load_tokenizer(folder)
    return vocabulary(tokenizer), tokenizer.encode("a bad cab, faced").ids


def _model(folder: Path) -> Path:
    return save_tiny(folder / "model", PIECES, hidden_size=8, num_hidden_layers=1, intermediate_size=8)


def _safetensors(folder: Path) -> Path:
    return _model(folder) / "model.safetensors"


def _config(folder: Path) -> Path:
    return _model(folder) / "config.json"


def _pickled(folder: Path) -> Path:
    model = _model(folder)
    tensors, file = read_weights(model)
    file.unlink()
    torch.save(tensors, model / "pytorch_model.bin")
    return model / "pytorch_model.bin"


def _sharded(folder: Path) -> Path:
    model = _model(folder)
    tensors, file = read_weights(model)
    file.rename(model / "model-1.safetensors")
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(tensors, "model-1.safetensors")}), encoding="utf-8")
    return index


def _google(part: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        model = _model(folder)
        tensors, _ = read_weights(model)
        config = read_json(model / "config.json")
        shutil.rmtree(model)
        write_google(model, config, tensors, vocabulary(_tokenizer()), lowercase=True)
        return next(model.glob(part))

    return make


def _state() -> dict[str, Any]:
    return {
        "global_step": 3,
        "state_dict": {"a": torch.arange(100.0), "b": torch.ones(3, 4)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(100)}}, "param_groups": [{"lr": 0.1}]}],
        "loops": {"a": {"b": 1}},
    }


def _checkpoint(folder: Path) -> Path:
    return CheckpointStore(folder).write(_state(), 3)


def _saves(folder: Path) -> Path:
    for step in (1, 2, 3):
        CheckpointStore(folder).write(_state(), step)
    return folder / "index.json"


def _journal(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with partial_features(folder / "out.npy") as found:
            found.begin({"model": "a", "layers": [1, 2]})
            found.add(0, {"texts": 9, "tokens": 30, "next_row": 10, "left_out": {"odd": 1}, "notes": {}})
            found.end({"overlong lines": 2})
        return folder / "out.npy.unfinished" / name

    return make


def _use_journal(folder: Path) -> object:
    with partial_features(folder / "out.npy") as found:
        found.begin({"model": "a", "layers": [1, 2]})
        return found.parts(), found.left_out() if found.at_end else None


def _predictions(folder: Path) -> Path:
    output = open_output(str(folder / "out.jsonl"), {}, {"input": "a.txt"})
    with output:
        output.write([{"a": 1}, {"a": 2}], 2)
        content = (folder / "out.jsonl.partial.json").read_bytes()
        partial = (folder / "out.jsonl.partial").read_bytes()
    (folder / "out.jsonl").unlink()
    (folder / "out.jsonl.partial").write_bytes(partial)
    (folder / "out.jsonl.partial.json").write_bytes(content)
    return folder / "out.jsonl.partial.json"


def _use_predictions(folder: Path) -> object:
    with open_output(str(folder / "out.jsonl"), {}, {"input": "a.txt"}) as output:
        return output.done


def _input(suffix: str) -> Callable[[Path], Path]:
    rows = [{"text": f"text {number}", "label": number % 2} for number in range(200)]

    def make(folder: Path) -> Path:
        file = folder / f"in{suffix}"
        if suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        elif suffix == ".json":
            file.write_text(json.dumps({"version": 1, "data": rows}), encoding="utf-8")
        elif suffix == ".jsonl":
            file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        else:
            file.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows), "utf-8")
        return file

    return make


def _use_input(suffix: str) -> Callable[[Path], object]:
    return lambda folder: list(stream_rows(str(folder / f"in{suffix}"), TableFormat()))


def _use_model(folder: Path) -> object:
    return read_folder(folder / "model").state(required="")


def _use_saves(folder: Path) -> object:
    saves = CheckpointStore(folder)
    return saves.best_good(lambda _: None), saves.newest_good(lambda _: None)


READERS = {
    "shard": Reader(_shard, lambda folder: read_shard(folder / "a.arrow")),
    "manifest": Reader(_manifest, Manifest.load),
    "tokenizer": Reader(_tokenizer_file("tokenizer.json"), _use_tokenizer),
    "vocabulary": Reader(_tokenizer_file("vocab.txt"), _use_tokenizer),
    "tokenizer_config": Reader(_tokenizer_file("tokenizer_config.json"), _use_tokenizer),
    "safetensors": Reader(_safetensors, _use_model),
    "config": Reader(_config, _use_model),
    "pytorch_model.bin": Reader(_pickled, _use_model),
    "weights_index": Reader(_sharded, _use_model),
    "bundle_index": Reader(_google("*.index"), _use_model),
    "bundle_data": Reader(_google("*.data-*"), _use_model),
    "bundle_config": Reader(_google("bert_config.json"), _use_model),
    "checkpoint": Reader(_checkpoint, lambda folder: read_checkpoint(folder / "step-00000003.ckpt")),
    "checkpoints_index": Reader(_saves, _use_saves),
    "features_plan": Reader(_journal("plan.json"), _use_journal),
    "features_part": Reader(_journal("part-00000.json"), _use_journal),
    "features_end": Reader(_journal("end.json"), _use_journal),
    "predictions_journal": Reader(_predictions, _use_predictions),
    "parquet": Reader(_input(".parquet"), _use_input(".parquet")),
    "jsonl": Reader(_input(".jsonl"), _use_input(".jsonl")),
    "json": Reader(_input(".json"), _use_input(".json")),
    "csv": Reader(_input(".csv"), _use_input(".csv")),
}


def fuzz(reader: Reader, examples: int) -> dict[str, int]:
    """Read damaged files; returns how many were read and how many refused."""
    counts = {"read": 0, "refused": 0}
    unbound_memory()
    with tempfile.TemporaryDirectory() as home:
        good = Path(home, "good")
        good.mkdir()
        damaged = reader.make(good).relative_to(good)
        content = (good / damaged).read_bytes()
        reader.read(good)  # what is imported late shall not count
        shutil.rmtree(good)
        good.mkdir()
        reader.make(good)

        @settings(max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(damages(content))
        def example(data: bytes) -> None:
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            folder = Path(home, "bad")
            shutil.copytree(good, folder)
            (folder / damaged).write_bytes(data)
            tracemalloc.start()
            bound_memory(FLOOR)
            try:
                reader.read(folder)
                counts["read"] += 1
            except InputError:
                counts["refused"] += 1
            finally:
                unbound_memory()
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                faulthandler.cancel_dump_traceback_later()
                shutil.rmtree(folder)
            assert peak <= TIMES * len(data) + (4 << 20), f"{peak:,} bytes for a file of {len(data):,}"

        example()
    return counts


def main(names: list[str], examples: int) -> None:
    """A line for each reader, with what went wrong if anything did."""
    for name in names:
        try:
            found: dict[str, Any] = dict(fuzz(READERS[name], examples))
        except Exception:
            unbound_memory()
            found = {"failed": traceback.format_exc()}
        print(json.dumps({"reader": name, **found}), flush=True)


if __name__ == "__main__":
    main(list(READERS) if sys.argv[1] == "all" else sys.argv[1].split(","), int(sys.argv[2]))
