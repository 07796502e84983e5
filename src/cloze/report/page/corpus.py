"""The training corpus in the report: the statistics of the preparation, if the corpus is available."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cloze.files.bounded import read_json
from cloze.report.page.run import Run, beside_run, section
from cloze.runtime.wording import counted
from cloze.text.quality.report import summary, threshold
from cloze.text.tokenizer import UNK

REPORT, MANIFEST = "report.json", "manifest.json"  # cloze.text.report and cloze.text.manifest write them


class RuleOfQuality(NamedTuple):
    """A rule that left something out.

    Attributes:
        name: of it.
        threshold: as the configuration has it.
        dropped: how many, with what they are: lines or documents.
        examples: (what was measured, where, the beginning of the text).
    """

    name: str
    threshold: str
    dropped: str
    examples: Sequence[tuple[str, str, str]]


class Corpus(NamedTuple):
    """For the page and the card.

    Attributes:
        folder: as the configuration has it.
        counts: rows of (what, in train, held out).
        facts: rows of (what, value).
        quality: a sentence on what the rules of quality dropped, and the rules; None where there are none.
        lengths: rows of (tokens a sentence, sentences).
        unigram_entropy: in nats, the loss of a model that knows only frequencies; None where it is not known.
    """

    folder: str
    counts: Sequence[tuple[str, int, int]] = ()
    facts: Sequence[tuple[str, str]] = ()
    quality: tuple[str, Sequence[RuleOfQuality]] | None = None
    lengths: Sequence[tuple[str, int]] = ()
    unigram_entropy: float | None = None

    @property
    def largest(self) -> int:
        """The highest bar of the lengths."""
        return max((count for _, count in self.lengths), default=1)


def read_corpora(run: Run) -> list[Corpus]:
    """Of a pre-training run, of a mixture one after the other; without counts where a folder is elsewhere."""
    parts = section(run.config, "corpus").get("parts")
    if isinstance(parts, list):
        named = [part.get("prepared") for part in parts if isinstance(part, Mapping)]
    else:
        named = [section(run.config, "data").get("folder")]
    return [_read_corpus(run, folder) for folder in named if isinstance(folder, str)]


def _read_corpus(run: Run, named: str) -> Corpus:
    folder = beside_run(run, named)
    if folder is None:
        return Corpus(named)
    report, manifest = _read(folder / REPORT), _read(folder / MANIFEST)
    train, heldout = (_totals(report, manifest, part) for part in ("train", "heldout"))
    names = [name for name in ("documents", "sentences", "tokens") if name in train and name in heldout]
    entropy = report.get("unigram_entropy", manifest.get("unigram_entropy"))
    return Corpus(
        named,
        counts=[(name, train[name], heldout[name]) for name in names],
        facts=_facts(report, manifest, entropy),
        quality=_quality(report.get("quality")),
        lengths=[(_range(entry), entry["sentences"]) for entry in report.get("sentence_lengths", [])],
        unigram_entropy=entropy,
    )


def _read(file: Path) -> dict[str, Any]:
    """Nothing for a file that is missing or of another making: a report does not stop for its data's."""
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _totals(report: Mapping[str, Any], manifest: Mapping[str, Any], part: str) -> dict[str, int]:
    if isinstance(report.get(part), dict):
        return dict(report[part])
    totals: dict[str, int] = {}
    for shard in manifest.get(part, []):
        for name in ("documents", "sentences", "tokens"):
            totals[name] = totals.get(name, 0) + shard[name]
    return totals


def _facts(report: Mapping[str, Any], manifest: Mapping[str, Any], entropy: float | None) -> list[tuple[str, str]]:
    facts = []
    if size := report.get("vocab_size", manifest.get("vocab_size")):
        unused = f", {report['unused_pieces']:,} never used" if "unused_pieces" in report else ""
        facts.append(("vocabulary", f"{counted(size, 'tokens')}{unused}"))
    if report.get("tokens_per_word") is not None:
        facts.append(("tokens a word", f"{report['tokens_per_word']:.3f}"))
    if "fertility" in report:
        facts.append(("tokens a word between blanks", f"{report['fertility']:.3f}"))
        facts.append(("characters a token", f"{report['characters_per_token']:.3f}"))
    if "unknown_rate" in report and (unknown := report.get("unknown_token", UNK)) is not None:
        facts.append((f"{unknown} among tokens", f"{report['unknown_rate']:.4%}"))
    characters = report.get("characters", {})
    if "altered" in characters:
        facts.append(
            ("characters altered by normalisation", f"{characters['altered'] / max(characters['all'], 1):.4%}")
        )
    if entropy is not None:
        facts.append(("entropy of single tokens", f"{entropy:.3f} nats: the loss of knowing only how frequent each is"))
    if duplicates := report.get("duplicates"):
        handled = "removed" if duplicates["removed"] else "kept"
        facts += [
            (f"duplicate {what}, {handled}", f"{duplicates[what]:,} of {duplicates[f'of_{what}']:,}")
            for what in ("documents", "lines")
        ]
    if near := report.get("near_duplicates"):
        handled = f"{near['documents']:,} dropped, {near['of_heldout']:,} of them near held-out documents"
        facts.append((f"near-duplicates from a similarity of {near['threshold']} on", handled))
    facts += [(str(name).replace("_", " "), f"{count:,}") for name, count in report.get("skipped", {}).items()]
    if "text_megabytes" in report:
        facts.append(("text", f"{report['text_megabytes']:,.1f} MB"))
    return facts


def _quality(found: Mapping[str, Any] | None) -> tuple[str, list[RuleOfQuality]] | None:
    if not found:
        return None
    rules = [
        RuleOfQuality(
            name=rule["rule"],
            threshold=threshold(rule["limit"]),
            dropped=counted(rule["dropped"], rule["drops"]),
            examples=[(str(each["value"]), each["origin"], each["text"]) for each in rule["examples"]],
        )
        for rule in found["rules"]
        if rule["dropped"]
    ]
    return summary(found), rules


def _range(entry: Mapping[str, Any]) -> str:
    return f"{entry['from']:,} and more" if entry["to"] is None else f"{entry['from']:,} to {entry['to']:,}"
