"""The characters of a text, counted, and those of them that a vocabulary knows."""

from collections.abc import Iterable, Iterator

import numpy as np

from cloze.errors import InputError

CHUNK_CHARACTERS = 1 << 20
UNICODE_SIZE = 0x110000

SMALLEST_ALPHABET, COVERAGE = 1_000, 0.9995
"""Characters that a vocabulary knows where `alphabet_size` is None, or as many as cover this share of the text (the
default of SentencePiece, Kudo and Richardson 2018)."""


def bounded(lines: Iterable[str], max_bytes: float) -> Iterator[str]:
    """The lines up to this many bytes of UTF-8 in all, the last one whole."""
    taken = 0
    for line in lines:
        if taken >= max_bytes:
            return
        yield line
        taken += len(line.encode()) + 1


def chunks(lines: Iterable[str], max_bytes: float) -> Iterator[str]:
    """Lines joined to about a million characters each, up to `max_bytes` of UTF-8 in all."""
    gathered: list[str] = []
    characters = taken = 0
    for line in lines:
        gathered.append(line)
        characters += len(line) + 1
        if characters >= CHUNK_CHARACTERS:
            chunk = "\n".join(gathered)
            yield chunk
            taken += len(chunk.encode())
            gathered, characters = [], 0
            if taken >= max_bytes:
                return
    yield "\n".join(gathered)


def character_counts(texts: Iterable[str]) -> np.ndarray:
    """(UNICODE_SIZE,) int64: how often each character stands in some texts, blanks and line breaks left out.

    Raises:
        InputError: there is none.
    """
    counts = sum((_counts(text) for text in texts), np.zeros(UNICODE_SIZE, np.int64))
    counts[[ord(character) for character in " \t\n\r"]] = 0
    if not counts.any():
        raise InputError("corpus: there is no text to train a vocabulary from; check corpus.files")
    return np.asarray(counts)


def alphabet(
    counts: np.ndarray, size: int | None, most: int = UNICODE_SIZE, *, smallest: int = SMALLEST_ALPHABET
) -> list[str]:
    """The characters that a vocabulary knows, in the order of their code points.

    They are the most frequent ones, the lower code point first where counts are equal: a function of the text alone.

    Args:
        counts: of `character_counts`.
        size: how many; None takes `smallest`, or as many as cover `COVERAGE` of the text.
        most: never more than these.
        smallest: where `size` is None.
    """
    order = np.argsort(-counts, kind="stable")
    if size is None:
        size = max(smallest, int(np.searchsorted(np.cumsum(counts[order]), COVERAGE * counts.sum())) + 1)
    frequent = order[: min(size, most)]
    return [chr(code) for code in np.sort(frequent[counts[frequent] > 0])]


def _counts(text: str) -> np.ndarray:
    return np.bincount(np.frombuffer(text.encode("utf-32-le"), np.uint32), minlength=UNICODE_SIZE)
