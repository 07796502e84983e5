"""Split lines into sentences: text in any script, Chinese text, and text that is already split.

The rules are our own. Preparation keeps pace with the tokenizer (1.65 MB/s a core), which rules out the accurate
splitters at 0.2 to 0.4 MB/s; and the fast libraries lose what next-sentence prediction lives on, the sentences
within quoted speech. The figures are in docs/text.md.
"""

import re
from dataclasses import dataclass

from cloze.errors import InputError
from cloze.text.languages import EN, LANGUAGES, Language

MARKS = ".!?\u2026"
"""End sentences before a space and a beginning that is not in lower case."""

OWN_MARKS = (
    r"\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104b\u1362\u1367\u1368\u166e"
    r"\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b\u1c3c\u1c7e\u1c7f"
    r"\u203c\u203d\u2047-\u2049\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f"
    r"\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
"""End sentences whatever follows: those of other scripts in Unicode's property Sentence_Terminal (UAX #29), with the
Khmer full stop and without the Burmese comma."""

# Marks and what closes around them (footnote marks, [1], too; in French after a space), and white space. What was
# matched is not looked at again, so that time grows with the line, whatever it holds.
END = re.compile(
    rf"([{MARKS}{OWN_MARKS}]++)"
    r"(?:[\"'\u2019\u201d\u00bb)\]}*_\u300b\u300d\u300f\u3011\uff09\u3009]|\[\d{1,3}\]"
    r"|[\u201c\u00ab](?=[\s,.;:)\]]|\Z)|[ \u00a0\u202f]\u00bb(?!\w))*+(\s*+)"
)
OPENING = "\"'\u2018\u2019\u201c\u201e\u201d([{*_-\u2013\u2014\u00ab\u00bb"
# The quotation mark between spaces, of tokenised text, closes or opens: its number in the sentence tells.
BEGINNING = re.compile(
    r"""("\s+)?(?:"\s)?["'\u2018\u201c\u201e\u00ab\u00bb(\[{*_\u00bf\u00a1\u2013\u2014-]*"""
    r"""(?:(?<=\u00ab)[ \u00a0\u202f])?([^\W_a-z][\w'\u2019]*)"""
)
GOES_ON = frozenset(",\u060c\u3001\uff0c;\u061b\uff1b:\uff1a")
ENUMERATOR = re.compile(r"\d{1,3}|[A-Za-z]|[ivxIVX]{1,5}")
ORDINAL = re.compile(r"\d{1,3}|[IVX]{2,5}")
ROMAN = re.compile("[IVXLC]{2,7}")
ELISION = re.compile(r"^\w{1,2}['\u2019]")  # of an article, as in "l'art. 12"
LONGEST_ABBREVIATION = 40
EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9f]")


@dataclass(frozen=True, kw_only=True)
class Unicode:
    """Text of any script: a sentence ends at the marks of its script, but not after an abbreviation of the language.

    Quoted speech is split at the sentences within it. A full stop does not end a sentence before lower case, after
    initials, titles and other abbreviations, in decimals, after ordinal numbers where the language writes them so, or
    after the number of a list item. Thai, which has no marks, is split at the spaces between its longer phrases.

    Attributes:
        language: its code in ISO 639, of those in `cloze.text.languages`; "en" does for one that has no list, too.

    Raises:
        InputError: there is no list for the language.
    """

    language: str = "en"

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise InputError(
                f"sentences.language={self.language}: expected one of {', '.join(LANGUAGES)}; en knows the marks of "
                "all scripts, too"
            )

    def split(self, line: str) -> list[str]:
        language = LANGUAGES[self.language]
        sentences = _cut(line, language)
        return sentences if language.marks else [phrase for sentence in sentences for phrase in _phrases(sentence)]


@dataclass(frozen=True, kw_only=True)
class English:
    """English-like text, as `Unicode` with English abbreviations."""

    def split(self, line: str) -> list[str]:
        return _cut(line, EN)


def _cut(line: str, language: Language) -> list[str]:
    sentences = []
    begin = 0
    for match in END.finditer(line):
        end = _end(line, begin, match, language)
        if end is not None:
            sentences.append(line[begin:end].strip())
            begin = end
    last = line[begin:].strip()
    if last:
        sentences.append(last)
    return sentences


def _end(line: str, begin: int, match: re.Match[str], language: Language) -> int | None:
    """Where the sentence from `begin` on ends, if it does with these marks."""
    (mark, space), end = match.groups(), match.end()
    if end == len(line):
        return None  # the line does
    if mark.strip(MARKS):
        if line[end] in GOES_ON or (mark == "\uff0e" and line[end].isdigit()):
            return None
    elif space:
        if (following := BEGINNING.match(line, end)) is None:
            return None
        quote, word = following.groups()
        if word[0].islower() or (mark == "." and _within_sentence(line, begin, match.start(), word, language)):
            return None
        if quote and line.count('"', begin, end) % 2:
            end = following.end(1)
    elif not _between_east_asian(line, match):
        return None
    return None if language.goes_on is not None and language.goes_on.match(line, end) else end


def _between_east_asian(line: str, match: re.Match[str]) -> bool:
    """Whether Latin marks stand in Chinese or Japanese text, where they need no space."""
    mark, begin, end = match[1], match.start(), match.end()
    if mark == "\u2026" or (mark != "." and mark.startswith(".")) or not begin:
        return False
    return EAST_ASIAN.match(line, begin - 1) is not None and (
        EAST_ASIAN.match(line, end) is not None or (mark != "." and line[end] in "\u201c\u300c\u300e\uff08")
    )


