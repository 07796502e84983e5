"""Add words to a tokenizer of any kind: tokens that are found in a text before it is split."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from cloze.errors import InputError
from cloze.text.bert_rules import PREFIX
from cloze.text.new_tokens import read_lines
from cloze.text.special_tokens import unknown_token


def with_words(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """A tokenizer that finds these words, too, where they stand alone: ``tumour`` in `` tumour,``, not in ``tumours``.

    The space before a word is part of its token, as it is of the tokens of byte-level BPE. They are what transformers
    makes of ``AddedToken(word, single_word=True, lstrip=True)``.
    """
    grown = Tokenizer.from_str(tokenizer.to_str())
    # Where capitals are made small before a text is split, they have to be made so in the words.
    cased = tokenizer.normalizer is None or tokenizer.normalizer.normalize_str("A") == "A"
    grown.add_tokens([AddedToken(word, single_word=True, lstrip=True, normalized=not cased) for word in words])
    return grown


def read_words(path: str | Path, tokenizer: Tokenizer) -> list[str]:
    """The words of a file, one a line, that are not one token yet, in the order of the file.

    Args:
        path: the file; empty lines and the blanks around a word do not count.
        tokenizer: to which they are to be added.

    Raises:
        InputError: the file cannot be read, holds nothing new, or a token that continues a word.
    """
    found: dict[str, None] = {}
    unknown = None if (token := unknown_token(tokenizer)) is None else token.id
    for number, word in enumerate(read_lines(path), start=1):
        if word.startswith(PREFIX):
            raise InputError(
                f"{path}, line {number}: {word!r} continues a word, as tokens of WordPiece do, but this tokenizer "
                "grows by whole words: remove it, or change it to a word"
            )
        read = tokenizer.encode(f" {word}", add_special_tokens=False).ids
        is_token = tokenizer.token_to_id(word) is not None or (len(read) == 1 and read[0] != unknown)
        if word and not is_token:
            found[word] = None
    if not found:
        raise InputError(f"{path}: holds no word that is not a token already; leave grow.vocab out")
    return list(found)
