"""Tokenizers without learnt tokens: single characters, and k-mers of sequences such as DNA and proteins."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from string import ascii_lowercase
from typing import ClassVar, Self

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from cloze.errors import InputError
from cloze.text.alphabet import SMALLEST_ALPHABET, alphabet, character_counts
from cloze.text.bert_rules import UNK, steps
from cloze.text.trained import TrainedTokenizer

ANY = "(?m:.)"
"""Any character, a line break as well."""

PATTERN = re.compile(rf"(\[(?:\w|\\\W)+\]\{{\d+\}}\|)?{re.escape(ANY)}")
"""The patterns of these tokenizers; their first part means the same to Python."""

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

MOST_KMERS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Characters(TrainedTokenizer):
    """One token a character, the space among them.

    Attributes:
        alphabet_size: characters that the vocabulary knows, the most frequent ones; others become ``[UNK]``. None takes
            1,000, or as many as 99.95 % of the text need.
    """

    mask_takes_space: ClassVar[bool] = False

    alphabet_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("alphabet_size")

    def planned_size(self) -> int:
        """With as many characters as are known at least."""
        return len(self._special) + 1 + (self.alphabet_size or SMALLEST_ALPHABET)

    def remedy(self) -> str:
        """Which key to set."""
        return f"raise tokenizer.alphabet_size={self.alphabet_size or SMALLEST_ALPHABET}"

    def _learnt(self, lines: Iterable[str]) -> Tokenizer:
        normalizer = self._normalizer(normalizers.Replace(Regex(r"\s+"), " "))
        letters = alphabet(character_counts(self._normalized(lines, normalizer)), self.alphabet_size)
        return self._word_level([" ", *letters], normalizer, ANY)

    def _word_level(self, tokens: Sequence[str], normalizer: normalizers.Normalizer | None, pattern: str) -> Tokenizer:
        """The tokenizer that looks up each match of a pattern."""
        ordered = dict.fromkeys([*(token.content for token in self._special), *tokens])
        tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(ordered)}, unk_token=UNK))
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        tokenizer.decoder = decoders.Fuse()
        return tokenizer


@dataclass(frozen=True, kw_only=True)
class Kmers(Characters):
    """Runs of `k` letters, one behind the other, of sequences such as DNA and proteins.

    What is left at the end of a sequence and around other characters, as the N of unknown bases, is read by single
    characters: the rule of the Nucleotide Transformer (Dalla-Torre et al. 2024). White space counts for nothing.

    Attributes:
        k: letters of a token.
        alphabet: the letters of the k-mers, all of whose combinations are tokens, as ``ACGT``. None takes the
            characters that cover 99.95 % of the text. The vocabulary has these and the other characters of the text as
            single ones, too.
        stride: letters from the beginning of one token to that of the next; None or `k`: tokens do not overlap.
        uppercase: make capitals of the letters a to z; genomes mark repeats with small letters.
    """

    k: int = 6
    alphabet: str | None = None
    stride: int | None = None
    uppercase: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("k", "stride")
        if self.lowercase and self.uppercase:
            raise InputError("tokenizer.lowercase and tokenizer.uppercase exclude each other: set one of them to false")
        if self.stride not in (None, self.k):
            raise InputError(
                f"tokenizer.stride={self.stride}: only {self.k}, the k of tokenizer.k, is possible: each letter of a "
                "text belongs to one token of a tokenizer.json, so that overlapping k-mers need code of their own "
                "where a model is used; and a masked token could be read off its neighbours"
            )
        if self.alphabet is not None:
            self._check_alphabet(self.alphabet)

    def _check_alphabet(self, letters: str) -> None:
        """Refuse letters of which there are no k-mers, or too many."""
        if not letters or len(set(letters)) < len(letters) or re.search(r"\s", letters):
            raise InputError(f"tokenizer.alphabet={letters!r}: expected different letters without blanks, as ACGT")
        if self.uppercase and letters != letters.upper():
            raise InputError(
                f"tokenizer.alphabet={letters}: with tokenizer.uppercase=true there are capitals only: take "
                f"{letters.upper()}, or set tokenizer.uppercase=false"
            )
        if (number := len(letters) ** self.k) > MOST_KMERS:
            raise InputError(
                f"tokenizer.k={self.k}: of {len(letters)} letters there are {number:,} k-mers, more than "
                f"{MOST_KMERS:,}: take a smaller k, or state the letters as tokenizer.alphabet=ACGT"
            )

    def planned_size(self) -> int:
        """That of the letters; of none that are stated, those of proteins."""
        letters = len(self.alphabet or AMINO_ACIDS)
        return len(self._special) + letters + (letters**self.k if self.k > 1 else 0)

    def remedy(self) -> str:
        """Nothing but the text decides them."""
        return (
            "the part of the text that was read for the vocabulary has none of them: raise tokenizer.sample_megabytes"
        )

    def _learnt(self, lines: Iterable[str]) -> Tokenizer:
        capitals = [normalizers.Replace(letter, letter.upper()) for letter in ascii_lowercase if self.uppercase]
        normalizer = self._normalizer(normalizers.Replace(Regex(r"\s+"), ""), *capitals)
        counts = character_counts(self._normalized(lines, normalizer))
        letters = self.alphabet
        if letters is None:
            letters = "".join(alphabet(counts, None, smallest=1))
            self._check_alphabet(letters)
        single = sorted({*letters, *alphabet(counts, self.alphabet_size)})
        kmers = map("".join, product(letters, repeat=self.k))
        group = "".join(map(re.escape, letters))
        return self._word_level([*single, *kmers], normalizer, f"[{group}]{{{self.k}}}|{ANY}")


class Pieces(dict[str, bytes]):
    """What these tokenizers make of a normalised text: the ids of each match of their pattern."""

    def __init__(self, pattern: re.Pattern[str], ids: dict[str, bytes], unknown: bytes) -> None:
        super().__init__(ids)
        self._pattern, self._unknown = pattern, unknown

    @classmethod
    def of(cls, tokenizer: Tokenizer, dtype: np.dtype) -> Self | None:
        """Those of a tokenizer, as bytes of this type; None where it is of another kind."""
        cut, model = steps(tokenizer)["pre_tokenizer"] or {}, tokenizer.model
        if cut.get("type") != "Split" or not isinstance(model, models.WordLevel):
            return None
        found = PATTERN.fullmatch(cut["pattern"].get("Regex", ""))
        ids = {piece: dtype.type(number).tobytes() for piece, number in tokenizer.get_vocab(False).items()}
        if found is None or (cut["behavior"], cut["invert"]) != ("Isolated", False) or model.unk_token not in ids:
            return None
        return cls(re.compile((found[1] or "") + "(?s:.)"), ids, ids[model.unk_token])

    def encode(self, text: str) -> bytes:
        """The ids of a text that is normalised."""
        return b"".join(map(self.__getitem__, self._pattern.findall(text)))

    def __missing__(self, _: str) -> bytes:
        return self._unknown
