"""BERT's tokenizer, with the ids of Hugging Face's BertTokenizerFast: basic tokenisation, then WordPiece."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from cloze.errors import InputError
from cloze.text.bert_rules import (
    CLS,
    LONGEST_WORD,
    MASK,
    PAD,
    PREFIX,
    SEP,
    SPECIAL_TOKENS,
    UNK,
    add_own_tokens,
    bert_rules,
    build_normalizer,
    build_tokenizer,
    check_own_tokens,
    read_vocabulary,
)
from cloze.text.folder_tokenizer import (
    FolderTokenizer,
    load_tokenizer,
    read_tokenizer,
    save_tokenizer,
    tokenizer_sha256,
    vocabulary,
)
from cloze.text.special_tokens import CONFIG
from cloze.text.tokenizer_files import WHOLE
from cloze.text.tokenizer_source import GivenTokenizer, Learned, Lines, TokenizerSource

__all__ = [
    "CLS",
    "LONGEST_WORD",
    "MASK",
    "PAD",
    "PREFIX",
    "SEP",
    "SPECIAL_TOKENS",
    "UNK",
    "ContinuedWordPiece",
    "FolderTokenizer",
    "GivenTokenizer",
    "TokenizerSource",
    "WordPiece",
    "build_normalizer",
    "build_tokenizer",
    "load_tokenizer",
    "read_tokenizer",
    "read_vocabulary",
    "save_tokenizer",
    "tokenizer_sha256",
    "vocabulary",
]


@dataclass(frozen=True, kw_only=True)
class WordPiece(TokenizerSource):
    """Which vocabulary to use, or how to train one.

    Attributes:
        vocab: a ``vocab.txt`` (one token a line) or the folder that holds it; None trains one from the corpus.
        vocab_size: tokens to train, the special tokens included; a small corpus may give fewer.
        lowercase: lower the case and strip accents (BERT's "uncased").
        chinese_characters: put spaces around Chinese characters, so that each is a word.
        strip_accents: decompose characters and drop the marks (``schön`` becomes ``schon``). None does as `lowercase`
            says; where a vocabulary is trained on text in which marks carry meaning, they are kept.
        alphabet_size: characters that a trained vocabulary knows, the most frequent ones; words with others become
            ``[UNK]``. None takes 1,000, or as many as 99.95 % of the text need. At most half of `vocab_size`.
        max_input_chars_per_word: characters of a word from which on it becomes ``[UNK]``. None takes 100 as BERT does;
            where a vocabulary is trained on text without spaces, 1,000.
        min_frequency: how often a pair of tokens must occur to be joined in training.
        special_tokens: tokens of your own, as ``<user>``: each is one token wherever it stands in a text, exactly as it
            is written. They take the ids behind BERT's own where a vocabulary is trained, else those behind all others;
            one that is in the vocabulary keeps its id.
        sample_megabytes: text that training takes into account at most, from the beginning of what it is given. It
            bounds memory: training needs about five times as much.
    """

    vocab: str | None = None
    vocab_size: int = 30_522
    lowercase: bool = True
    chinese_characters: bool = True
    strip_accents: bool | None = None
    alphabet_size: int | None = None
    max_input_chars_per_word: int | None = None
    min_frequency: int = 2
    special_tokens: Sequence[str] = ()
    sample_megabytes: float = 64.0

    def __post_init__(self) -> None:
        check_own_tokens(self.special_tokens)
        least = 100 + len(self.special_tokens)
        if self.vocab_size < least:
            raise InputError(f"tokenizer.vocab_size={self.vocab_size}: must be at least {least}")
        for key in ("alphabet_size", "max_input_chars_per_word", "min_frequency", "sample_megabytes"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise InputError(f"tokenizer.{key}={value}: must be positive")

    @property
    def strips_accents(self) -> bool:
        return self.lowercase if self.strip_accents is None else self.strip_accents

    @property
    def longest_word(self) -> int:
        return self.max_input_chars_per_word or LONGEST_WORD

    @property
    def is_given(self) -> bool:
        return self.vocab is not None

    def planned_size(self) -> int:
        """That of the given vocabulary, else `vocab_size`."""
        return int(self.given().tokenizer.get_vocab_size()) if self.is_given else self.vocab_size

    def learn(self, lines: Lines) -> Learned:
        """A vocabulary, with the settings that the text decides where they are left to it."""
        from cloze.text.scripts import suited  # both know this class
        from cloze.text.wordpiece import train_vocabulary

        settings, notes = suited(self, lines())
        return Learned(FolderTokenizer(settings.build(train_vocabulary(lines(), settings)), {}), settings, notes)

    def notes(self, tokenizer: FolderTokenizer) -> list[str]:
        """Which tokens these settings take from every text."""
        from cloze.text.scripts import unreachable

        return unreachable(self, vocabulary(tokenizer.tokenizer))

    def remedy(self) -> str:
        """Which key to set."""
        if self.is_given:
            return "the given vocabulary lacks them: leave tokenizer.vocab= out, or with init= set grow.vocab_size"
        if self.alphabet_size is None or 2 * self.alphabet_size >= self.vocab_size:
            return f"raise tokenizer.vocab_size={self.vocab_size}"
        return f"raise tokenizer.alphabet_size={self.alphabet_size}"

    def remedy_of_altered(self) -> str:
        """Which key to set."""
        known = ", with a vocabulary that has them" if self.is_given else ""
        return f"set tokenizer.strip_accents=false to keep them{known}"

    def build(self, vocab: Sequence[str]) -> Tokenizer:
        """The tokenizer of `vocab` with this normalisation and these special tokens."""
        tokenizer = build_tokenizer(
            vocab,
            lowercase=self.lowercase,
            chinese_characters=self.chinese_characters,
            strip_accents=self.strip_accents,
            max_input_chars_per_word=self.longest_word,
        )
        add_own_tokens(tokenizer, self.special_tokens)
        return tokenizer

    def given(self) -> FolderTokenizer:
        """The tokenizer of `vocab`, which has to agree with this normalisation where it is a whole tokenizer.

        Raises:
            InputError: it cannot be read, does not agree, or is not BERT's.
        """
        place = Path(self.vocab or "")
        if not any((place / name).is_file() for name in (WHOLE, CONFIG)):
            return FolderTokenizer(self.build(read_vocabulary(place, lowercase=self.lowercase)), {})
        found = read_tokenizer(place)
        rules = bert_rules(found.tokenizer)
        if rules is None or not found.is_dense:
            raise InputError(
                f"{place}: its tokenizer is not BERT's (other rules, or ids that nothing has): give it as "
                "tokenizer=folder tokenizer.vocab=FOLDER, which takes any"
            )
        longest = found.tokenizer.model.max_input_chars_per_word
        strips = rules["do_lower_case"] if rules["strip_accents"] is None else rules["strip_accents"]
        for key, own, there in (
            ("lowercase", self.lowercase, rules["do_lower_case"]),
            ("chinese_characters", self.chinese_characters, rules["tokenize_chinese_chars"]),
            ("strip_accents", self.strips_accents, strips),
            ("max_input_chars_per_word", self.max_input_chars_per_word or longest, longest),
        ):
            if own != there:
                raise InputError(
                    f"tokenizer.{key} is {json.dumps(own)}, but that of {place} is {json.dumps(there)}: set "
                    f"tokenizer.{key}={json.dumps(there)}"
                )
        return found.with_tokens(self.special_tokens) if self.special_tokens else found


@dataclass(frozen=True, kw_only=True)
class ContinuedWordPiece(WordPiece):
    """The tokenizer of the model of `init`, of whatever kind it is: the keys are for those of BERT's kind.

    They may say nothing else than that tokenizer; `sample_megabytes` is of the text that new tokens are chosen from.
    """
