"""Extract the prose of a documentation string, without code, tables, field lists and markup.

Docstrings are reStructuredText, Markdown or neither, in the styles of Google, NumPy, Sphinx or none. So no grammar
parses them: lines are sorted by what they look like, and a paragraph stays only if it reads like English prose.
"""

import inspect
import re
from collections.abc import Iterator


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


CODE_TITLES = _words("code demo doctest doctests example examples output sample usage")
ADMONITIONS = _words("attention caution danger hint important note seealso tip warning")

FENCE = re.compile(r"```|~~~")
ADDRESS = re.compile(r"<?https?://\S+>?$")
RULE = re.compile(r"([=\-~^\"'`*+#:._])\1{2,}$")  # what underlines a heading, or separates
TABLE_RULE = re.compile(r"[=-]{2,}(\s+[=-]{2,})+$|\+[-=+]{3,}$")
TITLE = re.compile(r"#{1,6}\s+.*|[A-Z][\w ]{0,30}::?$")  # "Args:", "Example::", "# Usage"
DIRECTIVE = re.compile(r"\.\.(?:\s+([\w:-]+)::)?(?:\s+(.*))?$")
# The head of an entry: ":param x:", "@return:", "x (int, optional):", "x : int", "x -- ".
SPHINX_ENTRY = re.compile(r"[:@](\w+)(?:\s+[^:]*)?:(?:\s+|$)")
GOOGLE_ENTRY = re.compile(r"[`*]{0,2}[\w.\[\]/-]+[`*]{0,2}(\s*\([^()]*(\([^()]*\)[^()]*)*\))?(:| --)(?:\s+|$)")
NUMPY_ENTRY = re.compile(r"[`*]{0,2}\w[\w.*`, ]{0,60} : \S")
BULLET = re.compile(r"(?:[-*+\u2022\u2013]|\(?\d{1,2}[.)]|\(?[a-z]\)|#\.)\s+")

