"""The report of a preparation, as JSON and as text."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text
from tokenizers import Tokenizer

from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.remote import Location
from cloze.text.bert_rules import UNK
from cloze.text.normalization import SHOWN, AlteredLetters, changes
from cloze.text.quality.report import quality_tables
from cloze.text.scripts import KEPT_FROM
from cloze.text.steps import LENGTH_BINS, ShardMeasure
from cloze.text.tokenizer_source import TokenizerSource

REPORT = "report.json"

EXCERPTS = 40
"""Of held-out documents, at most."""

LOST_FROM = 0.005
"""Share of the characters lost to [UNK] from which on it is a warning; a vocabulary of its own text loses 0.0005."""

_PAIRS_NOTE = (
    "warning: {:.1%} of the documents have one sentence, and next-sentence prediction learns nothing from these: train "
    "with objective=mlm, or with objective=mlm_sop, which leaves them out; or check how documents are separated "
    "(corpus.source.document_boundary=) and split into sentences (sentences=)"
)


def unigram_entropy(counts: np.ndarray) -> float:
    """Entropy in nats of the distribution that `counts` (V,) are in proportion to; 0 for no counts."""
    if not counts.any():
        return 0.0
    frequencies = counts[counts > 0] / counts.sum()
    return float(-(frequencies * np.log(frequencies)).sum()) + 0.0  # + 0.0: no minus zero


def corpus_statistics(
    train: Sequence[ShardMeasure],
    heldout: Sequence[ShardMeasure],
    continuation: np.ndarray | None,
    *,
    unknown: int | None,
    size: int,
) -> dict[str, Any]:
    """Statistics of the shards.

    Args:
        train: measures of the training shards.
        heldout: measures of the held-out shards.
        continuation: (V,) bool, the tokens that continue a word; None where the tokenizer has no words.
        unknown: id of the token for what the vocabulary does not know; None where there is none.
        size: of the vocabulary.

    Returns:
        JSON for the report. Words are what the pre-tokeniser splits: punctuation marks and Chinese characters count.
    """
    counts = _sum((measure.token_counts for measure in [*train, *heldout]), size)
    histogram = _sum((measure.sentence_lengths for measure in [*train, *heldout]), len(LENGTH_BINS) - 1)
    tokens = int(counts.sum())
    words = tokens if continuation is None else int(counts[~continuation].sum())
    return {
        "train": _totals(train),
        "heldout": _totals(heldout),
        "tokens_per_word": None if continuation is None else round(tokens / max(words, 1), 4),
        "unknown_rate": 0.0 if unknown is None else round(int(counts[unknown]) / max(tokens, 1), 6),
        "unused_pieces": int((counts == 0).sum()),
        "one_sentence_documents": sum(measure.one_sentence_documents for measure in [*train, *heldout]),
        "unigram_entropy": unigram_entropy(_sum((measure.token_counts for measure in train), size)),
        "sentence_lengths": [
            {"from": first, "to": last - 1 if last < LENGTH_BINS[-1] else None, "sentences": int(count)}
            for first, last, count in zip(LENGTH_BINS[:-1], LENGTH_BINS[1:], histogram, strict=True)
        ],
    }


def _sum(arrays: Iterable[np.ndarray], size: int) -> np.ndarray:
    total = np.zeros(size, np.int64)
    for array in arrays:
        total += array
    return total


def _totals(measures: Sequence[ShardMeasure]) -> dict[str, int]:
    names = ("documents", "sentences", "tokens")
    totals = {name: sum(getattr(measure.info, name) for measure in measures) for name in names}
    return {"shards": len(measures), **totals}


def text_statistics(records: Sequence[Mapping[str, Any]], tokenizer: Tokenizer) -> dict[str, Any]:
    """What the tokenizer makes of the text.

    Args:
        records: of the tasks that encoded.
        tokenizer: the one they used.

    Returns:
        JSON for the report: the `characters` that are not white space, and of them the "unknown" and the "overlong"
        (see `encoding.Lost`) and those that normalisation has "altered"; what becomes of the commonest of these
        (`altered`); tokens a word between blanks, which is called fertility (Rust et al. 2021); characters a token.
    """
    counted = ("all", "unknown", "overlong", "altered")
    characters = {key: sum(record["characters"].get(key, 0) for record in records) for key in counted}
    altered = sum((Counter(record.get("altered", {})) for record in records), Counter[str]())
    letters = AlteredLetters(tokenizer)
    tokens = sum(part["tokens"] for record in records for part in record["parts"])
    words = sum(record.get("words", 0) for record in records)
    return {
        "characters": characters,
        "altered": {letter: letters.normalized(letter) for letter, _ in altered.most_common(SHOWN)},
        "fertility": round(tokens / max(words, 1), 4),
        "characters_per_token": round(characters["all"] / max(tokens, 1), 4),
    }


def loss_warnings(
    found: Mapping[str, Any], source: TokenizerSource, longest_word: int, unknown: str | None
) -> list[str]:
    """What to say, and which key to set, where much of the text became unknown, or other letters than it has.

    Args:
        found: of `text_statistics`.
        source: where the tokenizer comes from.
        longest_word: characters of a word that the tokenizer reads.
        unknown: its token for what it does not know; None where there is none.
    """
    characters = found["characters"]
    total = max(characters["all"], 1)
    causes = []
    if characters["overlong"] >= LOST_FROM * total:
        causes.append(
            f"{characters['overlong'] / total:.1%} in words of more than {longest_word} characters (set "
            f"tokenizer.max_input_chars_per_word={10 * longest_word}, or put spaces between the words)"
        )
    if characters["unknown"] >= LOST_FROM * total:
        causes.append(
            f"{characters['unknown'] / total:.1%} in words with characters that have no token ({source.remedy()})"
        )
    lost = (characters["overlong"] + characters["unknown"]) / total
    warnings = (
        [f"warning: {lost:.1%} of the text's characters are lost to {unknown}: {', '.join(causes)}"] if causes else []
    )
    if (altered := characters["altered"] / total) >= KEPT_FROM:
        warnings.append(
            f"warning: normalisation alters {altered:.1%} of the text's characters ({changes(found['altered'])}): "
            f"{source.remedy_of_altered()}"
        )
    return warnings


def heldout_excerpts(records: Iterable[Mapping[str, Any]], heldout_below: int) -> list[list[str]]:
    """The beginnings of some held-out documents as they were written, for samples of what a model has learned.

    Args:
        records: of the tasks that encoded, with their `excerpts`, and whether they are held out as a whole.
        heldout_below: the bound of the held-out documents' hashes.
    """
    # A preparation that an earlier version began has no excerpts; a document that is there twice is listed once.
    found = {
        number: texts
        for record in records
        for number, texts in record.get("excerpts", ())
        if record["heldout"] or number < heldout_below
    }
    return [found[number] for number in sorted(found)][:EXCERPTS]


def heldout_warnings(count: int) -> list[str]:
    """What to say of documents of the training text that `heldout_files` have, too."""
    if not count:
        return []
    found, are, them = ("a document", "is", "it") if count == 1 else (f"{count:,} documents", "are", "them")
    return [f"warning: {found} of the training text {are} in corpus.heldout_files, too: training leaves {them} out"]


def save_report(report: Mapping[str, Any], folder: Location) -> None:
    write_atomically(folder / REPORT, json.dumps(report, indent=1, ensure_ascii=False).encode())


def load_report(folder: Location) -> dict[str, Any]:
    content: dict[str, Any] = read_json(folder / REPORT)
    return content


@cache
def print_warnings(folder: Location) -> None:
    """Prints the warnings of a corpus to standard error, once a process."""
    if (folder / REPORT).exists():
        for warning in load_report(folder).get("warnings", ()):  # corpora of earlier versions have none
            print(warning, file=sys.stderr)


def render_report(report: Mapping[str, Any]) -> Group:
    """The report as tables for a terminal."""
    corpus, train, heldout = Table(box=None, pad_edge=False), report["train"], report["heldout"]
    for header in ("", "train", "held out"):
        corpus.add_column(header, justify="left" if not header else "right")
    for name in ("shards", "documents", "sentences", "tokens"):
        corpus.add_row(name, f"{train[name]:,}", f"{heldout[name]:,}")
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column()
    facts.add_column(justify="right")
    duplicates = report["duplicates"]
    handled = "removed" if duplicates["removed"] else "kept"
    if report["tokens_per_word"] is not None:
        facts.add_row("tokens a word", f"{report['tokens_per_word']:.3f}")
    if "fertility" in report:
        facts.add_row("tokens a word between blanks", f"{report['fertility']:.3f}")
        facts.add_row("characters a token", f"{report['characters_per_token']:.3f}")
    unknown = report.get("unknown_token", UNK)  # corpora of earlier versions do not say, and have no characters
    if unknown is not None:
        facts.add_row(f"{unknown} among tokens", f"{report['unknown_rate']:.4%}")
    if characters := report.get("characters"):
        lost, total = characters["unknown"] + characters["overlong"], max(characters["all"], 1)
        if unknown is not None:
            facts.add_row(f"{unknown} among characters", f"{lost / total:.4%}")
            facts.add_row("of that in overlong words", f"{characters['overlong'] / total:.4%}")
        facts.add_row("altered by normalisation", f"{characters.get('altered', 0) / total:.4%}")
    if report.get("heldout_too"):
        facts.add_row("held-out documents in the training text, left out", f"{report['heldout_too']:,}")
    facts.add_row("vocabulary, never used", f"{report['vocab_size']:,}, {report['unused_pieces']:,}")
    single, documents = report.get("one_sentence_documents", 0), train["documents"] + heldout["documents"]
    facts.add_row("documents of one sentence", f"{single:,} of {documents:,}")
    facts.add_row("entropy of single tokens", f"{report['unigram_entropy']:.3f} nats")
    facts.add_row(f"duplicate documents ({handled})", f"{duplicates['documents']:,} of {duplicates['of_documents']:,}")
    facts.add_row(f"duplicate lines ({handled})", f"{duplicates['lines']:,} of {duplicates['of_lines']:,}")
    if near := report.get("near_duplicates"):
        facts.add_row(f"near-duplicates from {near['threshold']} on, dropped", f"{near['documents']:,}")
        facts.add_row("of that of held-out documents", f"{near['of_heldout']:,}")
    for name, count in report["skipped"].items():
        facts.add_row(name.replace("_", " "), f"{count:,}")
    timing = report["timing"]
    facts.add_row("text", f"{report['text_megabytes']:,.1f} MB")
    facts.add_row("time", f"{timing['seconds']:,.1f} s, {timing['megabytes_per_second']:,.2f} MB/s")
    notes = [Text(), Text(_PAIRS_NOTE.format(single / documents))] if single >= documents / 2 > 0 else []
    lengths = _histogram(report["sentence_lengths"])
    dropped = quality_tables(report.get("quality"))
    return Group(corpus, Text(), facts, *notes, *dropped, Text(), Text("tokens a sentence"), lengths)


def _histogram(bins: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_column(justify="right")
    largest = max(1, *(entry["sentences"] for entry in bins))
    for entry in bins:
        label = f"{entry['from']} and more" if entry["to"] is None else f"{entry['from']}-{entry['to']}"
        table.add_row(label, "#" * round(40 * entry["sentences"] / largest), f"{entry['sentences']:,}")
    return table
