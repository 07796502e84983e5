"""BERT's pre-training data as its paper and Google's script have it, in plain Python: the oracle and the slow peer.

Devlin et al. 2019, appendix A.2, and google-research/bert, ``create_pretraining_data.py``, told again in other words.
It shares nothing with ``cloze.data``; the tests of that compare the two in distribution.
"""

from random import Random
from typing import NamedTuple

Sentence = list[int]
Document = list[Sentence]


class Pair(NamedTuple):
    """What becomes [CLS] a [SEP] b [SEP].

    Attributes:
        a, b: the tokens that are left of the segments.
        is_random: whether b is from another document.
        a_sentences: sentences of the chunk that went into a.
        chunk_sentences: sentences of the chunk.
    """

    a: list[int]
    b: list[int]
    is_random: bool
    a_sentences: int
    chunk_sentences: int


def pairs_of_document(
    documents: list[Document], which: int, max_length: int, short_sequence_rate: float, rng: Random
) -> list[Pair]:
    """All pairs of ``documents[which]``, in order."""
    room = max_length - 3
    goal = rng.randint(2, room) if rng.random() < short_sequence_rate else room
    sentences = documents[which]
    pairs = []
    first = 0
    while first < len(sentences):
        last, length = first, 0
        while last < len(sentences) and (last == first or length < goal):
            length += len(sentences[last])
            last += 1
        chunk = sentences[first:last]
        first = last
        cut = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
        a = [token for sentence in chunk[:cut] for token in sentence]
        is_random = len(chunk) == 1 or rng.random() < 0.5
        if is_random:
            b = _random_segment(documents, which, goal - len(a), rng)
            first -= len(chunk) - cut  # the sentences that b did not take are put back
        else:
            b = [token for sentence in chunk[cut:] for token in sentence]
        _shorten(a, b, room, rng)
        pairs.append(Pair(a, b, is_random, cut, len(chunk)))
    return pairs


def _random_segment(documents: list[Document], which: int, goal: int, rng: Random) -> list[int]:
    for _ in range(10):
        other = rng.randrange(len(documents))
        if other != which:
            break
    tokens: list[int] = []
    for sentence in documents[other][rng.randrange(len(documents[other])) :]:
        tokens += sentence
        if len(tokens) >= goal:
            break
    return tokens


def _shorten(a: list[int], b: list[int], room: int, rng: Random) -> None:
    while len(a) + len(b) > room:
        longer = a if len(a) > len(b) else b
        longer.pop(0 if rng.random() < 0.5 else -1)


def mask(
    tokens: list[int],
    special: set[int],
    mask_id: int,
    vocab_size: int,
    rng: Random,
    rate: float = 0.15,
    most: int = 20,
    words: list[list[int]] | None = None,
) -> tuple[list[int], list[int], list[int]]:
    """Mask one sequence.

    Args:
        tokens: with [CLS] and [SEP].
        special: ids that are never masked.
        mask_id: of [MASK].
        vocab_size: random tokens lie below it.
        rng: the source of chance.
        rate: share of the tokens to predict.
        most: the most tokens to predict.
        words: positions that are masked together; by default each token alone.

    Returns:
        The masked tokens, the masked positions in order, and the tokens that stood there.
    """
    words = list(words or ([i] for i, token in enumerate(tokens) if token not in special))
    rng.shuffle(words)
    wanted = min(most, max(1, round(len(tokens) * rate)))
    chosen: list[int] = []
    masked = list(tokens)
    for word in words:
        if len(chosen) + len(word) > wanted:
            continue
        for position in word:
            chosen.append(position)
            if rng.random() < 0.8:
                masked[position] = mask_id
            elif rng.random() < 0.5:
                masked[position] = rng.randrange(vocab_size)
    chosen.sort()
    return masked, chosen, [tokens[position] for position in chosen]
