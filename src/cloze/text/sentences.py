"""Cutting lines into sentences: English-like text, Chinese text, and text that is cut already.

The rules are our own. Preparation keeps pace with the tokenizer (1.65 MB/s a core), which rules out the accurate
splitters at 0.2 to 0.4 MB/s; and the fast libraries lose what next-sentence prediction lives on, the sentences
within quoted speech. The figures are in docs/text.md.
"""

import re
from dataclasses import dataclass


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


# Always followed by the name they belong to, so never the end of a sentence.
TITLES = _words(
    "adm brig capt cdr cmdr col cpl dr fr ft gen gov hon lieut lt maj messrs mlle mme mmes mr mrs ms msgr mt mx",
    "ofc pres prof rep reps rev rt sen sens sgt sra srta st ste sts supt",
)
# Part of the sentence when a number follows.
BEFORE_NUMBERS = _words(
    "app art bk ca cap ch chap cl cols deg ed eds eq eqs exod fig figs fol iss lev ll matt nn no nos nr op p para",
    "pp pt ref refs rom rs sec secs sect tab vol vols vs",
)
# Part of the sentence whatever follows, unless it is a word that opens sentences. No common words (sat, lit, cent).
ABBREVIATIONS = _words(
    "abbr al alt anon approx apr assn assoc aug ave bibl bldg blvd bros c cf cie co comp conf corp dec dep dept",
    "dist div e.g eg esp esq est etc excl feb fl fri geo hist i.e ie illus inc incl inst jan jas jos jr jul jun",
    "kg km ltd mar misc mss n.b nat nov obs oct orig ph.d phil proc pseud publ quot r.i.p rd reg resp sep sept",
    "seq ser sq sr suppl thos thu thur thurs trans tue tues univ v var vers viz vs wm",
)
# After an abbreviation these begin a sentence far more often than they go on with it as part of a name.
OPENERS = _words(
    "A After All Although An And Another As At Because Both But By Do Does For From Had Has Have He Her Here His",
    "How However I If In Is It Its Let Many Most My No Not Now Of On One Or Our Perhaps She Since So Some Such",
    "That The Their Then There These They This Those Thus To Two Was We Were What When Where Whether Which While",
    "Who Why With Would Yes Yet You Your",
)

# A mark, what closes around it (footnote marks, [1], too), white space, and a beginning that is not in lower case. The
# quotation mark between spaces, of tokenised text, closes or opens: its number in the sentence tells.
ENGLISH_END = re.compile(
    r"""([.!?\u2026]+)(?:["'\u2019\u201d\u00bb)\]}*_]|\[\d{1,3}\])*\s+("\s+)?"""
    r"""(?=(?:"\s)?["'\u2018\u201c\u00ab(\[{*_\u00bf\u00a1\u2013\u2014-]*([^\W_a-z][\w'\u2019]*))"""
)
OPENING = "\"'\u2018\u2019\u201c\u201d([{*_-\u2013\u2014"
ENUMERATOR = re.compile(r"\d{1,3}|[A-Za-z]|[ivxIVX]{1,5}")


@dataclass(frozen=True, kw_only=True)
class English:
    """English-like text: words between spaces, capital letters at beginnings, ``. ! ?`` at ends.

    Quoted speech is cut at the sentences within it. A full stop does not end a sentence before lower case, after
    initials, titles and other abbreviations, in decimals, or after the number of a list item.
    """

    def split(self, line: str) -> list[str]:
        sentences = []
        begin = 0
        for match in ENGLISH_END.finditer(line):
            mark, loose_quote, following = match.groups()
            if following[0].islower() or (mark == "." and _within_sentence(line, begin, match.start(), following)):
                continue
            opens = loose_quote is not None and line.count('"', begin, match.start(2)) % 2 == 0
            end = match.start(2) if opens else match.end()
            sentences.append(line[begin:end].strip())
            begin = end
        last = line[begin:].strip()
        if last:
            sentences.append(last)
        return sentences


def _within_sentence(line: str, begin: int, stop: int, following: str) -> bool:
    """Whether the full stop at `stop`, in the sentence from `begin` on, belongs to an abbreviation or a number."""
    # Tokenised text has a space before the full stop.
    word = line[max(begin, line.rfind(" ", begin, stop - 1) + 1) : stop].rstrip()
    if not word.isalnum():
        word = word.lstrip(OPENING).rpartition("-")[2]
    lowered = word.lower()
    if lowered in TITLES:
        return word[:1].isupper()
    if lowered in BEFORE_NUMBERS and following[0].isdigit():
        return True
    if len(word) == 1 and word.isupper() and word != "I":  # an initial; "I" is nearly always the pronoun
        return following not in OPENERS or len(following) == 1
    if lowered in ABBREVIATIONS or (word[-2:-1] == "." and word.replace(".", "").isalpha()):
        return following not in OPENERS
    return stop - begin < 8 and ENUMERATOR.fullmatch(line[begin:stop].strip(OPENING + " )")) is not None


# Latin marks do not count inside a name or an address (a?b=c), a Latin full stop only between Chinese characters. A
# comma or a colon after it all shows that the sentence goes on.
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
