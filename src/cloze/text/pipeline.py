"""The steps of a preparation, in order.

```
units of the source -> parts (workers) -> duplicates -> train shards, held-out pieces (workers) -> held-out shards
                    -> report -> manifest, last, by rename
```
How work is split depends on the input and the configuration alone: any number of workers writes the same bytes. Every
step leaves whole files and then its record in ``unfinished/``, so that a preparation killed at any moment resumes with
what is missing. Memory is bounded by the sizes of tasks, parts and shards, whatever the size of the corpus.
"""

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
from tokenizers import Tokenizer

from cloze.errors import InputError
from cloze.files.partial_output import DamagedError
from cloze.files.remote import Location, RemotePath
from cloze.text.documents import Source
from cloze.text.journal import Journal
from cloze.text.manifest import Manifest, sha256
from cloze.text.pool import Engine, Pool, WorkerKilledError, WorkerPool, default_workers
from cloze.text.progress import ReportsProgress
from cloze.text.quality.report import check_left, quality_report, quality_warnings
from cloze.text.repeated import find_repeated
from cloze.text.report import (
    corpus_statistics,
    heldout_excerpts,
    heldout_warnings,
    loss_warnings,
    print_warnings,
    save_report,
    text_statistics,
)
from cloze.text.sample import Reading, SampleTask, Sampling, dropped_from, read_sample, train_on_samples
from cloze.text.settings import PreparationSettings
from cloze.text.shards import read_shard
from cloze.text.special_tokens import unknown_token
from cloze.text.steps import (
    Cutting,
    CuttingTask,
    Encoding,
    EncodingTask,
    MergingTask,
    PlacedPart,
    ShardMeasure,
    cut_shard,
    encode_units,
    even_groups,
    heldout_piece,
    measure_shard,
    merge_heldout,
)
from cloze.text.tokenizer import (
    load_tokenizer,
    save_tokenizer,
    tokenizer_sha256,
    vocabulary,
)
from cloze.text.tokenizer_files import WHOLE
from cloze.text.tokenizer_source import Learned
from cloze.text.word_boundaries import continues_word

