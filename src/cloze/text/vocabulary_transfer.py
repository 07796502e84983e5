"""Where the tokens of another tokenizer begin, in the tokens that a model has learned.

A token keeps the embedding of the old token with its text, if there is one. Any other begins at the mean of the tokens
that the old tokenizer reads its text as; one whose text gives none of them, at the mean of all.

The space before a word is of its text: the ``Ġword`` of byte-level BPE, the ``▁word`` of SentencePiece and the ``word``
of WordPiece are the same, and so are ``ing`` and ``##ing``. Where there is no such token, the one that differs in that
space alone is taken.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Tokenizer, models

from cloze.text.bert_rules import PREFIX
from cloze.text.folder_tokenizer import FolderTokenizer, vocabulary
from cloze.text.new_tokens import tokens_of_word
from cloze.text.special_tokens import unknown_token
from cloze.text.word_boundaries import space_of, text_of

SPACE = " "
BYTE = re.compile("<0x[0-9A-F]{2}>")
"""A byte of a character that SentencePiece has no token for."""


class Origins(NamedTuple):
    """The old tokens that each new token begins with.

    Attributes:
        parts: by the new ids, the old ids whose mean it is; none for the mean of all.
        kept: how many have the text or the role of an old token, and begin with that.
    """

    parts: list[list[int]]
    kept: int

    @property
    def unread(self) -> int:
        """How many begin at the mean of all."""
        return sum(not part for part in self.parts)

    @property
    def averaged(self) -> int:
        """How many begin at the mean of the old tokens of their text."""
        return len(self.parts) - self.kept - self.unread

    @property
    def counts(self) -> dict[str, int]:
        """As they are kept with a run."""
        return {"kept": self.kept, "mean_of_their_old_tokens": self.averaged, "mean_of_all": self.unread}


def origins(new: FolderTokenizer, old: FolderTokenizer) -> Origins:
    """Of every token of a tokenizer in those of another one.

    Special tokens go by what they are for, as mask to mask; where the old tokenizer has none of the kind, by their
    text. What is written the same by tokenizers that write spaces the same is the same, also a part of a character.

    Args:
        new: whose ids are dense.
        old: the model's.
    """
    roles = {
        token.id: there.id
        for token, there in reversed([*zip(new.special, old.special, strict=True)])  # of two roles the first one
        if token is not None and there is not None
    }
    reader, texts = _Reader(old), token_texts(new.tokenizer)
    alike = space_of(new.tokenizer) == reader.space
    parts, kept = [], 0
    for number, piece in enumerate(vocabulary(new.tokenizer)):
        same = roles.get(number)
        if same is None and alike:
            same = reader.pieces.get(piece)
        if same is None:
            same = reader.same(texts[number])
        found = [same] if same is not None else reader.read(texts[number])
        parts.append(found)
        kept += same is not None
    return Origins(parts, kept)


def token_texts(tokenizer: Tokenizer) -> dict[int, str | None]:
    """What each token stands for in a text, with the space before it; None for a part of a character.

    >>> from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
    >>> texts = token_texts(build_tokenizer([*SPECIAL_TOKENS, "word", "##ing", "."]))
    >>> [texts[number] for number in range(4, 8)]
    ['[MASK]', ' word', 'ing', '.']
    """
    added, space = tokenizer.get_added_tokens_decoder(), space_of(tokenizer)
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    found: dict[int, str | None] = {}
    for piece, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if number in added:
            found[number] = piece
        elif space is not None:
            found[number] = text_of(tokenizer, piece)
        elif prefix and piece.startswith(prefix):
            found[number] = piece.removeprefix(prefix)
        else:
            found[number] = piece if _stands_apart(tokenizer, piece) else f"{SPACE}{piece}"
    return found


class _Reader:
    """Reads a text as it stands in a longer one: with a space before it, or behind a letter."""

    def __init__(self, tokenizer: FolderTokenizer) -> None:
        self.tokenizer, special = tokenizer.tokenizer, tokenizer.special.contents
        self.unknown = unknown_token(self.tokenizer)
        self.space, self.vocab = space_of(self.tokenizer), self.tokenizer.get_vocab(with_added_tokens=False)
        texts, added = token_texts(self.tokenizer), self.tokenizer.get_added_tokens_decoder()
        known = self.tokenizer.get_vocab(with_added_tokens=True)
        self.pieces = {piece: number for piece, number in known.items() if piece not in special}
        self.ids: dict[str, int] = {}
        # Of two tokens with one text the first, before those that no model chooses where it has another.
        ordered = sorted(
            (number in added or bool(BYTE.fullmatch(piece)), number) for piece, number in self.pieces.items()
        )
        for _, number in ordered:
            if (text := texts[number]) is not None:
                self.ids.setdefault(text, number)

    def same(self, text: str | None) -> int | None:
        """The token of this text, else that of the same text with or without a space before it."""
        if text is None:
            return None
        other = text.removeprefix(SPACE) if text.startswith(SPACE) else f"{SPACE}{text}"
        return self.ids.get(text, self.ids.get(other))

    def read(self, text: str | None) -> list[int]:
        """The tokens of a text but unknown ones."""
        words = [] if text is None else _words(self.tokenizer, text)
        if words and text is not None and not text.startswith(SPACE):
            if self.space is not None:
                words[0] = words[0].removeprefix(self.space)
            elif _continues(self.tokenizer, words[0]):
                parts = tokens_of_word(f"{PREFIX}{words[0]}", self.vocab)
                return [self.vocab[part] for part in parts] + self._tokens(words[1:])
        return self._tokens(words)

    def _tokens(self, words: Sequence[str]) -> list[int]:
        unknown = None if self.unknown is None else self.unknown.id
        ids = [int(token.id) for word in words if word for token in self.tokenizer.model.tokenize(word)]
        return [number for number in ids if number != unknown]


def _words(tokenizer: Tokenizer, text: str) -> list[str]:
    """What the model of a tokenizer splits, of a text."""
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    cut = tokenizer.pre_tokenizer
    return [text] if cut is None else [word for word, _ in cut.pre_tokenize_str(text)]


def _stands_apart(tokenizer: Tokenizer, text: str) -> bool:
    """Whether a text is split from a letter before it."""
    return len(_words(tokenizer, f"a{text}")) > len(_words(tokenizer, text)) or _words(tokenizer, f"a{text}")[0] == "a"


def _continues(tokenizer: Tokenizer, word: str) -> bool:
    """Whether a word behind a letter is read by WordPiece's tokens that continue it."""
    model = tokenizer.model
    prefixed = isinstance(model, models.WordPiece) and model.continuing_subword_prefix == PREFIX
    return prefixed and not _stands_apart(tokenizer, word)
