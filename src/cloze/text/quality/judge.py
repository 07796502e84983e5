"""Apply the rules of quality to documents."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from cloze.text.documents import Document, SentenceSplitter
from cloze.text.quality.dropped import Dropped
from cloze.text.quality.language import language
from cloze.text.quality.measures import BULLETS, ELLIPSES, Measures, words_of
from cloze.text.quality.rules import (
    SMALLEST_DUPLICATE_NGRAM,
    SMALLEST_TOP_NGRAM,
    STOP_WORDS,
    QualityRules,
    ngrams,
)


class Broken(NamedTuple):
    """A rule that a line or a document breaks, and what was measured."""

    rule: str
    value: float | str


def kept_documents(
    documents: Iterable[Document], rules: QualityRules, sentences: SentenceSplitter, dropped: Dropped
) -> Iterator[Document]:
    """The documents that the rules keep, without the lines that they drop; what is dropped is counted in `dropped`.

    A line or document counts for the first rule that it breaks, in the order of `QualityRules`; languages come before
    repetitions. A document without a line that is left is gone with its lines.
    """
    if not rules.limits():
        yield from documents
        return
    for document in documents:
        dropped.documents += 1
        lines = []
        for line in document.lines:
            if (broken := next(_of_line(line, rules), None)) is None:
                lines.append(line)
            else:
                dropped.add(broken.rule, broken.value, document.origin, [line])
        if not lines:
            dropped.without_lines += 1
        elif (broken := next(_of_document(Measures(lines), rules, sentences), None)) is None:
            yield document if len(lines) == len(document.lines) else document._replace(lines=lines)
        else:
            dropped.add(broken.rule, broken.value, document.origin, document.lines)


def _of_line(line: str, rules: QualityRules) -> Iterator[Broken]:
    if rules.line_endings is not None and not line.endswith(tuple(rules.line_endings)):
        yield Broken("line_endings", line[-1:])
    if rules.min_line_words is not None and (count := len(words_of(line))) < rules.min_line_words:
        yield Broken("min_line_words", count)
    if rules.forbidden_in_lines is not None and (found := _first_in([line], rules.forbidden_in_lines)) is not None:
        yield Broken("forbidden_in_lines", found)


def _of_document(text: Measures, rules: QualityRules, sentences: SentenceSplitter) -> Iterator[Broken]:
    def below(rule: str, measure: Callable[[], float]) -> Iterator[Broken]:
        least = getattr(rules, rule)
        if least is not None and (value := measure()) < least:
            yield Broken(rule, value)

    def above(rule: str, measure: Callable[[], float]) -> Iterator[Broken]:
        most = getattr(rules, rule)
        if most is not None and (value := measure()) > most:
            yield Broken(rule, value)

    yield from below("min_words", lambda: len(text.words))
    yield from above("max_words", lambda: len(text.words))
    yield from below("min_sentences", lambda: sum(len(sentences.split(line)) for line in text.lines))
    if rules.forbidden is not None and (found := _first_in(text.lines, rules.forbidden)) is not None:
        yield Broken("forbidden", found)
    yield from below("min_mean_word_length", lambda: text.mean_word_length)
    yield from above("max_mean_word_length", lambda: text.mean_word_length)
    yield from above("max_symbols_per_word", lambda: text.symbols_per_word)
    yield from above("max_bullet_lines", lambda: text.share_of_lines(lambda line: line.startswith(BULLETS)))
    yield from above("max_ellipsis_lines", lambda: text.share_of_lines(lambda line: line.endswith(ELLIPSES)))
    yield from below("min_alphabetic_words", lambda: text.alphabetic_words)
    yield from below("min_stop_words", lambda: text.count_stop_words(rules.stop_words or STOP_WORDS))
    yield from _of_language(text, rules)
    yield from above("max_duplicate_lines", lambda: len(text.repeated_lines) / len(text.lines))
    yield from above("max_duplicate_line_characters", lambda: text.duplicate_line_characters)
    for rule, measured, first in (
        ("max_top_ngrams", text.top_ngram, SMALLEST_TOP_NGRAM),
        ("max_duplicate_ngrams", text.duplicate_ngrams, SMALLEST_DUPLICATE_NGRAM),
    ):
        for size, most in enumerate(getattr(rules, rule) or (), start=first):
            if (value := measured(size)) > most:
                yield Broken(ngrams(rule, size), value)


def _of_language(text: Measures, rules: QualityRules) -> Iterator[Broken]:
    if rules.languages is None:
        return
    code, confidence = language("\n".join(text.lines))
    if code not in rules.languages:
        yield Broken("languages", code)
    elif confidence < (rules.min_language_confidence or 0.0):
        yield Broken("min_language_confidence", confidence)


def _first_in(lines: Sequence[str], forbidden: Sequence[Any]) -> str | None:
    """The first of some strings that is in the lines, in any case."""
    lowered = [line.lower() for line in lines]
    return next((str(each) for each in forbidden if any(str(each).lower() in line for line in lowered)), None)
