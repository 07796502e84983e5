"""Where words begin, by the rules of a tokenizer: whatever its kind, and whatever it writes for a space."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Encoding, Tokenizer, models

from cloze.text.bert_rules import steps
from cloze.text.special_tokens import SpecialToken

SPACE_BYTE, METASPACE = "\u0120", "\u2581"
"""What stands for a space in the tokens of byte-level models (Radford et al. 2019) and of SentencePiece (Kudo and
Richardson 2018)."""

BYTES_OF_SPACE = "\u0120\u010a\u0109\u010d"  # space, line feed, tab, carriage return, as byte-level models write them

BLANK = -2
"""The word of a token that is white space."""

LAST_SPACE = 0x3000
IS_SPACE = np.array([chr(code).isspace() for code in range(LAST_SPACE + 2)])
"""Whether a character is white space, by its number; there is none behind the last."""


def space_of(tokenizer: Tokenizer) -> str | None:
    """What a tokenizer writes for the space before a word; None where it writes nothing, as WordPiece."""
    state = steps(tokenizer)
    for step in each(state["pre_tokenizer"], "pretokenizers"):
        if step["type"] == "ByteLevel":
            return SPACE_BYTE
        if step["type"] == "Metaspace":
            return str(step["replacement"])
    for step in each(state["normalizer"], "normalizers"):
        if step["type"] == "Replace" and step["pattern"] == {"String": " "}:
            return str(step["content"])
        if step["type"] == "ByteLevel":
            return SPACE_BYTE
    return None


def mark_of_words(tokenizer: Tokenizer) -> str | None:
    """What is set before a text that is one word, where nothing else is done to it before the model sees it."""
    cut = each(steps(tokenizer)["pre_tokenizer"], "pretokenizers")
    if [step["type"] for step in cut] not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        return None
    return None if cut[-1]["prepend_scheme"] == "never" else str(cut[-1]["replacement"])


def each(step: dict[str, Any] | None, parts: str) -> list[dict[str, Any]]:
    """The steps of a normalizer or a pre-tokenizer, one after the other; `parts` is the key of those of a sequence."""
    if step is None:
        return []
    return [inner for part in step[parts] for inner in each(part, parts)] if step["type"] == "Sequence" else [step]


def continues_word(tokenizer: Tokenizer) -> npt.NDArray[np.bool_] | None:
    """(V,) bool: the tokens that continue the word of the token before them; None where the tokenizer has no words.

    Those of WordPiece have a prefix. With a model that writes spaces, a token continues a word if it does not begin
    with one and its text would not be split from a letter before it, as punctuation is from a word by the rules of
    GPT-2. Each token of a word-level model is a word. Added tokens are words of their own.

    There are no words where every letter is split from the next, and where nothing in a token tells a beginning.
    """
    model = tokenizer.model
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    pieces = tokenizer.get_vocab(with_added_tokens=True)
    found = np.zeros(max(pieces.values()) + 1, np.bool_)
    cut = tokenizer.pre_tokenizer
    if cut is not None and len(cut.pre_tokenize_str("ab")) == 2:
        return None
    if isinstance(model, models.WordLevel):
        return found
    if prefix := getattr(model, "continuing_subword_prefix", None):
        for piece, number in pieces.items():
            found[number] = piece.startswith(prefix) and piece not in added
        return found
    space = space_of(tokenizer)
    if space is None:
        return None
    beginnings, joins = tuple(BYTES_OF_SPACE if space == SPACE_BYTE else space), _Joining(tokenizer, space)
    for piece, number in pieces.items():
        found[number] = not piece.startswith(beginnings) and piece not in added and joins.of(piece)
    return found


class _Joining(dict[str, bool]):
    """Whether a text stays with a letter before it, by the text, or by its first character where that is what tells."""

    def __init__(self, tokenizer: Tokenizer, space: str) -> None:
        super().__init__()
        self._tokenizer, self._cut = tokenizer, tokenizer.pre_tokenizer
        cut = each(steps(tokenizer)["pre_tokenizer"], "pretokenizers")
        decoder = tokenizer.decoder
        written = each(None if decoder is None else json.loads(decoder.__getstate__()), "decoders")
        self._first_tells = all(map(_keeps_to_spaces, cut)) and all(
            step["type"] in ("ByteLevel", "Metaspace", "ByteFallback", "Fuse")
            or (step["type"], step.get("pattern")) == ("Replace", {"String": space})
            for step in written
        )
        self._is_bytes = space == SPACE_BYTE

    def of(self, piece: str) -> bool:
        """The same of a token that begins with no space."""
        if self._cut is None:
            return True
        # Its text need not be decoded where it begins as it is written: no byte of a character, as "<0xE4>" is one.
        if self._first_tells and (piece.isascii() if self._is_bytes else piece[:1] != "<" and "\ufffd" not in piece):
            return self[piece[:1]]
        text = text_of(self._tokenizer, piece)
        return text is None or self[text[:1] if self._first_tells else text]  # None: some of the bytes of a character

    def __missing__(self, text: str) -> bool:
        assert self._cut is not None
        self[text] = joins = not any(end == 1 for _, (_, end) in self._cut.pre_tokenize_str(f"a{text}"))
        return joins


def spaced(words: Sequence[str], touching: Collection[int] = ()) -> list[str]:
    """The words of a text with the space before each; the first has none, nor have those of these numbers."""
    return [f" {word}" if number and number not in touching else word for number, word in enumerate(words)]


def without_spaces(text: str, offsets: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(T, 2) offsets of tokens without the white space at both ends; one that is nothing else ends before it begins.

    Args:
        text: in which the tokens stand.
        offsets: (T, 2), the first character of each and its end.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    is_space = IS_SPACE[np.minimum(codes, LAST_SPACE + 1)]
    places = np.arange(len(text) + 1, dtype=np.int32)
    first = np.minimum.accumulate(np.where(np.append(is_space, False), len(text), places)[::-1])[::-1]
    end = np.maximum.accumulate(np.where(np.append(False, is_space), 0, places))
    return np.stack([first[offsets[:, 0]], end[offsets[:, 1]]], axis=1).astype(np.int32)


def words_in(encoding: Encoding, text: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """(T, 2) offsets of the tokens of a text, without the space before them, and (T,) the number of each one's word.

    Words are split as the tokenizer splits them, and at white space where it leaves that to its model, as Gemma's does.
    A token that is white space is of no word, but ``BLANK``.

    Args:
        encoding: of the text, without special tokens.
        text: it.
    """
    whole, words = np.array(encoding.offsets, np.int32).reshape(-1, 2), np.array(encoding.word_ids, np.int32)
    offsets = without_spaces(text, whole)
    is_blank = offsets[:, 0] > offsets[:, 1]
    begins = (np.diff(words, prepend=-1) != 0) | (offsets[:, 0] > whole[:, 0]) | np.append(True, is_blank)[:-1]
    numbers = np.where(is_blank, BLANK, np.cumsum(begins & ~is_blank) - 1)
    return np.where(is_blank[:, None], whole, offsets), numbers.astype(np.int32)


@dataclass(frozen=True)
class Spelling:
    """How the tokens of a tokenizer are written.

    Attributes:
        tokenizer: it.
        mask: its token for masks as it is written.
        takes_space: whether the space before a mask belongs to it (``lstrip``), and so to what takes its place.
        prefix: of tokens that continue a word; "" where it is the first token of a word that has a mark.
    """

    tokenizer: Tokenizer
    mask: str
    takes_space: bool
    prefix: str

    @classmethod
    def of(cls, tokenizer: Tokenizer, mask: SpecialToken) -> Self:
        """That of a tokenizer with this token for masks."""
        added = tokenizer.get_added_tokens_decoder().get(mask.id)
        prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
        return cls(tokenizer, mask.content, added is not None and added.lstrip, prefix or "")

    def begins_with_space(self, before: str) -> bool:
        """Whether what takes the place of a mask is a token that begins with a space, by the text before the mask.

        So it is behind a space that is no token of its own, and at the beginning where the tokenizer puts one there.
        """
        if space_of(self.tokenizer) is None or (before and not before[-1].isspace()):
            return False
        tokens = self.tokenizer.encode(f"a {self.mask}" if before else "a", add_special_tokens=False).ids
        texts = self.shown(tokens)
        return texts[-2:-1] != [" "] if before else texts[0].startswith(" ")

    def shown(self, numbers: Sequence[int]) -> list[str]:
        """Tokens for readers: ``##ing`` of WordPiece as it is, of others their texts with the space before them."""
        return shown(self.tokenizer, numbers)

    def fill(self, text: str, numbers: Sequence[int]) -> str:
        """The text with a token in start of each mask; one that continues a word joins the word before it."""
        return "".join(self.filled(text, numbers))

    def filled(self, text: str, numbers: Sequence[int]) -> list[str]:
        """The same in parts: text, token, text, ..., token, text."""
        first, *others = text.split(self.mask)
        parts = [first]
        for token, other in zip(self.shown(numbers), others, strict=True):
            parts += [*self._joined(parts.pop(), token), other]
        return parts

    def _joined(self, before: str, token: str) -> tuple[str, str]:
        if self.prefix and token.startswith(self.prefix):
            return before.rstrip(), token.removeprefix(self.prefix)
        if self.takes_space and not self.prefix:
            return before.rstrip(), token if before.strip() else token.lstrip()
        return before, token.lstrip() if before[-1:].isspace() or not before else token


