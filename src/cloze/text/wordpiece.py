"""Training a WordPiece vocabulary."""

from collections.abc import Iterable

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from cloze.text.alphabet import alphabet, character_counts, chunks
from cloze.text.bert_rules import own_pattern
from cloze.text.tokenizer import PREFIX, SPECIAL_TOKENS, UNK, WordPiece, build_normalizer


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
    texts = [normalizer.normalize_str(own.sub(" ", text)) for text in chunks(lines, config.sample_megabytes * 1e6)]
    counts = character_counts(texts)
    letters = alphabet(counts, config.alphabet_size, config.vocab_size // 2)
    counts[list(map(ord, letters))] = 0
    without_rare = dict.fromkeys(np.flatnonzero(counts).tolist(), " ")

    words = pre_tokenizers.BertPreTokenizer()
    # Punctuation and Chinese characters are words of their own.
    within_words = [c for c in letters if len(words.pre_tokenize_str(normalizer.normalize_str(f"a{c}"))) == 1]
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.pre_tokenizer = words
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(
            dict.fromkeys(
                [*SPECIAL_TOKENS, *config.special_tokens, *letters, *(PREFIX + letter for letter in within_words)]
            )
        ),
        continuing_subword_prefix=PREFIX,
        show_progress=False,
    )
    tokenizer.train_from_iterator((text.translate(without_rare) for text in texts), trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=ids.__getitem__)
