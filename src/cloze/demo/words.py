"""Running text to the words that a tagger wants, with where they stand."""

import re

WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|['\u2019]s\b|[^\W_\u3400-\u9fff\uf900-\ufaff]+(?:[-.][^\W_]+)*|\S")


def words_of(text: str) -> list[tuple[int, int]]:
    """The first character and the end of each word.

    Punctuation marks and Chinese characters are words by themselves, as in the data that taggers learn from.

    >>> text = "Ann's U.S. dog, 北京"
    >>> [text[start:end] for start, end in words_of(text)]
    ['Ann', "'s", 'U.S', '.', 'dog', ',', '北', '京']
    """
    return [match.span() for match in WORD.finditer(text)]