SAMPLED_TASKS = 16
"""A vocabulary is trained on at least this many places of the corpus, however large each is."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class Pipeline:
    """One call of a preparation: the steps in order, each skipped as far as it is on record."""

    def __init__(
        self,
        preparation: PreparationSettings,
        journal: Journal,
        config: dict[str, Any],
        fingerprint: dict[str, Any],
        progress: ReportsProgress,
        engine: Engine,
    ) -> None:
        self.preparation, self.journal, self.progress, self.engine = preparation, journal, progress, engine
        self.config, self.fingerprint = config, fingerprint
        self.folder, self.work = journal.output, journal.work
        self.workers = default_workers() if preparation.workers is None else preparation.workers
        self.begun = time.monotonic()
        self.bytes_now = 0  # of text, encoded by this call

    def run(self) -> Manifest:
        self.resumed = self.journal.begin(self.journal.plan(self.config, self.fingerprint))
        try:
            return self._steps()
        except (WorkerKilledError, DamagedError):
            raise
        except InputError:  # once that is fixed the input is another, and nothing of this could be used
            self.journal.discard()
            raise

    def _steps(self) -> Manifest:
        tasks = self._tasks()
        tokenizer = self._tokenizer([task for task in tasks if not task.heldout])
        with self.engine.pool(self.workers, self.folder) as self.pool:
            records = self._encode(tasks, tokenizer)
            parts, heldout = (_parts(records, heldout=which) for which in (False, True))
            summary = find_repeated(self.preparation, self.journal, parts, heldout, self.progress, self._run)
            cutting = Cutting(
                folder=self.folder,
                vocab_size=tokenizer.get_vocab_size(),
                remove_duplicates=self.preparation.duplicates == "remove",
                heldout_below=summary["heldout_below"],
                heldout_parts=[part["file"] for part in heldout],
                drop_near_duplicates=summary.get("near") is not None,
            )
            self._cut(records, cutting)
            return self._finish(records, summary, tokenizer)

    def _tasks(self) -> list[EncodingTask]:
        """The pieces of the training text, then those of what is held out as a whole."""
        tasks: list[EncodingTask] = []
        for source, heldout in ((self.preparation.training_source, False), (self.preparation.heldout_source, True)):
            units = [] if source is None else source.units()
            groups = even_groups([unit.bytes for unit in units], math.ceil(self.preparation.task_megabytes * 1e6))
            pieces = [units[group.start : group.stop] for group in groups]
            tasks += [EncodingTask(number, piece, heldout) for number, piece in enumerate(pieces, start=len(tasks))]
        return tasks

    def _map(
        self, step: str, function: Callable[[Task], Result], tasks: list[Task], pool: Pool | None = None
    ) -> Iterator[Result]:
        self.progress(step, 0, len(tasks))
        for done, result in enumerate((pool or self.pool).map(function, tasks), start=1):
            yield result
            self.progress(step, done, len(tasks))

    def _run(self, step: str, function: Callable[[Task], object], tasks: list[Task]) -> None:
        for _ in self._map(step, function, tasks):
            pass

    def _tokenizer(self, tasks: list[EncodingTask]) -> Tokenizer:
        """The tokenizer of the folder; made from the given vocabulary, or trained, if it is not there yet."""
        folder = self.folder / "tokenizer"
        if (folder / "tokenizer.json").exists():
            return load_tokenizer(folder)
        source = self.preparation.tokenizer
        if source.is_given:
            found = source.given()
            notes = source.notes(found)
        else:
            found, _, notes = self._train_vocabulary(tasks)
        for note in notes:
            print(note, file=sys.stderr)
        with self.journal.scratch() as scratch:
            save_tokenizer(found.tokenizer, scratch / "tokenizer", found.files)
            if isinstance(folder, RemotePath):
                names = {file.name for file in (scratch / "tokenizer").iterdir()}
                for name in (*sorted(names - {WHOLE}), WHOLE):  # the last says that all stand
                    (folder / name).write((scratch / "tokenizer" / name).read_bytes())
            else:
                (scratch / "tokenizer").rename(folder)
        return load_tokenizer(folder)

    def _train_vocabulary(self, tasks: list[EncodingTask]) -> Learned:
        """Trains on the beginnings of evenly spaced pieces of the corpus, in order."""
        total = sum(unit.bytes for task in tasks for unit in task.units)
        budget = int(self.preparation.tokenizer.sample_megabytes * 1e6)
        share = min(1.0, budget / max(total, 1))
        count = min(len(tasks), max(SAMPLED_TASKS, math.ceil(len(tasks) * share)))
        chosen = [tasks[index * len(tasks) // count] for index in range(count)]
        most = budget if share == 1 else budget // count  # where all fits, nothing is truncated
        reading = self._reading(self.preparation.training_source)
        assert reading is not None
        samples = [SampleTask(task.number, task.units, most) for task in chosen]
        with self.engine.pool(self.workers, self.folder) as pool:
            read = partial(read_sample, Sampling(reading=reading, work=self.work))
            paths = sorted(self._map("reading for the vocabulary", read, samples, pool), key=str)
        dropped = ((False, dropped_from(path)) for path in paths)
        check_left(quality_report(self.preparation.quality.limits(), dropped))
        with WorkerPool(min(self.workers, 1)) as pool:  # a process of its own, whose memory ends with it
            train = partial(train_on_samples, self.preparation.tokenizer, self.preparation.sentences)
            (trained,) = self._map("training the vocabulary", train, [paths], pool)
        return trained

    def _reading(self, source: Source | None) -> Reading | None:
        rules, sentences = self.preparation.quality, self.preparation.sentences
        return None if source is None else Reading(source=source, quality=rules, sentences=sentences)

    def _encode(self, tasks: list[EncodingTask], tokenizer: Tokenizer) -> list[dict[str, Any]]:
        common = Encoding(
            training=self._reading(self.preparation.training_source),
            heldout=self._reading(self.preparation.heldout_source),
            sentences=self.preparation.sentences,
            folder=self.folder,
            tokenizer_sha256=tokenizer_sha256(tokenizer),
            words=self.preparation.words,
            near_duplicates=self.preparation.near_duplicates,
            shingle=self.preparation.shingle,
        )
        missing = [task for task in tasks if not self.journal.record_file(task.step).exists()]
        for record in self._map("encoding", partial(encode_units, common), missing):
            self.bytes_now += record["text_bytes"]
        kinds = {"parts": list, "text_bytes": int, "characters": Counter, "counts": Counter}
        records = [{**(self.journal.recorded(task.step, **kinds) or {}), "heldout": task.heldout} for task in tasks]
        self.quality = quality_report(self.preparation.quality.limits(), self._dropped(tasks))
        for heldout, key in ((False, "corpus.files"), (True, "corpus.heldout_files")):
            if any(task.heldout == heldout for task in tasks) and not _parts(records, heldout=heldout):
                name = "the held-out text" if heldout else "the corpus"
                check_left(self.quality, heldout=heldout)
                raise InputError(
                    f"{self.preparation.source.name}: {name} is empty, none of its documents holds a word; "
                    f"check {key} and how documents are read"
                )
        return records

    def _dropped(self, tasks: list[EncodingTask]) -> Iterator[tuple[bool, dict[str, Any]]]:
        """What the rules of quality dropped in each task, and whether that is held out as a whole."""
        for task in tasks:
            if (found := self.journal.recorded(task.dropping, documents=int, counts=Counter)) is not None:
                yield task.heldout, found

    def _cut(self, records: list[dict[str, Any]], common: Cutting) -> None:
        """Training shards of consecutive parts, then held-out shards of consecutive pieces."""
        parts = _parts(records, heldout=False)
        first_lines = np.cumsum([0, *(part["lines"] for part in parts)])[:-1].tolist()
        whole = sum(part["documents"] for part in _parts(records, heldout=True))
        first_documents = np.cumsum([whole, *(part["documents"] for part in parts)])[:-1].tolist()
        files = [part["file"] for part in parts]
        placed = list(map(PlacedPart, files, first_lines, first_documents))
        groups = even_groups([part["tokens"] for part in parts], self.preparation.shard_tokens)
        tasks = [CuttingTask(index, placed[group.start : group.stop]) for index, group in enumerate(groups)]
        held_out = [PlacedPart(file, 0, 0) for file in common.heldout_parts]
        tasks += [CuttingTask(index, [part], heldout=True) for index, part in enumerate(held_out, start=len(tasks))]
        self._run("writing shards", partial(cut_shard, common), tasks)

        pieces = [heldout_piece(self.folder, task.number) for task in tasks]
        tokens = [len(read_shard(piece).tokens) for piece in pieces]
        kept = [piece for piece, size in zip(pieces, tokens, strict=True) if size]
        groups = even_groups([size for size in tokens if size], self.preparation.shard_tokens)
        merging = [MergingTask(index, kept[group.start : group.stop]) for index, group in enumerate(groups)]
        self._run("merging held-out text", partial(merge_heldout, common), merging)

    def _finish(self, records: list[dict[str, Any]], summary: dict[str, Any], tokenizer: Tokenizer) -> Manifest:
        """Measures the shards, then writes the report and, last of all, the manifest."""
        train_files: list[Location] = sorted(self.folder.glob("train-*.arrow"), key=str)
        heldout_files: list[Location] = sorted(self.folder.glob("heldout-*.arrow"), key=str)
        measure: Callable[[Any], ShardMeasure] = partial(measure_shard, tokenizer.get_vocab_size())
        measured: dict[str, ShardMeasure] = {}
        for found in self._map("measuring shards", measure, train_files + heldout_files):
            measured[found.info.file] = found
        train = [measured[path.name] for path in train_files]
        heldout = [measured[path.name] for path in heldout_files]
        vocab = vocabulary(tokenizer)
        unknown_name, unknown = unknown_token(tokenizer) or (None, None)
        statistics = corpus_statistics(train, heldout, continues_word(tokenizer), unknown=unknown, size=len(vocab))
        seconds = time.monotonic() - self.begun
        skipped = sum((Counter(record["counts"]) for record in records), Counter[str]())
        of_text = text_statistics(records, tokenizer)
        longest_word = getattr(tokenizer.model, "max_input_chars_per_word", 0)
        report = {
            **statistics,
            **of_text,
            "warnings": [
                *loss_warnings(of_text, self.preparation.tokenizer, longest_word, unknown_name),
                *heldout_warnings(summary.get("heldout_too", 0)),
                *quality_warnings(self.quality),
            ],
            "vocab_size": len(vocab),
            "unknown_token": unknown_name,
            "duplicates": {key: value for key, value in summary.items() if not key.startswith(("heldout", "near"))},
            "near_duplicates": summary.get("near"),
            "skipped": {"undecodable_lines": 0, **skipped},
            "quality": self.quality,
            "heldout_excerpts": heldout_excerpts(records, summary["heldout_below"]),
            "heldout_too": summary.get("heldout_too", 0),
            "text_megabytes": sum(record["text_bytes"] for record in records) / 1e6,
            "timing": {
                "seconds": round(seconds, 2),
                "megabytes_per_second": round(self.bytes_now / 1e6 / seconds, 3),
                "resumed": self.resumed,
            },
        }
        save_report(report, self.folder)
        print_warnings(self.folder)
        manifest = Manifest(
            tokenizer_sha256=tokenizer_sha256(tokenizer),
            vocab_size=len(vocab),
            config_sha256=sha256(self.config),
            config=self.config,
            source=self.fingerprint,
            train=tuple(measure.info for measure in train),
            heldout=tuple(measure.info for measure in heldout),
            unigram_entropy=statistics["unigram_entropy"],
        )
        manifest.save(self.folder)
        return manifest


def _parts(records: list[dict[str, Any]], *, heldout: bool) -> list[dict[str, Any]]:
    """The parts of the training text, or of what is held out as a whole."""
    return [part for record in records if record["heldout"] == heldout for part in record["parts"]]
