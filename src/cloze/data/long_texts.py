"""How to read texts longer than a sequence: truncated, or in windows."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")

TOKENIZER_CHARACTERS = 250_000
"""Of text in one call: enough for all cores, and the tokenizer needs some 400 bytes of memory for each."""


class TextWindow(NamedTuple):
    """One sequence from the tokens of a text.

    Attributes:
        places: (T,) int64, the tokens of the text that stand in it, special ones included.
        own: (T,) bool, those whose hidden states are taken from this window; every token is some window's own.
    """

    places: np.ndarray
    own: np.ndarray


def batched(
    items: Iterable[T], size: Callable[[T], int], max_size: int, max_items: int | None = None
) -> Iterator[list[T]]:
    """Lists of neighbours, each ended by the item with which it reaches a size or a number of items."""
    batch: list[T] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size(item)
        if total >= max_size or len(batch) == max_items:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def shown(first: int, second: int | None, max_length: int, *, in_windows: bool) -> tuple[int, int]:
    """How many tokens stay of a text, or of each text of a pair (0 without the second one).

    Args:
        first: tokens of A.
        second: tokens of B; None without B.
        max_length: tokens of the longest sequence, special ones included.
        in_windows: all of a text is shown, and of a pair all of the longer text; the shorter one stands in every window
            and leaves half of it at least to the longer one.
    """
    if second is None:
        return (first if in_windows else min(first, max_length - 2)), 0
    room = max_length - 3
    if not in_windows:
        return kept(first, second, room)
    if first + second <= room or min(first, second) <= room // 2:
        return first, second
    return (first, room // 2) if first > second else (room // 2, second)


def kept(length: int, length_pair: int, room: int) -> tuple[int, int]:
    """How many tokens each text of a pair keeps: the longer one is shortened first, to fit `room`.

    This is Google's rule (``_truncate_seq_pair``) as the tokenizers library has it: where both texts are truncated and
    `room` is odd, the token more goes to the text that was the longer one, the second when they were equal.
    """
    if length + length_pair <= room:
        return length, length_pair
    half = room // 2
    if min(length, length_pair) > half:
        return (room - half, half) if length > length_pair else (half, room - half)
    return (room - length_pair, length_pair) if length > length_pair else (length, room - length)


def text_windows(first: int, second: int | None, max_length: int, stride: int | None) -> list[TextWindow]:
    """The windows of [CLS] A [SEP] or [CLS] A [SEP] B [SEP], one where all of it fits.

    Of a pair the longer text is split into windows, and the shorter one stands whole in each; its hidden states are
    taken from the first, as is that of [CLS].

    Args:
        first: tokens of A.
        second: tokens of B; None without B.
        max_length: tokens of the longest window.
        stride: tokens from one window to the next; None for half of what a window shows of the text.
    """
    total = first + 2 if second is None else first + second + 3
    if total <= max_length:
        return [TextWindow(np.arange(total), np.ones(total, bool))]
    cuts_first = second is None or first > second
    begin, length = (1, first) if cuts_first else (first + 2, second or 0)
    room = max_length - (total - length)
    found = []
    for number, (start, end, own) in enumerate(windows(length, room, stride or max(1, room // 2))):
        places = np.concatenate(
            [np.arange(begin), np.arange(begin + start, begin + end), np.arange(begin + length, total)]
        )
        is_own = np.full(len(places), number == 0)
        is_own[begin : begin + end - start] = False
        is_own[begin + own[0] - start : begin + own[1] - start] = True
        found.append(TextWindow(places, is_own))
    return found


def windows(length: int, room: int, stride: int) -> list[tuple[int, int, tuple[int, int]]]:
    """Windows on a passage: the first token and the end of each, and of those tokens that belong to it.

    A token belongs to the window where it has the most context, by the smaller of its two sides plus a hundredth of the
    window's length; of equal ones to the earlier (google-research/bert, run_squad.py, ``_check_is_max_context``). As
    the later of two windows gains on the earlier one from token to token, those that belong to a window are neighbours.

    Args:
        length: tokens of the passage.
        room: tokens of the longest window.
        stride: tokens from the beginning of a window to that of the next.
    """
    step = min(stride, room)
    starts = range(0, max(0, length - room) + step, step)
    bounds = [(start, min(start + room, length)) for start in starts]
    borders = [0, *(_border(*pair) for pair in pairwise(bounds)), length]
    return [(first, end, own) for (first, end), own in zip(bounds, pairwise(borders), strict=True)]


def _border(earlier: tuple[int, int], later: tuple[int, int]) -> int:
    """The first token that belongs to the later one of two neighbouring windows."""
    shared = np.arange(later[0], earlier[1])
    is_later = _contexts(shared, later) > _contexts(shared, earlier)
    return later[0] + int(is_later.argmax()) if is_later.any() else earlier[1]


def _contexts(tokens: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    first, end = window
    smaller_sides: np.ndarray = np.minimum(tokens - first, end - 1 - tokens)
    return smaller_sides + 0.01 * (end - first)
