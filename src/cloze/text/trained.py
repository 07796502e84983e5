"""Byte-level BPE and Unigram tokenizers, trained on a corpus.

Each class states how to train a tokenizer; ``train`` gives the same tokenizer, to the byte, for the same lines, in any
process: nothing of it depends on the order of a hash table or on threads.
"""

import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from cloze.errors import InputError
from cloze.runtime.distribution import installation
from cloze.text.alphabet import alphabet, bounded, character_counts, chunks
from cloze.text.bert_rules import (
    MASK,
    SPECIAL_TOKENS,
    UNK,
    check_own_tokens,
    own_pattern,
    template,
)
from cloze.text.folder_tokenizer import FolderTokenizer
from cloze.text.tokenizer_source import Learned, Lines, TokenizerSource

Normalization = Literal["none", "nfc", "nfkc"]

BYTES = 256

SENTENCEPIECE_THREADS = 16
"""Its sums over the text are grouped by threads, so that another number would give other scores: a constant."""


@dataclass(frozen=True, kw_only=True)
class TrainedTokenizer(TokenizerSource):
    """How to train a tokenizer on the corpus.

    Attributes:
        normalization: of Unicode: ``nfc`` composes characters with their marks; ``nfkc`` also makes one of characters
            that differ in their looks (full-width letters, ligatures); ``none`` leaves all as it is.
        lowercase: lower the case.
        special_tokens: tokens of your own, as ``<user>``: each is one token wherever it stands in a text, exactly as it
            is written.
        sample_megabytes: text that training takes into account at most, from the beginning of what it is given.
    """

    mask_takes_space: ClassVar[bool] = True
    """Whether the space before a mask belongs to it, as in ModernBERT: the tokens of words have theirs."""

    normalization: Normalization = "nfc"
    lowercase: bool = False
    special_tokens: Sequence[str] = ()
    sample_megabytes: float = 64.0

    def __post_init__(self) -> None:
        check_own_tokens(self.special_tokens)
        if self.normalization not in get_args(Normalization):
            raise InputError(
                f"tokenizer.normalization={self.normalization}: expected one of {', '.join(get_args(Normalization))}"
            )
        self._check_positive("sample_megabytes")

    def _check_positive(self, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise InputError(f"tokenizer.{key}={value}: must be positive")

    def remedy_of_altered(self) -> str:
        """Which key to set: the one normal form that alters letters is NFKC."""
        return "set tokenizer.normalization=nfc to keep them"

    def learn(self, lines: Lines) -> Learned:
        """The tokenizer that a text teaches."""
        return Learned(FolderTokenizer(self.train(lines()), {}), self, [])

    def train(self, lines: Iterable[str]) -> Tokenizer:
        """The tokenizer learnt from `lines`, of which those beyond `sample_megabytes` are not read.

        Raises:
            InputError: the lines hold no text, or the package that trains is not installed.
        """
        tokenizer = self._learnt(self._without_own(lines))
        tokenizer.add_special_tokens(self._special)
        tokenizer.post_processor = template(tokenizer)
        return tokenizer

    @abstractmethod
    def _learnt(self, lines: Iterable[str]) -> Tokenizer:
        """The tokenizer without special tokens."""

    @property
    def _special(self) -> list[AddedToken]:
        """BERT's special tokens and the user's own, in this order of ids."""
        return [
            AddedToken(token, special=True, normalized=False, lstrip=self.mask_takes_space and token == MASK)
            for token in (*SPECIAL_TOKENS, *self.special_tokens)
        ]

    def _without_own(self, lines: Iterable[str]) -> Iterable[str]:
        if not self.special_tokens:
            return lines
        own = own_pattern(self.special_tokens)
        return (own.sub(" ", line) for line in lines)

    def _normalized(self, lines: Iterable[str], normalizer: normalizers.Normalizer | None) -> Iterator[str]:
        """The text that is read, normalised, by about a million characters."""
        for text in chunks(lines, self.sample_megabytes * 1e6):
            yield text if normalizer is None else normalizer.normalize_str(text)

    def _normalizer(self, *others: normalizers.Normalizer) -> normalizers.Normalizer | None:
        """Unicode's normal form and the case, then others."""
        steps: list[normalizers.Normalizer] = []
        if self.normalization != "none":
            steps.append(normalizers.NFC() if self.normalization == "nfc" else normalizers.NFKC())
        if self.lowercase:
            steps.append(normalizers.Lowercase())
        steps += others
        return normalizers.Sequence(steps) if len(steps) > 1 else steps[0] if steps else None


@dataclass(frozen=True, kw_only=True)
class ByteLevelBPE(TrainedTokenizer):
    """Byte-pair merges over the bytes of UTF-8, cut by the rule of GPT-2 (Radford et al. 2019); as ModernBERT's.

    Every text can be written with it: there are no unknown characters.

    Attributes:
        vocab_size: tokens to train, the special tokens and the 256 bytes included; a small corpus may give fewer.
        add_prefix_space: put a space before each text, so that its first word has the token that it has elsewhere. A
            corpus is encoded sentence by sentence.
        min_frequency: how often a pair of tokens must occur to be joined in training.
    """

    vocab_size: int = 32_768
    add_prefix_space: bool = True
    min_frequency: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("min_frequency")
        least = BYTES + len(self._special)
        if self.vocab_size < least:
            raise InputError(
                f"tokenizer.vocab_size={self.vocab_size}: must be at least {least}, the {BYTES} bytes and the special "
                "tokens"
            )

    def planned_size(self) -> int:
        """`vocab_size`."""
        return self.vocab_size

    def _learnt(self, lines: Iterable[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE(unk_token=UNK))
        if (normalizer := self._normalizer()) is not None:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=self.add_prefix_space, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()
        # Its merges are ordered by counts, then by ids, and those of the bytes are given: no hash table decides.
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=self._special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        read = _Counting(bounded(lines, self.sample_megabytes * 1e6))
        tokenizer.train_from_iterator(read, trainer)
        if not read.characters:
            raise InputError("corpus: there is no text to train a vocabulary from; check corpus.files")
        return tokenizer


@dataclass(frozen=True, kw_only=True)
class Unigram(TrainedTokenizer):
    """The unigram language model of SentencePiece (Kudo 2018), trained by SentencePiece.

    Spaces belong to the words behind them. Needs the package sentencepiece for training: the trainer of the tokenizers
    library adds up its floats in the order of a hash table, so that each run would give another vocabulary.

    Attributes:
        vocab_size: tokens to train, the special tokens included; a small corpus may give fewer.
        alphabet_size: characters that the vocabulary knows, the most frequent ones. None takes 1,000, or as many as
            99.95 % of the text need. At most half of `vocab_size`.
        byte_fallback: write other characters with tokens of their bytes, of which there are 256; without, they become
            ``[UNK]``.
    """

    vocab_size: int = 32_768
    normalization: Normalization = "nfkc"
    alphabet_size: int | None = None
    byte_fallback: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("alphabet_size")
        least = 100 + len(self.special_tokens) + BYTES * self.byte_fallback
        if self.vocab_size < least:
            raise InputError(f"tokenizer.vocab_size={self.vocab_size}: must be at least {least}")

    def planned_size(self) -> int:
        """`vocab_size`."""
        return self.vocab_size

    def remedy(self) -> str:
        """Which key to set."""
        if self.alphabet_size is not None and 2 * self.alphabet_size < self.vocab_size:
            return f"raise tokenizer.alphabet_size={self.alphabet_size}"
        return f"raise tokenizer.vocab_size={self.vocab_size}, or set tokenizer.byte_fallback=true"

    def _learnt(self, lines: Iterable[str]) -> Tokenizer:
        normalizer = self._normalizer()
        texts = list(self._normalized(lines, normalizer))
        counts = character_counts(texts)
        letters = alphabet(counts, self.alphabet_size, (self.vocab_size - BYTES * self.byte_fallback) // 2)
        counts[list(map(ord, letters))] = 0
        without_rare = dict.fromkeys(np.flatnonzero(counts).tolist(), " ")
        sentences = (" ".join(line.split()) for text in texts for line in text.translate(without_rare).splitlines())
        pieces = self._pieces(sentence for sentence in sentences if sentence)
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=self.byte_fallback))
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        words = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), words])
        fallback = [decoders.ByteFallback()] if self.byte_fallback else []
        tokenizer.decoder = decoders.Sequence([*fallback, decoders.Metaspace(prepend_scheme="always")])
        return tokenizer

    def _pieces(self, sentences: Iterator[str]) -> list[tuple[str, float]]:
        """The tokens with the logarithms of their probabilities; the first is that of unknown characters.

        The other special tokens are no part of the model, in which a text would find them.
        """
        try:
            from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
        except ImportError as error:
            raise InputError(
                f"tokenizer=unigram is trained by the package sentencepiece, which is not installed: "
                f"{installation('unigram')}, or take tokenizer=bpe"
            ) from error
        model = io.BytesIO()
        SentencePieceTrainer.train(
            sentence_iterator=sentences,
            model_writer=model,
            model_type="unigram",
            vocab_size=self.vocab_size - len(self._special) + 1,
            character_coverage=1.0,  # the others are gone
            normalization_rule_name="identity",
            byte_fallback=self.byte_fallback,
            hard_vocab_limit=False,
            max_sentence_length=1 << 30,  # bytes; longer ones would be left out
            num_threads=SENTENCEPIECE_THREADS,
            unk_piece=UNK,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )
        processor: Any = SentencePieceProcessor(model_proto=model.getvalue())
        return [(processor.id_to_piece(number), processor.get_score(number)) for number in range(len(processor))]


class _Counting:
    """Lines that know whether there was any text among them."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines, self.characters = lines, 0

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.characters += len(line.strip())
            yield line