INLINE = [  # the character without which a pattern cannot match, the pattern, what replaces it
    ("`", re.compile(r":[\w:+-]+:`([^`<>]+?)\s*<[^`]*>`"), r"\1"),  # :role:`title <target>`
    ("`", re.compile(r":[\w:+-]+:`~\.?(?:[\w.]*\.)?([\w() ]+)`"), r"\1"),  # :role:`~package.module.name`
    ("`", re.compile(r":(?!math)[\w:+-]+:`[!.]?([^`]+)`"), r"\1"),
    ("`", re.compile(r"`([^`<>]+?)\s*<[^`]*>`__?"), r"\1"),  # `title <address>`_
    ("[", re.compile(r"\[`~?(?:[\w.]*\.)?([\w()]+)`\](?!\()"), r"\1"),  # [`~package.module.name`]
    ("[", re.compile(r"!?\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # [title](address)
    ("[", re.compile(r"\s*\[[\w#*]+\]_"), ""),  # [1]_
    ("`", re.compile(r"(`+)(.+?)\1_{0,2}"), r"\2"),
    ("*", re.compile(r"(?<![\w*])(\*{1,2})(?=\S)([^*]+?)(?<=\S)\1(?![\w*])"), r"\2"),
    ("|", re.compile(r"(?<![\w|])\|([\w ]+)\|(?![\w|])"), r"\1"),  # |substitution|
]
CODE = re.compile(
    r">>>|\$|\\[a-zA-Z{(\[]|:math:|[{}<>|]{2}|\w\(\w*=|[=!]=|[+*/%-]=| = |->|=>|::|https?://\S+\W*$|^[\w.]+\(.*\)\W*$"
)
WORD = re.compile(r"[(\"']*[A-Za-z]+(?:['\u2019/-][A-Za-z]+)*[)\"'.,;:!?]*$")
COMMON_WORDS = _words(
    "a an and any are as at be been by can each for from has have if in into is it its may must no not of on or",
    "that the their these they this to used was when where which will with you",
)
MIN_WORDS = 4
# What these begin is no sentence when it is short and has no verb ("The number of layers."), as entries often are.
FRAGMENT_OPENERS = _words(
    "A All An Any Default Dictionary Dimension If Index Input Integer List Name Number Optional Output Path Shape",
    "Size The Total Tuple Type Value Whether",
)
MAX_FRAGMENT_WORDS = 7
VERBS = _words("are can could did do does had has have is may might must shall should was were will would")
PLAIN_SHARE = 0.75  # of a paragraph's words that are words, not names of code, numbers or signs


def paragraphs(docstring: str) -> list[str]:
    """Paragraphs of prose in `docstring`, each as one line, in order."""
    found = (_unmarked(paragraph) for paragraph in _paragraphs(inspect.cleandoc(docstring).split("\n")))
    return [paragraph for paragraph in found if is_prose(paragraph)]


def is_prose(paragraph: str) -> bool:
    """Whether a line reads like sentences: a capital, an end, mostly words, some of them the commonest, no code."""
    if not paragraph.lstrip("\"'(")[:1].isupper() or paragraph.rstrip("\"')")[-1:] not in {".", "!", "?"}:
        return False
    words = paragraph.split()
    if len(words) < MIN_WORDS or CODE.search(paragraph):
        return False
    if len(words) <= MAX_FRAGMENT_WORDS and words[0] in FRAGMENT_OPENERS and VERBS.isdisjoint(words):
        return False
    plain = sum(WORD.match(word) is not None for word in words)
    return plain >= PLAIN_SHARE * len(words) and not COMMON_WORDS.isdisjoint(word.lower() for word in words)


def _unmarked(paragraph: str) -> str:
    for mark, pattern, replacement in INLINE:
        if mark in paragraph:
            paragraph = pattern.sub(replacement, paragraph)
    return " ".join(paragraph.split())


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Lines joined to paragraphs, without the blocks that hold no prose."""
    gathered: list[str] = []
    # The second line of a list item or of an entry may hang; any other change of indentation begins something new.
    may_hang = False
    last_indent = 0
    for indent, begins, text in _visible(lines):
        if gathered and (begins or (indent != last_indent and not (may_hang and indent > last_indent))):
            yield " ".join(gathered)
            gathered = []
        if text:
            may_hang = begins
            gathered.append(text)
        last_indent = indent
    if gathered:
        yield " ".join(gathered)


def _visible(lines: list[str]) -> Iterator[tuple[int, bool, str]]:
    """Lines as (indentation, whether it begins a paragraph, text); empty text stands for something left out."""
    hidden_beyond: int | None = None  # lines indented deeper than this belong to a directive or a literal block
    fenced = doctest = table = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        text, following = line.strip(), following.strip()
        indent = len(line) - len(line.lstrip())
        if hidden_beyond is not None and text and indent <= hidden_beyond:
            hidden_beyond = None
        doctest = bool(text) and (doctest or text.startswith(">>>"))
        if FENCE.match(text):
            fenced = not fenced
        elif TABLE_RULE.match(text):
            table = bool(following)  # the last rule of a table stands before an empty line
        elif not (fenced or doctest or table or hidden_beyond is not None or text.startswith("|")):
            begins, text, hides = _sorted_line(text, following)
            hidden_beyond = indent if hides else None
            yield indent, begins, text
            continue
        yield indent, True, ""


def _sorted_line(text: str, following: str) -> tuple[bool, str, bool]:
    """Whether a line begins a paragraph, what prose it adds, and whether it hides what is indented deeper."""
    if not text or RULE.match(text) or RULE.match(following) or ADDRESS.match(text):
        return True, "", False
    if text[0].isalpha() and ":" not in text and "--" not in text:  # most lines, so tested first
        return False, text, False
    if directive := DIRECTIVE.match(text):
        kept = directive[1] in ADMONITIONS
        return True, (directive[2] or "") if kept else "", not kept
    if TITLE.match(text):
        return True, "", text.endswith("::") or text.strip("#: ").lower() in CODE_TITLES
    if NUMPY_ENTRY.match(text):
        return True, "", False
    if entry := SPHINX_ENTRY.match(text) or GOOGLE_ENTRY.match(text) or BULLET.match(text):
        nested = GOOGLE_ENTRY.match(text, entry.end())  # "- name: text", ":param name: text"
        return True, text[(nested or entry).end() :], False
    return False, text.removesuffix(":") if text.endswith("::") else text, text.endswith("::")
