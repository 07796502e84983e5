"""What the rules of quality dropped, for the report of a corpus."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cloze.errors import InputError
from cloze.runtime.wording import counted
from cloze.text.quality.dropped import Dropped
from cloze.text.quality.rules import LINE_RULES

MANY = 0.5
"""Share of the documents from which on what is dropped is a warning: rules for another language do that."""

SHOWN_EXAMPLES = 2
"""Of each rule, on a terminal; the report has all."""

SHOWN_CHARACTERS = 100


def quality_report(limits: Mapping[str, Any], found: Iterable[tuple[bool, Mapping[str, Any]]]) -> dict[str, Any] | None:
    """JSON for the report; None where there are no rules.

    Args:
        limits: thresholds by rule.
        found: what each task dropped, and whether its documents are held out as a whole.

    Returns:
        How many ``documents`` were judged and how many of them ``dropped``, and how many of each are of
        `heldout_files`; how many had no line left; for each rule its threshold, what it dropped, and examples.
    """
    if not limits:
        return None
    dropped = {False: Dropped(), True: Dropped()}
    for is_heldout, content in found:
        dropped[is_heldout].update(Dropped.from_json(content))
    whole = {"documents": dropped[True].documents, "dropped": dropped[True].dropped_documents}
    every = dropped[False]
    every.update(dropped[True])
    rules = [
        {
            "rule": rule,
            "limit": limit,
            "drops": "lines" if rule in LINE_RULES else "documents",
            "dropped": every.counts[rule],
            "examples": [example._asdict() for example in every.examples.get(rule, ())],
        }
        for rule, limit in limits.items()
    ]
    return {
        "documents": every.documents,
        "dropped": every.dropped_documents,
        "without_lines": every.without_lines,
        "heldout": whole,
        "rules": rules,
    }


def check_left(found: Mapping[str, Any] | None, *, heldout: bool = False) -> None:
    """Refuse rules that have dropped all of a text.

    Args:
        found: of `quality_report`.
        heldout: whether it is the text that is held out as a whole.

    Raises:
        InputError: they have.
    """
    if not found:
        return
    documents, dropped = (
        found["heldout"][key] if heldout else found[key] - found["heldout"][key] for key in ("documents", "dropped")
    )
    if documents == dropped > 0:
        most = _most(found)
        raise InputError(
            f"{'the held-out text' if heldout else 'the corpus'} is empty: the rules of quality= drop all of its "
            f"documents, {most['dropped']:,} {most['drops']} by quality.{most['rule']}={most['limit']}; set that to "
            "null, or choose other rules"
        )


def _most(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rule that drops most."""
    return max(found["rules"], key=lambda rule: int(rule["dropped"]))


def quality_warnings(found: Mapping[str, Any] | None) -> list[str]:
    """What to say where much of the text is dropped."""
    if not found or found["dropped"] < MANY * found["documents"]:
        return []
    most = _most(found)
    text = (
        f"warning: the rules of quality= drop {found['dropped'] / found['documents']:.0%} of the documents, most by "
        f"quality.{most['rule']}={most['limit']}: look at the examples in the report, and set what is wrong to null"
    )
    return [text]


def quality_tables(found: Mapping[str, Any] | None) -> list[RenderableType]:
    """Counts and some examples for a terminal; nothing where there are no rules."""
    if not found:
        return []
    table = Table(box=None, pad_edge=False)
    for header in ("rule of quality", "threshold", "dropped"):
        table.add_column(header, justify="right" if header == "dropped" else "left", overflow="fold")
    breaking = [rule for rule in found["rules"] if rule["dropped"]]
    for rule in breaking:
        table.add_row(rule["rule"], threshold(rule["limit"]), counted(rule["dropped"], rule["drops"]))
    examples = [
        Text(f"{rule['rule']}, {example['value']}: {_beginning(example['text'])}", no_wrap=True, overflow="ellipsis")
        for rule in breaking
        for example in rule["examples"][:SHOWN_EXAMPLES]
    ]
    shown: list[RenderableType] = (
        [Text(), table, Text(), Text("some of what was dropped"), *examples] if breaking else []
    )
    return [Text(), Text(summary(found)), *shown]


def summary(found: Mapping[str, Any]) -> str:
    """One sentence on all rules together."""
    text = f"The rules of quality drop {found['dropped']:,} of {found['documents']:,} documents"
    details = []
    if unbroken := sum(not rule["dropped"] for rule in found["rules"]):
        details.append(f"{unbroken} of {len(found['rules'])} rules drop nothing")
    if found["without_lines"]:
        details.append(f"{found['without_lines']:,} without a line left")
    if found["heldout"]["documents"]:
        details.append(f"{found['heldout']['dropped']:,} of {found['heldout']['documents']:,} in corpus.heldout_files")
    return text + (f" ({', '.join(details)})" if details else "")


def threshold(limit: object) -> str:
    """As the configuration has it."""
    return ", ".join(map(str, limit)) if isinstance(limit, list) else str(limit)


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "…"
