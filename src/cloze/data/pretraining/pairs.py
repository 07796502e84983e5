"""Choose the spans of a shard that form sequences: a pure, compiled function of sentence boundaries and a key.

A row is (a_start, a_length, b_start, b_length, label): two contiguous spans of the shard's tokens, segment A and
segment B (length 0 for none), and what is asked about them. Spans, not copies: a plan costs some bytes a sequence.
"""

# mypy: disable-error-code="no-any-return"
# Compiled functions return Any to the type checker.

from dataclasses import dataclass

import numpy as np

from cloze.batch import IGNORED_LABEL
from cloze.data.pretraining.settings import SegmentSettings
from cloze.data.splitmix import IntArray, State, below, stream, uniform
from cloze.runtime.compiled import compiled
from cloze.text.shards import Shard

A_START, A_LENGTH, B_START, B_LENGTH, LABEL = range(5)
COLUMNS = 5


@dataclass(frozen=True, kw_only=True)
class Segments(SegmentSettings):
    """Which segments of the text make a sequence."""

    def rows(self, shard: Shard, key: np.uint64) -> IntArray:
        """(sequences, 5) int64: those of a shard, in the order of its text; its tokens are not read."""
        sentences, documents = shard.sentence_offsets, shard.document_offsets
        if len(sentences) < 2:
            return np.empty((0, COLUMNS), np.int64)
        max_tokens = self.max_length - self.special_tokens
        if self.pairs == "none":
            return full_sentence_rows(sentences, documents, max_tokens)
        rows = next_sentence_rows if self.pairs == "next_sentence" else sentence_order_rows
        return rows(sentences, documents, max_tokens, self.short_sequence_rate, key)


@compiled
def next_sentence_rows(
    sentences: IntArray, documents: IntArray, max_tokens: int, short_rate: float, key: np.uint64
) -> IntArray:
    """Google's rule (Devlin et al. 2019, A.2; google-research/bert, ``create_pretraining_data.py``).

    A document is split into chunks of whole sentences that reach a target length; a chunk is split at a random sentence
    into A and B; half of the time, and always when it is one sentence, B is replaced by sentences from a random
    position of another document (label 1), and what would have been B begins the next chunk; the longer segment then
    loses tokens at random ends until both fit.

    A shard of one document has no other document to draw from: all its B follow their A, and nothing is asked about
    them (``IGNORED_LABEL``); a chunk of one sentence is then an A alone.

    Args:
        sentences: (s+1,) offsets of the sentences into the shard's tokens; no sentence is empty.
        documents: (d+1,) offsets of the documents into the sentences; no document is empty.
        max_tokens: tokens of A and B together.
        short_rate: the share of documents with a random target length.
        key: names the random stream.

    Returns:
        (sequences, 5) int64, in the order of the text.
    """
    state = stream(key)
    rows = np.empty((len(sentences) - 1, COLUMNS), np.int64)
    count = 0
    num_documents = len(documents) - 1
    for document in range(num_documents):
        end = documents[document + 1]
        target = _target_length(max_tokens, short_rate, state)
        first = documents[document]
        while first < end:
            last = _chunk_end(sentences, first, end, target)
            split = _split_point(first, last, state)
            a_length = sentences[split] - sentences[first]
            if num_documents == 1:
                b_start, b_end, label = sentences[split], sentences[last], IGNORED_LABEL
                first = last
            elif last - first == 1 or uniform(state) < 0.5:
                b_start, b_end = _random_segment(sentences, documents, document, target - a_length, state)
                label = 1
                first = split  # the sentences that were not used are put back
            else:
                b_start, b_end, label = sentences[split], sentences[last], 0
                first = last
            rows[count, A_START], rows[count, A_LENGTH] = sentences[split] - a_length, a_length
            rows[count, B_START], rows[count, B_LENGTH] = b_start, b_end - b_start
            rows[count, LABEL] = label
            _truncate(rows[count], max_tokens, state)
            count += 1
    return rows[:count].copy()