def shown(tokenizer: Tokenizer, numbers: Sequence[int]) -> list[str]:
    """Tokens for readers: where spaces are written, their texts with the space before them; else as in the vocabulary.

    A part of a character stays as the vocabulary has it, and so does an added token.
    """
    pieces = {number: tokenizer.id_to_token(number) or "" for number in numbers}
    if space_of(tokenizer) is not None:
        written = pieces.keys() - tokenizer.get_added_tokens_decoder().keys()
        pieces |= {number: text_of(tokenizer, pieces[number]) or pieces[number] for number in written}
    return [pieces[number] for number in numbers]


def text_of(tokenizer: Tokenizer, piece: str) -> str | None:
    """What a token writes, with the space before it where that is part of it; None for a part of a character."""
    if tokenizer.decoder is None:
        return piece
    text = str(tokenizer.decoder.decode(["a", piece]))[1:]
    return None if "\ufffd" in text else text


def joins_sentences(tokenizer: Tokenizer) -> bool:
    """Whether a text is the text of its sentences only with the spaces between them, which belong to what follows."""
    whole, first, second = (tokenizer.encode(text, add_special_tokens=False).ids for text in ("a b", "a", "b"))
    return bool(whole != first + second)


RULES_OF_SPACES = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Replace", "ByteLevel"}
"""Normalizers that see nothing across a space, with the replacement of spaces by a mark."""

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""The pattern of Llama 3 and GPT-4, no match of which reaches over a single space."""


def _keeps_to_spaces(step: dict[str, Any]) -> bool:
    """Whether a step of a pre-tokenizer sees nothing across a single space.

    Of those that do so, each one also splits a letter from what follows, or not, by the character that follows.
    """
    return step["type"] in ("ByteLevel", "Metaspace", "WhitespaceSplit") or (
        step["type"] == "Split" and step["pattern"] in ({"Regex": LLAMA_3}, {"String": " "})
    )


def cuts_at_spaces(tokenizer: Tokenizer, own: Sequence[AddedToken]) -> bool:
    """Whether the ids of ``"x y"`` are those of ``"x"`` and of ``" y"``, for whatever x and y without space at the cut.

    It is so where nothing looks across a single space: not the normalizer; not the pre-tokenizer, which is GPT-2's or
    Llama 3's pattern or a mark for spaces; not the model, none of whose tokens has a space behind another character;
    and no added token that takes the space behind it.
    """
    space, state = space_of(tokenizer), steps(tokenizer)
    normal, cut = each(state["normalizer"], "normalizers"), each(state["pre_tokenizer"], "pretokenizers")
    if space is None or any(token.rstrip or (token.normalized and token.lstrip) for token in own):
        return False
    for step in normal:
        if step["type"] not in RULES_OF_SPACES or (
            step["type"] == "Replace" and (step["pattern"], step["content"]) != ({"String": " "}, METASPACE)
        ):
            return False
    for step in cut:
        if not _keeps_to_spaces(step) or (step["type"] == "Metaspace" and step["replacement"] != METASPACE):
            return False
    across = re.compile(f"[^{re.escape(space)}]{re.escape(space)}")
    added = {token.content for token in own}
    return not any(across.search(piece) for piece in tokenizer.get_vocab() if piece not in added)
