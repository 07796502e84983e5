"""Where words begin in text without spaces, by a segmenter: jieba for Chinese, ICU for Chinese, Japanese, Thai, ..."""

import warnings
from collections.abc import Callable, Iterable
from functools import cache
from itertools import accumulate
from typing import Literal, get_args

import numpy as np
from tokenizers import Tokenizer

from cloze.errors import InputError
from cloze.runtime.distribution import installation

Words = Literal["tokenizer", "jieba", "icu"]
"""Who says where words begin; the tokenizer needs nothing but its tokens."""

Ends = Callable[[str], Iterable[int]]
"""Gives the ends of the words of a text, in characters; they cover it."""


def check_words(words: str) -> None:
    """Refuse a segmenter that is not known, or not installed.

    Raises:
        InputError: with what to do.
    """
    if words not in get_args(Words):
        raise InputError(f"preparation.words={words}: expected one of {', '.join(get_args(Words))}")
    if words != "tokenizer":
        _ends(words)


@cache
def _ends(words: str) -> Ends:
    try:
        return _jieba() if words == "jieba" else _icu()
    except ImportError as error:
        package = {"jieba": "jieba", "icu": "icu4py"}[words]
        raise InputError(
            f"preparation.words={words} needs the package {package}, which is not installed: {installation('words')}"
        ) from error


def _jieba() -> Ends:
    """The segmenter of words in Chinese text; models of whole words (Cui et al. 2019) took LTP."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what newer versions of Python and setuptools say of its code
        import jieba
    jieba.setLogLevel("ERROR")  # it tells of its dictionary
    return lambda text: accumulate(map(len, jieba.cut(text)))


def _icu() -> Ends:
    """UAX #29 with the dictionaries of ICU for scripts without spaces."""
    from icu4py.breakers import WordBreaker

    return lambda text: accumulate(map(len, WordBreaker(text, "root")))


def continuations(tokenizer: Tokenizer, text: str, words: str) -> np.ndarray:
    """(tokens,) bool: which tokens of a text continue the word in which the token before them begins.

    A token belongs to the word of its first character that is no space; of a text without special tokens around it.

    Args:
        tokenizer: encodes the text.
        text: a sentence.
        words: the segmenter.
    """
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    ends = np.fromiter(_ends(words)(text), np.int64)
    firsts = np.array([begin + _blanks(text[begin:end]) for begin, end in offsets], np.int64)
    word = np.searchsorted(ends, firsts, side="right")
    return np.concatenate([[False], word[1:] == word[:-1]]) if len(word) else np.zeros(0, np.bool_)


def _blanks(part: str) -> int:
    """How many characters of white space a text begins with; none where there is nothing else."""
    return len(part) - len(part.lstrip()) if part.strip() else 0
