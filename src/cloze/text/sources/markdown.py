"""Prose of Markdown files: paragraphs and headings as plain lines, without the syntax."""

import re
from collections.abc import Iterator
from html import unescape

from cloze.text.documents import Document, Unit
from cloze.text.sources.lines import LineDecoder, RawLine

SYNTAX_BEGINS = frozenset("#>-*+_=|`~[<:0123456789 \t")  # a line that begins otherwise is text of a paragraph
FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
RULE = re.compile(r"\s{0,3}([-*_=])(\s*\1)*\s*$")  # horizontal rules and the underlines of headings
HEADING = re.compile(r"\s{0,3}#{1,6}(\s+|$)")
CLOSING_HASHES = re.compile(r"\s+#+\s*$")
QUOTE = re.compile(r"\s{0,3}(>\s?)*")
LIST_ITEM = re.compile(r"\s*([-*+]|\d{1,9}[.)])\s+(\[[ xX]\]\s+)?")
TABLE_ROW = re.compile(r"\s*\|.*\|\s*$|\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)+$")
DEFINITION = re.compile(r"\s{0,3}\[[^\]]+\]:\s")  # of a link or a footnote

MARKED = re.compile(r"[*_`\[<\\~&]")  # a line without these characters needs no unmarking
INLINE = [  # the character without which a pattern cannot match, the pattern, what replaces it
    ("[", re.compile(r"!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])"), ""),  # images
    ("[", re.compile(r"\[\^[^\]]+\]"), ""),  # footnote references
    ("[", re.compile(r"\[([^\]]+)\](\([^)]*\)|\[[^\]]*\])"), r"\1"),  # links
    ("<", re.compile(r"<(https?://[^>\s]+|[^>\s@]+@[^>\s]+)>"), r"\1"),  # autolinks
    ("<", re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?-->"), ""),  # HTML
    ("`", re.compile(r"(`+)\s?(.+?)\s?\1(?!`)"), r"\2"),
    ("*", re.compile(r"(?<![\\*])(\*{1,3})(?=\S)(.+?)(?<=\S)\1(?!\*)"), r"\2"),
    # Underscores inside a word are part of a name.
    ("_", re.compile(r"(?<![\\\w])(_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)"), r"\2"),
    ("~", re.compile(r"~~(?=\S)(.+?)(?<=\S)~~"), r"\1"),
    ("\\", re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
]


def documents(
    lines: Iterator[RawLine], unit: Unit, decoder: LineDecoder, max_document_bytes: float
) -> Iterator[Document]:
    """The file as one document; a longer one is split at `max_document_bytes` (``cut_documents``)."""
    texts = (decoder.decode(line) for line in lines)
    gathered: list[str] = []
    size = 0
    for paragraph in paragraphs((text for text in texts if text is not None), decoder.max_line_bytes):
        if size > max_document_bytes:
            decoder.counts["cut_documents"] += 1
            yield Document(gathered, unit.path)
            gathered, size = [], 0
        if paragraph:
            gathered.append(paragraph)
            size += len(paragraph)
    if gathered:
        yield Document(gathered, unit.path)


def unmarked(text: str) -> str:
    """`text` without emphasis, links, inline code marks and HTML tags; what they enclose stays."""
    marks = set(MARKED.findall(text))
    if not marks:
        return text
    for mark, pattern, replacement in INLINE:
        if mark in marks:
            text = pattern.sub(replacement, text)
    return unescape(text) if "&" in marks else text


def paragraphs(lines: Iterator[str], max_paragraph_characters: int) -> Iterator[str]:
    """Paragraphs, list items and headings of Markdown `lines`, each as one line.

    Left out: code fences, tables, rules, definitions of links, HTML comments, a YAML head.

    Args:
        lines: without ends of line; indentation means nothing, since code is marked by its fences.
        max_paragraph_characters: a longer paragraph is given in pieces, so that memory stays bounded.
    """
    gathered: list[str] = []
    size = 0
    for kind, text in _classified(lines):
        if (kind != "continues" or size > max_paragraph_characters) and gathered:
            yield unmarked(" ".join(gathered)).strip()
            gathered, size = [], 0
        if kind == "single":
            yield unmarked(text).strip()
        elif text:
            gathered.append(text)
            size += len(text)
    if gathered:
        yield unmarked(" ".join(gathered)).strip()


def _classified(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Pairs of kind and text: ``single`` lines, and lines that ``begin``, ``continue`` or (empty) end a paragraph."""
    fence = ""
    skipped_until = ""  # the mark that ends a comment or a YAML head
    for number, line in enumerate(lines):
        if line and line[0] not in SYNTAX_BEGINS and not skipped_until and not fence:
            yield "continues", line
        elif skipped_until:
            skipped_until = "" if skipped_until in line else skipped_until
        elif fence:
            closing = FENCE.match(line)
            fence = "" if closing and closing[1].startswith(fence) and not line.strip(" `~") else fence
        elif number == 0 and line.rstrip() == "---":
            skipped_until = "---"
        elif opening := FENCE.match(line):
            fence = opening[1]
            yield "begins", ""
        elif line.lstrip().startswith("<!--") and "-->" not in line:
            skipped_until = "-->"
            yield "begins", ""
        elif heading := HEADING.match(line):
            yield "single", CLOSING_HASHES.sub("", line[heading.end() :])
        elif not line.strip() or RULE.match(line) or TABLE_ROW.match(line) or DEFINITION.match(line):
            yield "begins", ""
        else:
            line = line[QUOTE.match(line).end() :]  # type: ignore[union-attr]  # the pattern also matches nothing
            item = LIST_ITEM.match(line)
            yield ("begins", line[item.end() :].strip()) if item else ("continues", line.strip())