@compiled
def sentence_order_rows(
    sentences: IntArray, documents: IntArray, max_tokens: int, short_rate: float, key: np.uint64
) -> IntArray:
    """Consecutive segments, swapped half of the time (label 1): ALBERT, Lan et al. 2020, section 3.1.

    Chunks, split and truncation are those of ``next_sentence_rows``. A chunk of one sentence has no order: it is an A
    alone and nothing is asked about it (``IGNORED_LABEL``). Arguments and result are the same.
    """
    state = stream(key)
    rows = np.empty((len(sentences) - 1, COLUMNS), np.int64)
    count = 0
    for document in range(len(documents) - 1):
        first, end = documents[document], documents[document + 1]
        target = _target_length(max_tokens, short_rate, state)
        while first < end:
            last = _chunk_end(sentences, first, end, target)
            split = _split_point(first, last, state)
            row = rows[count]
            row[A_START], row[A_LENGTH] = sentences[first], sentences[split] - sentences[first]
            row[B_START], row[B_LENGTH] = sentences[split], sentences[last] - sentences[split]
            row[LABEL] = IGNORED_LABEL if last - first == 1 else 0
            _truncate(row, max_tokens, state)
            if last - first > 1 and uniform(state) < 0.5:
                row[A_START], row[B_START] = row[B_START], row[A_START]
                row[A_LENGTH], row[B_LENGTH] = row[B_LENGTH], row[A_LENGTH]
                row[LABEL] = 1
            count += 1
            first = last
    return rows[:count].copy()


@compiled
def full_sentence_rows(sentences: IntArray, documents: IntArray, max_tokens: int) -> IntArray:
    """Sequences filled with whole sentences up to document boundaries, without a second segment.

    RoBERTa's DOC-SENTENCES (Liu et al. 2019, section 4.2). No token is lost: a sentence longer than ``max_tokens``
    continues in the next sequence. Arguments and result as above; nothing is random here.
    """
    rows = np.empty((len(sentences) - 1 + sentences[-1] // max_tokens, COLUMNS), np.int64)
    count = 0
    for document in range(len(documents) - 1):
        sentence, end = documents[document], documents[document + 1]
        token = sentences[sentence]
        while sentence < end:
            limit = token + max_tokens
            stop = limit  # within an over-long sentence, unless one ends before
            while sentence < end and sentences[sentence + 1] <= limit:
                sentence += 1
                stop = sentences[sentence]
            rows[count, A_START], rows[count, A_LENGTH] = token, stop - token
            rows[count, B_START], rows[count, B_LENGTH] = stop, 0
            rows[count, LABEL] = IGNORED_LABEL
            count += 1
            token = stop
    return rows[:count].copy()


@compiled
def _target_length(max_tokens: int, short_rate: float, state: State) -> int:
    if uniform(state) < short_rate:
        return 2 + below(state, max_tokens - 1)
    return max_tokens


@compiled
def _chunk_end(sentences: IntArray, first: int, end: int, target: int) -> int:
    """One past the last sentence of the chunk from ``first`` on: it reaches the target or ends the document."""
    last = first + 1
    while last < end and sentences[last] - sentences[first] < target:
        last += 1
    return last


@compiled
def _split_point(first: int, last: int, state: State) -> int:
    """The first sentence of B: A gets at least one, and so does B where the chunk has two."""
    if last - first == 1:
        return last
    return first + 1 + below(state, last - first - 1)


@compiled
def _random_segment(
    sentences: IntArray, documents: IntArray, document: int, target: int, state: State
) -> tuple[int, int]:
    """Sentences of another document from a random one on, until the target is reached: first and last token.

    Google draws up to ten times to avoid the same document; drawing among the others never fails.
    """
    other = below(state, len(documents) - 2)
    if other >= document:
        other += 1
    first, end = documents[other], documents[other + 1]
    first += below(state, end - first)
    return sentences[first], sentences[_chunk_end(sentences, first, end, target)]


@compiled
def _truncate(row: IntArray, max_tokens: int, state: State) -> None:
    """Drop tokens from the longer segment (B when equal), each from the front or the back by a coin."""
    for _ in range(row[A_LENGTH] + row[B_LENGTH] - max_tokens):
        longer = A_START if row[A_LENGTH] > row[B_LENGTH] else B_START
        row[longer + 1] -= 1
        if uniform(state) < 0.5:
            row[longer] += 1
