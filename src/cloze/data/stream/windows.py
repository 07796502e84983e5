"""A text of any length as sequences that the model can take."""

from typing import NamedTuple

import numpy as np

from cloze.data.finetuning.windows import windows


class TextWindow(NamedTuple):
    """One sequence from the tokens of a text.

    Attributes:
        places: (T,) int64, the tokens of the text that stand in it, special ones included.
        own: (T,) bool, those whose vectors are taken from this window; every token is some window's own.
    """

    places: np.ndarray
    own: np.ndarray


def text_windows(first: int, second: int | None, max_length: int, stride: int | None) -> list[TextWindow]:
    """The windows of [CLS] A [SEP] or [CLS] A [SEP] B [SEP], one where all of it fits.

    Of a pair the longer text is cut into windows, and the shorter one stands whole in each; its vectors are taken from
    the first, as is that of [CLS].

    Args:
        first: pieces of A.
        second: pieces of B; None without B.
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
