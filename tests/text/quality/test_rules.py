"""Each rule drops what breaks it and nothing else; what is dropped is counted, with examples."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloze.config.arguments import conf_folder
from cloze.errors import InputError
from cloze.text.documents import Document
from cloze.text.quality.dropped import EXAMPLES, LONGEST_EXAMPLE, Dropped
from cloze.text.quality.judge import kept_documents
from cloze.text.quality.rules import LINE_RULES, QualityRules
from cloze.text.sentences import English, Lines

GOOD = [
    "The river that runs through the old town has two bridges.",
    "One of them was built by monks with stones of a ruined castle.",
]
PROSE = [
    *GOOD,
    "People who come to see the castle sleep in the inn by the upper bridge, which has been there for ages.",
    "Most of them leave again on the next morning, when the boat that brings the post goes back to the coast.",
]
BAD: Mapping[str, tuple[Any, list[str]]] = {
    "min_words": (3, ["two words"]),
    "max_words": (30, ["one more word " * 11]),
    "min_sentences": (2, ["One sentence alone."]),
    "forbidden": (["lorem ipsum", "{"], ["It begins with Lorem Ipsum, as a page without a text does."]),
    "min_mean_word_length": (3, ["a b c d e f g"]),
    "max_mean_word_length": (10, ["incomprehensibilities counterrevolutionaries"]),
    "max_symbols_per_word": (0.1, ["the # of the # is one of them"]),
    "max_bullet_lines": (0.9, ["• the one", "• the other", "- and a third"]),
    "max_ellipsis_lines": (0.3, ["read more of that ...", "all of this is here.", "and of the others…"]),
    "min_alphabetic_words": (0.8, ["12 34 56 of 78 90"]),
    "min_stop_words": (2, ["Le fleuve traverse la vieille ville."]),
    "max_duplicate_lines": (0.3, ["a line", "another line which is long", "a line"]),
    "max_duplicate_line_characters": (0.2, ["a long line", "a short one", "another", "a long line"]),
    "max_top_ngrams": ([0.2], ["buy now " * 8]),
    "max_duplicate_ngrams": ([0.15], ["one two three four five six one two three four five"]),
    "languages": (["en"], ["Der Fluss fließt durch die alte Stadt, und zwei Brücken führen über ihn."]),
    "min_language_confidence": (0.9, ["the one"]),
}
BAD_LINES: Mapping[str, tuple[Any, str]] = {
    "line_endings": ([".", "!"], "Home | About | Contact"),
    "min_line_words": (3, "Read more."),
    "forbidden_in_lines": (["javascript"], "Please enable JavaScript to read this page."),
}


def judge(rules: QualityRules, *documents: list[str]) -> tuple[list[list[str]], Dropped]:
    dropped = Dropped()
    found = [Document(lines, f"file, byte {number}") for number, lines in enumerate(documents)]
    return [document.lines for document in kept_documents(found, rules, English(), dropped)], dropped


@pytest.mark.parametrize("rule", BAD)
def test_a_rule_drops_the_document_that_breaks_it_and_no_other(rule: str) -> None:
    limit, bad = BAD[rule]
    languages = {"languages": ["en"]} if rule == "min_language_confidence" else {}
    rules = QualityRules(**{rule: limit, **languages})
    kept, dropped = judge(rules, GOOD, bad)
    assert kept == [GOOD]
    (name,) = dropped.counts
    assert name.partition(" (")[0] == rule
    assert dropped.dropped_documents == dropped.counts[name] == 1
    (example,) = dropped.examples[name]
    assert (example.origin, example.text) == ("file, byte 1", "\n".join(bad))
    assert set(rules.limits()) == {name, *languages}
    assert judge(QualityRules(), GOOD, bad)[0] == [GOOD, bad]


@pytest.mark.parametrize("rule", BAD_LINES)
def test_a_rule_on_lines_drops_the_line_alone(rule: str) -> None:
    limit, bad = BAD_LINES[rule]
    kept, dropped = judge(QualityRules(**{rule: limit}), GOOD, [GOOD[0], bad, GOOD[1]], [bad])
    assert kept == [GOOD, GOOD]
    assert dropped.counts == {rule: 2}
    assert dropped.dropped_documents == dropped.without_lines == 1
    assert [example.text for example in dropped.examples[rule]] == [bad]  # equal ones are shown once


def test_every_rule_is_tested() -> None:
    assert {*BAD, *BAD_LINES} == {name for name in QualityRules.__dataclass_fields__ if name != "stop_words"}
    assert set(BAD_LINES) == set(LINE_RULES)


def test_a_document_counts_for_the_first_rule_that_it_breaks() -> None:
    _, dropped = judge(QualityRules(min_words=5, min_stop_words=2, line_endings=["."]), ["x y z."], ["x"])
    assert dropped.counts == {"min_words": 1, "line_endings": 1}


@pytest.mark.parametrize("option", ["gopher", "c4", "repetition"])
def test_the_published_rules_keep_prose_and_drop_what_they_name(option: str) -> None:
    content = yaml.safe_load((conf_folder() / f"quality/{option}.yaml").read_text(encoding="utf-8"))
    assert content.pop("_target_") == f"{QualityRules.__module__}.{QualityRules.__qualname__}"
    kept, dropped = judge(QualityRules(**content), PROSE, ["Buy now."] * 30)
    assert kept == [PROSE], dropped.as_json()


@given(texts=st.lists(st.integers(0, 60).map(str), max_size=80), cut=st.integers(0, 80))
def test_examples_do_not_depend_on_how_the_work_is_split(texts: list[str], cut: int) -> None:
    def of(some: list[str]) -> Dropped:
        dropped = Dropped()
        list(kept_documents([Document([text], "here") for text in some], QualityRules(min_words=2), Lines(), dropped))
        return Dropped.from_json(dropped.as_json())

    whole, parts = of(texts), of(texts[:cut])
    parts.update(of(texts[cut:]))
    assert parts.as_json() == whole.as_json()
    assert len(whole.examples.get("min_words", ())) == min(EXAMPLES, len(set(texts)))


def test_examples_are_bounded() -> None:
    _, dropped = judge(QualityRules(max_words=1), ["word " * 1000])
    assert len(dropped.examples["max_words"][0].text) == LONGEST_EXAMPLE + 1


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_words": -1}, "quality.min_words=-1: expected a number that is not negative"),
        ({"max_bullet_lines": 90}, "quality.max_bullet_lines=90: expected a share, from 0 to 1"),
        ({"max_top_ngrams": [0.2, 18]}, "quality.max_top_ngrams=.*: expected a share"),
        ({"min_words": 9, "max_words": 8}, "quality.min_words=9 is above quality.max_words=8"),
        ({"forbidden": []}, "quality.forbidden=.*: expected a list with at least one entry"),
        ({"forbidden": [""]}, "quality.forbidden: has an empty entry"),
        ({"min_stop_words": 3, "stop_words": ["le", "la"]}, "quality.stop_words has only 2"),
        ({"min_language_confidence": 0.5}, "quality.min_language_confidence is for quality.languages"),
        ({"languages": ["en", "english"]}, "quality.languages: 'english' is not known: expected codes of ISO 639"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        QualityRules(**rules)
