"""Detect the scripts of a text, and what BERT's default settings would remove from it.

BERT's uncased vocabularies are made for English: lower-casing decomposes each character and drops the marks, and a word
of more than 100 characters is not looked at. In most other scripts the marks carry meaning, and some are written
without spaces, so that a "word" is what stands between two of them.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from cloze.runtime.wording import counted
from cloze.text.documents import SentenceSplitter
from cloze.text.encoding import CHINESE, PUNCTUATION
from cloze.text.normalization import SHOWN, changes
from cloze.text.sentences import Lines, Unicode
from cloze.text.tokenizer import LONGEST_WORD, WordPiece

KEPT_FROM = 0.001
"""Share of the letters altered by accent stripping from which on accents are kept. English text has 0.0003 at most,
German 0.015, Arabic 0.05, Japanese 0.08, Thai 0.23, Korean 0.9 (docs/your_language.md)."""

LONG_FROM = 0.001
"""Share of the characters in words over 100 characters, of scripts without spaces, from which on these are read."""

LONGEST_WITHOUT_SPACES = 1_000
"""Characters of a word that are read where words are not set apart; WordPiece's time grows with their square."""

WITHOUT_SPACES = re.compile(
    f"[{CHINESE}"
    r"\u0e01-\u0edf"  # Thai, Lao
    r"\u1000-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f"  # Burmese
    r"\u1780-\u17d3"  # Khmer
    r"\u1950-\u19df\u1a20-\u1aad\uaa80-\uaadf"  # the Tai scripts
    r"\u1b00-\u1b59\ua980-\ua9c0"  # Balinese, Javanese
    r"\u3040-\u30ff\uff66-\uff9f]"  # Japanese
)
"""A character of the scripts that set no spaces between words."""

THAI = re.compile(r"[\u0e01-\u0e5b]")

LINES_CUT = 2_000
"""From the beginning of the text, to see whether its sentences are found."""

WORD = {chinese: re.compile(f"[^\\s{PUNCTUATION}{CHINESE if chinese else ''}]+") for chinese in (True, False)}
"""About what the pre-tokeniser takes for a word, with Chinese characters apart and without."""

SCRIPT_NAMES = {"Cjk": "Chinese characters", "Hiragana": "Japanese", "Katakana": "Japanese", "Combining": "loose marks"}
"""Where the first word of a character's name is not what its script is called."""


class Writing(NamedTuple):
    """What a text is written with.

    Attributes:
        letters: letters and marks, all scripts together.
        scripts: of them, how many are of each script.
        altered: of them, those that accent stripping alters, by character.
        characters: all characters that are not white space.
        long: of them, those in words that are too long for BERT, in scripts without spaces.
    """

    letters: int
    scripts: Counter[str]
    altered: Counter[str]
    characters: int
    long: int


def writing(lines: Iterable[str], *, chinese_characters: bool = True) -> Writing:
    """Counts the characters of a text; `chinese_characters` says that each Chinese character is a word."""
    counts: Counter[str] = Counter()
    long = 0
    for line in lines:
        counts.update(line)
        if len(line) > LONGEST_WORD and WITHOUT_SPACES.search(line):
            words = WORD[chinese_characters].findall(line)
            long += sum(len(word) for word in words if len(word) > LONGEST_WORD and WITHOUT_SPACES.search(word))
    scripts: Counter[str] = Counter()
    altered: Counter[str] = Counter()
    for character, count in counts.items():
        if unicodedata.category(character)[0] in "LM":
            scripts[script_of(character)] += count
            if without_accents(character) != character:
                altered[character] += count
    characters = sum(count for character, count in counts.items() if not character.isspace())
    return Writing(scripts.total(), scripts, altered, characters, long)


def script_of(character: str) -> str:
    """The script of a letter, as the first word of its name in Unicode says it.

    >>> [script_of(character) for character in "aяกが漢"]
    ['Latin', 'Cyrillic', 'Thai', 'Japanese', 'Chinese characters']
    """
    words = unicodedata.name(character, "unnamed").removeprefix("HALFWIDTH ").removeprefix("FULLWIDTH ")
    word = re.split("[ -]", words, maxsplit=1)[0].capitalize()
    return SCRIPT_NAMES.get(word, word)


def without_accents(text: str) -> str:
    """What BERT's accent stripping makes of a text: decomposed, without the marks that take no space.

    >>> without_accents("schön である")
    'schon てある'
    """
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


def suited(config: WordPiece, lines: Iterable[str]) -> tuple[WordPiece, list[str]]:
    """The settings of a vocabulary that is to be trained, with those decided by the text that are left to it.

    Args:
        config: what is asked; what is stated holds.
        lines: the text.

    Returns:
        The settings, and what to say about them.
    """
    found: Writing = writing(lines, chinese_characters=config.chinese_characters)
    notes: list[str] = []
    altered = found.altered.total() / max(found.letters, 1)
    if config.strip_accents is None and config.lowercase and altered >= KEPT_FROM:
        facts = f"{altered:.1%} of the letters ({_scripts(found)}; {_examples(found.altered)})"
        config = replace(config, strip_accents=False)
        notes.append(
            f"warning: accent stripping, which comes with tokenizer.lowercase=true, would alter {facts}; it is left "
            "out: set tokenizer.strip_accents=false to say so, or tokenizer.strip_accents=true to have it"
        )
    long = found.long / max(found.characters, 1)
    if config.max_input_chars_per_word is None and long >= LONG_FROM:
        config = replace(config, max_input_chars_per_word=LONGEST_WITHOUT_SPACES)
        notes.append(
            f"warning: {long:.1%} of the characters stand in words of more than {LONGEST_WORD} characters, since the "
            f"text has few spaces; BERT makes each of these words one [UNK], so here words of up to "
            f"{LONGEST_WITHOUT_SPACES:,} characters are read; tokenizer.max_input_chars_per_word={LONGEST_WORD} sets "
            "BERT's limit"
        )
    return config, notes


def sentence_notes(splitter: SentenceSplitter, lines: Iterable[str]) -> list[str]:
    """What to say of rules for sentences that find none in this text, since its script has no marks for their ends."""
    text = [line for line in islice(lines, LINES_CUT) if 2 * len(THAI.findall(line)) > len(line)]
    found, there = (sum(len(rules.split(line)) for line in text) for rules in (splitter, Unicode(language="th")))
    if not text or isinstance(splitter, Lines) or there < 2 * found:
        return []
    known = (
        "set sentences=unicode sentences.language=th to split at spaces, or sentences=line where a line is a sentence"
    )
    return [f"warning: the text is Thai, whose sentences have no marks at their ends, so that few are found; {known}"]


def unreachable(config: WordPiece, vocab: Sequence[str]) -> list[str]:
    """What to say of a given vocabulary with tokens that these settings take from every text."""
    altered = [token for token in vocab if without_accents(token) != token] if config.strips_accents else []
    if len(altered) < KEPT_FROM * len(vocab):
        return []
    found = (
        f"warning: {counted(len(altered), 'tokens')} of {config.vocab} can never be found (as {', '.join(altered[:3])})"
    )
    return [f"{found}, since accents are stripped from the text; to keep them, set tokenizer.strip_accents=false"]


def _scripts(found: Writing) -> str:
    """The scripts of most of the altered characters."""
    counts: Counter[str] = Counter()
    for character, count in found.altered.items():
        counts[script_of(character)] += count
    return ", ".join(script for script, count in counts.most_common(3) if count >= 0.1 * counts.total())


def _examples(altered: Counter[str]) -> str:
    return changes({letter: without_accents(letter) for letter, _ in altered.most_common(SHOWN)})
