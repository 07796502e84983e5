"""Training a WordPiece vocabulary."""

from collections.abc import Iterable, Iterator

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from cloze.errors import InputError
from cloze.text.bert_rules import own_pattern
from cloze.text.tokenizer import PREFIX, SPECIAL_TOKENS, UNK, WordPiece, build_normalizer

CHUNK_CHARACTERS = 1 << 20
UNICODE_SIZE = 0x110000

SMALLEST_ALPHABET, COVERAGE = 1_000, 0.9995
"""Characters that a vocabulary knows where `alphabet_size` is None, or as many as cover this share of the text (the
default of SentencePiece, Kudo and Richardson 2018)."""


def train_vocabulary(lines: Iterable[str], config: WordPiece) -> list[str]:
    """The tokens learnt from `lines`, special tokens first; the same lines give the same tokens.

    Training is byte-pair merging over word counts, by the trainer of the tokenizers library. The alphabet is chosen and
    ordered here: the library's own order comes from hash tables, and it breaks ties between merges by that order, so
    that each run would give another vocabulary.

    Args:
        lines: text in a fair order; what lies beyond ``config.sample_megabytes`` is not read.
        config: sizes and normalisation.

    Raises:
        InputError: the lines hold no text.
    """
    normalizer = build_normalizer(
        lowercase=config.lowercase, chinese_characters=config.chinese_characters, strip_accents=config.strip_accents
    )
    own = own_pattern(config.special_tokens)
    chunks = [normalizer.normalize_str(own.sub(" ", text)) for text in _chunks(lines, config.sample_megabytes * 1e6)]
    counts = sum((_character_counts(chunk) for chunk in chunks), np.zeros(UNICODE_SIZE, np.int64))
    counts[[ord(character) for character in " \t\n\r"]] = 0
    if not counts.any():
        raise InputError("corpus: there is no text to train a vocabulary from; check corpus.files")
    # The most frequent characters, the lower code point first where counts are equal.
    order = np.argsort(-counts, kind="stable")
    frequent = order[: min(config.alphabet_size or _alphabet_size(counts[order]), config.vocab_size // 2)]
    alphabet = [chr(code) for code in np.sort(frequent[counts[frequent] > 0])]
    counts[frequent] = 0
    without_rare = dict.fromkeys(np.flatnonzero(counts).tolist(), " ")

    words = pre_tokenizers.BertPreTokenizer()
    # Punctuation and Chinese characters are words of their own.
    within_words = [c for c in alphabet if len(words.pre_tokenize_str(normalizer.normalize_str(f"a{c}"))) == 1]
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.pre_tokenizer = words
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(
            dict.fromkeys(
                [*SPECIAL_TOKENS, *config.special_tokens, *alphabet, *(PREFIX + letter for letter in within_words)]
            )
        ),
        continuing_subword_prefix=PREFIX,
        show_progress=False,
    )
    tokenizer.train_from_iterator((chunk.translate(without_rare) for chunk in chunks), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def _alphabet_size(counts: np.ndarray) -> int:
    """How many characters to know; `counts` (UNICODE_SIZE,) falls."""
    covering = np.searchsorted(np.cumsum(counts), COVERAGE * counts.sum()) + 1
    return max(SMALLEST_ALPHABET, int(covering))


def _chunks(lines: Iterable[str], max_bytes: float) -> Iterator[str]:
    """Lines joined to about a million characters each, up to `max_bytes` of UTF-8 in all."""
    gathered: list[str] = []
    characters = taken = 0
    for line in lines:
        gathered.append(line)
        characters += len(line) + 1
        if characters >= CHUNK_CHARACTERS:
            chunk = "\n".join(gathered)
            yield chunk
            taken += len(chunk.encode())
            gathered, characters = [], 0
            if taken >= max_bytes:
                return
    yield "\n".join(gathered)


def _character_counts(text: str) -> np.ndarray:
    return np.bincount(np.frombuffer(text.encode("utf-32-le"), np.uint32), minlength=UNICODE_SIZE)
