"""Add tokens to an existing vocabulary, from a file or chosen from a corpus."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import pre_tokenizers

from cloze.errors import InputError
from cloze.files.bounded import read_text
from cloze.runtime.wording import counted
from cloze.text.bert_rules import own_pattern
from cloze.text.documents import Source, Unit
from cloze.text.tokenizer import PREFIX, WordPiece, build_normalizer
from cloze.text.wordpiece import train_vocabulary

SAMPLED_UNITS = 16
"""Tokens are chosen from at least this many places of the corpus."""


def tokens_of_word(piece: str, vocab: Collection[str]) -> list[str]:
    """The longest-first split of a word, or of a token that continues one, into tokens of `vocab`; else empty.

    >>> tokens_of_word("##ological", {"##olog", "##ical", "log"})
    ['##olog', '##ical']
    """
    prefix = PREFIX if piece.startswith(PREFIX) else ""
    rest, found = piece.removeprefix(PREFIX), []
    while rest:
        end = next((end for end in range(len(rest), 0, -1) if prefix + rest[:end] in vocab), 0)
        if not end:
            return []
        found.append(prefix + rest[:end])
        rest, prefix = rest[end:], PREFIX
    return found


def read_new_tokens(path: str | Path, vocab: Sequence[str], words: WordPiece) -> list[str]:
    """The tokens of a file, one a line, that are not in `vocab` yet, in the order of the file.

    Args:
        path: the file; empty lines and the blanks around a token do not count.
        vocab: what there is.
        words: the normalisation, under which each new token must be possible.

    Raises:
        InputError: the file cannot be read, holds nothing new, or a token that no text could ever be split into.
    """
    lines = read_lines(path)
    known, new, impossible = set(vocab), [], []
    cut = _Cut(words)
    for number, piece in enumerate(lines, start=1):
        if piece and piece not in known:
            known.add(piece)
            new.append(piece)
            if not cut.can_give(piece):
                impossible.append((number, piece))
    if impossible:
        number, piece = impossible[0]
        others = f"; the same holds for {counted(len(impossible) - 1, 'more lines')}" if len(impossible) > 1 else ""
        raise InputError(
            f"{path}, line {number}: {piece!r} can never be found, since this tokenizer makes "
            f"{' '.join(map(repr, cut.words(piece))) or 'nothing'} of it; change the line or remove it{others}"
        )
    if not new:
        raise InputError(f"{path}: holds no token that is not in the vocabulary already; leave grow.vocab out")
    return new


def read_lines(path: str | Path) -> list[str]:
    """The lines of a file of tokens, without the blanks around them.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return [line.strip() for line in read_text(Path(path)).splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the tokens are not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: the tokens cannot be read ({error.strerror}); set grow.vocab") from error


def useful_tokens(lines: Sequence[str], vocab: Sequence[str], words: WordPiece, count: int) -> list[str]:
    """New tokens for a corpus, the most useful one first.

    A vocabulary is trained on the corpus. Each of its tokens that `vocab` lacks is worth how often it would be used,
    times the tokens that this saves; in a word that was ``[UNK]``, the characters that it makes readable.

    Args:
        lines: text of the corpus.
        vocab: what there is.
        words: the normalisation, and the settings of training.
        count: how many tokens.

    Raises:
        InputError: the corpus gives fewer.
    """
    # So large that there are enough even if it holds all that is known.
    size = max(100 + len(words.special_tokens), len(vocab) + count)
    settings = replace(words, vocab=None, vocab_size=size)
    known, longest = set(vocab), words.longest_word
    candidates = known.union(train_vocabulary(lines, settings))
    worth: Counter[str] = Counter()
    for word, times in _count_words(lines, words).items():
        if len(word) <= longest:
            was_read = bool(tokens_of_word(word, known))
            for piece in tokens_of_word(word, candidates):
                if piece not in known:
                    saved = len(tokens_of_word(piece, known)) - 1 if was_read else len(piece.removeprefix(PREFIX))
                    worth[piece] += times * saved
    best = sorted((piece for piece in worth if worth[piece] > 0), key=lambda piece: (-worth[piece], piece))
    if len(best) < count:
        raise InputError(
            f"grow.vocab_size={len(vocab) + count}: the corpus gives only {len(best):,} useful tokens beyond the "
            f"{len(vocab):,} there are; take at most {len(vocab) + len(best)}"
        )
    return best[:count]


def sample_lines(source: Source, megabytes: float) -> Iterator[str]:
    """Lines from the beginnings of evenly spaced pieces of a corpus, about this many megabytes in all."""
    units = source.units()
    budget, total = megabytes * 1e6, sum(unit.bytes for unit in units)
    if total <= budget:
        yield from _lines(source, units, math.inf)
        return
    count = min(len(units), max(SAMPLED_UNITS, math.ceil(len(units) * budget / total)))
    for index in range(count):
        yield from _lines(source, [units[index * len(units) // count]], budget / count)


def _lines(source: Source, units: Iterable[Unit], budget: float) -> Iterator[str]:
    for unit in units:
        for document in source.documents(unit, Counter()):
            yield from document.lines
            budget -= sum(len(line.encode()) + 1 for line in document.lines)
            if budget <= 0:
                return


def possible(piece: str, words: WordPiece) -> bool:
    """Whether the tokenizer finds a token in some text."""
    return _Cut(words).can_give(piece)


class _Cut:
    """What the tokenizer does before WordPiece."""

    def __init__(self, words: WordPiece) -> None:
        self.normalizer = build_normalizer(
            lowercase=words.lowercase, chinese_characters=words.chinese_characters, strip_accents=words.strip_accents
        )
        self.splitter = pre_tokenizers.BertPreTokenizer()
        self.longest = words.longest_word

    def words(self, text: str) -> list[str]:
        return [word for word, _ in self.splitter.pre_tokenize_str(self.normalizer.normalize_str(text))]

    def can_give(self, piece: str) -> bool:
        """Whether some text has a word that is the token, or continues with it."""
        word = f"a{piece.removeprefix(PREFIX)}" if piece.startswith(PREFIX) else piece
        return len(word) <= self.longest and piece != PREFIX and self.words(word) == [word]


def _count_words(lines: Iterable[str], words: WordPiece) -> Counter[str]:
    """How often each word stands in the text; each chunk between spaces is split once, as words follow Zipf's law."""
    chunks: Counter[str] = Counter()
    own = own_pattern(words.special_tokens)
    for line in lines:
        chunks.update(own.sub(" ", line).split())
    cut, counts = _Cut(words), Counter[str]()
    for chunk, times in chunks.items():
        for word in cut.words(chunk):
            counts[word] += times
    return counts
