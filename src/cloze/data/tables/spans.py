"""Raw text with entities as character spans, and the words that a tagger makes of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as InTurn

from cloze.data.tables.examples import Example, TaggedExample
from cloze.metrics.entities import OUTSIDE
from cloze.runtime.wording import counted
from cloze.text.scripts import WITHOUT_SPACES

E = TypeVar("E", bound=Example)

FORMAT = "expected [start, end, label], or an object with these keys"
STARTS, ENDS, LABELS = ("start", "start_offset"), ("end", "end_offset"), ("label", "type")
"""Names of the keys; doccano has the second ones."""

SPLITTER = InTurn([BertPreTokenizer(), Split(Regex(WITHOUT_SPACES.pattern + r"\p{M}*"), "isolated")])


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a text."""

    start: int
    end: int
    label: str


class WordTags(NamedTuple):
    """Words with the tags that spans give them.

    Attributes:
        offsets: the first character and the end of each word.
        tags: of each word, in BIO2; None where nothing is labelled.
        overlapping: spans that were left out, since a longer one has a word of theirs.
        widened: spans that begin or end within a word, and were widened to all of it.
    """

    offsets: list[tuple[int, int]]
    tags: list[str] | None
    overlapping: int = 0
    widened: int = 0


def words_of(text: str) -> list[tuple[int, int]]:
    """The first character and the end of each word of a raw text.

    Every punctuation mark is a word, as for BERT's tokenizer, so that none sticks to an entity; and so is every
    character, with its marks, of a script that sets no spaces between words.

    >>> text = "Ann's dog, 北京"
    >>> [text[start:end] for start, end in words_of(text)]
    ['Ann', "'", 's', 'dog', ',', '北', '京']
    """
    return [place for _, place in SPLITTER.pre_tokenize_str(text)]


def with_whole_tokens(examples: Sequence[E], tokenizer: Tokenizer) -> Sequence[E]:
    """The examples, in whose raw texts each added token of a tokenizer is one word, as ``[E1]`` or ``<user>``.

    It has the first tag that one of its words has.
    """
    added = {*tokenizer.get_added_tokens_decoder()}
    return [_joined(example, tokenizer, added) for example in examples]


def _joined(example: E, tokenizer: Tokenizer, added: set[int]) -> E:
    if not isinstance(example, TaggedExample) or example.text is None:
        return example
    encoding = tokenizer.encode(example.text, add_special_tokens=False)
    starts, ends = ([place[side] for place in example.offsets] for side in (0, 1))
    offsets, tags = list(example.offsets), list(example.tags or ())
    for number, (start, end) in reversed([*zip(encoding.ids, encoding.offsets, strict=True)]):
        if number in added:
            first, stop = bisect_left(starts, start), bisect_right(ends, end)
            if stop - first > 1:  # else it is a word already, or within one
                offsets[first:stop] = [(starts[first], ends[stop - 1])]
                tags[first:stop] = [tag for tag in tags[first:stop] if tag != OUTSIDE][:1] or tags[first:][:1]
    words = tuple(example.text[start:end] for start, end in offsets)
    return replace(example, words=words, tags=None if example.tags is None else tuple(tags), offsets=tuple(offsets))


def spans_of(cell: object, text: str) -> list[Span]:
    """The spans in a cell, without the white space at their ends.

    Raises:
        ValueError: it holds something else, or a span that is not within the text.
    """
    if not isinstance(cell, list | tuple):
        raise ValueError(f"holds {cell!r:.80}, but {FORMAT}, in a list")
    return [_span(entry, text) for entry in cell]


def _span(entry: Any, text: str) -> Span:
    if isinstance(entry, dict):
        keys = (next((key for key in names if key in entry), names[0]) for names in (STARTS, ENDS, LABELS))
        parts = [entry.get(key) for key in keys]
    elif isinstance(entry, list | tuple) and len(entry) == 3:
        parts = list(entry)
    else:
        raise ValueError(f"holds {entry!r:.80}, but {FORMAT}")
    start, end, label = parts
    if type(start) is not int or type(end) is not int or not isinstance(label, str) or not label.strip():
        raise ValueError(f"holds {entry!r:.80}, but {FORMAT}: two whole numbers and a name")
    if not 0 <= start < end <= len(text):
        raise ValueError(
            f"holds the entity {entry!r:.80}, but its text has {counted(len(text), 'characters')}, counted from 0"
        )
    inside = text[start:end]
    if not inside.strip():
        raise ValueError(f"holds the entity {entry!r:.80}, which covers white space alone")
    return Span(start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip()), label.strip())


def tagged(text: str, spans: Sequence[Span] | None) -> WordTags:
    """The words of a text with their tags.

    A word has one tag, so of spans that share a word the longest stays, of equally long ones the first.
    """
    offsets = words_of(text)
    if spans is None:
        return WordTags(offsets, None)
    starts, ends = ([place[side] for place in offsets] for side in (0, 1))
    tags = [OUTSIDE] * len(offsets)
    overlapping = widened = 0
    for span in sorted(dict.fromkeys(spans), key=lambda span: (span.start - span.end, span.start)):
        first, stop = bisect_right(ends, span.start), bisect_left(starts, span.end)
        if any(tag != OUTSIDE for tag in tags[first:stop]):
            overlapping += 1
            continue
        widened += (starts[first], ends[stop - 1]) != span[:2]
        tags[first:stop] = [f"B-{span.label}", *[f"I-{span.label}"] * (stop - first - 1)]
    return WordTags(offsets, tags, overlapping, widened)