def _within_sentence(line: str, begin: int, stop: int, following: str, language: Language) -> bool:
    """Whether the full stop at `stop`, in the sentence from `begin` on, belongs to an abbreviation or a number."""
    # Tokenised text has a space before the full stop.
    begin_of_word = max(begin, stop - LONGEST_ABBREVIATION)
    word = line[max(begin_of_word, line.rfind(" ", begin_of_word, stop - 1) + 1) : stop].rstrip()
    if not word.isalnum():
        word = ELISION.sub("", word.lstrip(OPENING)).rpartition("-")[2]
    lowered = word.lower()
    if lowered in language.titles:
        return not word[:1].islower() or following not in language.openers
    if following[0].isdigit() or (following.isupper() and ROMAN.fullmatch(following)):
        if lowered in language.before_numbers or lowered.endswith(language.before_house_numbers):
            return True
    elif language.never_last and line[max(begin, stop - 8) : stop].lower().endswith(language.never_last):
        return True
    if len(word) == 1 and (word.isupper() or "\u0590" < word < "\u0700") and word != "I":  # "I" is mostly the pronoun
        return following not in language.openers or len(following) == 1
    if lowered in language.abbreviations or ("." in word and _is_dotted(word)):
        return following not in language.openers
    if language.ordinals and following.isdigit() and len(following) <= 2 and word.isdigit():
        return True
    if language.ordinals and ORDINAL.fullmatch(word):
        return following not in language.openers
    return stop - begin < 8 and ENUMERATOR.fullmatch(line[begin:stop].strip(OPENING + " )")) is not None


def _is_dotted(word: str) -> bool:
    """Whether letters have full stops between them; or Indic syllables, whose vowel signs are no letters to Python."""
    letters = word[-2:-1] == "." and word.replace(".", "").isalpha()
    return letters or (not word.isascii() and all(0 < len(part) <= 3 for part in word.split(".")))


# A space between Thai words of some length, but not before what joins them or after what introduces a list.
THAI_SPACE = re.compile(r"(?<=[\u0e01-\u0e2e\u0e30-\u0e45\u0e47-\u0e4e\")]) +(?=[\"(]?[\u0e01-\u0e2e\u0e40-\u0e44])")
THAI_JOINING = ("และ", "หรือ", "เช่น", "ที่", "ซึ่ง", "ว่า", "ก็", "ของ", "กับ")
THAI_INTRODUCING = ("เช่น", "ว่า", "คือ", "ได้แก่", "และ", "หรือ")
THAI_CONDITIONS = ("ถ้า", "เมื่อ", "หาก", "เพราะ", "แม้")
SHORTEST_THAI_PHRASES = 7, 5
"""Characters before and after a space; names, titles and the items of a list are shorter."""


def _phrases(line: str) -> list[str]:
    phrases = []
    begin = last = 0
    for match in THAI_SPACE.finditer(line):
        before, last = line[last : match.start()], match.end()
        after = line.find(" ", last)
        after = len(line) if after < 0 else after
        shortest = SHORTEST_THAI_PHRASES
        if len(before) < shortest[0] or after - last < shortest[1] or line.startswith(THAI_JOINING, last):
            continue
        if before.endswith(THAI_INTRODUCING) or before.startswith(THAI_CONDITIONS):
            continue
        phrases.append(line[begin : match.start()].strip())
        begin = last
    return [*phrases, line[begin:].strip()]


# Latin marks do not count inside a name or an address (a?b=c), a Latin full stop only between Chinese characters. A
# comma or a colon after it all shows that the sentence continues.
CHINESE_MARK = (
    r"[\u3002\uff01\uff1f]++[!?]*+|[!?]++(?![=A-Za-z0-9\uff01\uff1f])|\u2026{2,}+"
    r"|(?<=[\u4e00-\u9fff])\.(?=[\u4e00-\u9fff])"
)
CHINESE_CLOSING = r"""["'\u2019\u201d\u300d\u300f\uff09)\u300b\u3011]*+(?![\uff0c,\u3001\uff1b;\uff1a:])"""
CHINESE_END = re.compile(f"(?:{CHINESE_MARK}){CHINESE_CLOSING}")
CHINESE_END_OR_SEMICOLON = re.compile(f"(?:{CHINESE_MARK}|[\uff1b;]){CHINESE_CLOSING}")


@dataclass(frozen=True, kw_only=True)
class Chinese:
    """Chinese text: a sentence ends after its full stop, ! or ? of either width, or an ellipsis, and what closes
    around it.

    Attributes:
        semicolons: whether a semicolon ends a sentence too.
    """

    semicolons: bool = False

    def split(self, line: str) -> list[str]:
        ends = [match.end() for match in (CHINESE_END_OR_SEMICOLON if self.semicolons else CHINESE_END).finditer(line)]
        pieces = (line[begin:end].strip() for begin, end in zip([0, *ends], [*ends, len(line)], strict=True))
        return [piece for piece in pieces if piece]


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Text that has one sentence a line already."""

    def split(self, line: str) -> list[str]:
        stripped = line.strip()
        return [stripped] if stripped else []
