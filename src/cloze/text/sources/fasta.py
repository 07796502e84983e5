"""Sequences of FASTA files: genomes, genes and proteins."""

from collections.abc import Iterator

from cloze.errors import InputError
from cloze.text.documents import Document, Unit
from cloze.text.sources.lines import LineDecoder, RawLine, line_number

HEADER, COMMENT = ">", ";"

WINDOW = 12_000
"""Letters."""


def documents(lines: Iterator[RawLine], unit: Unit, decoder: LineDecoder, window: int) -> Iterator[Document]:
    """The sequences of a file without their headers, those longer than `window` letters in several documents.

    The line breaks within a sequence, and blanks, are no part of it. A document has one line.

    Args:
        lines: of the whole file.
        unit: the file.
        decoder: turns lines into text.
        window: letters of a document at most.

    Raises:
        InputError: there are letters before the first header, as in a file of another format.
    """
    gathered: list[str] = []
    size, begin = 0, -1  # of what is gathered; no header yet
    for line in lines:
        text = decoder.decode(line)
        if not text or text.startswith(COMMENT):
            continue
        if text.startswith(HEADER):
            if size:
                yield Document(["".join(gathered)], f"{unit.path}, byte {begin}")
            gathered, size, begin = [], 0, line.offset
            continue
        if begin < 0:
            raise InputError(
                f"{unit.path}, line {line_number(unit.path, line.offset)}: has letters before the first header, a line "
                f"that begins with {HEADER}, so that this is not FASTA; state corpus.source.format"
            )
        gathered.append("".join(text.split()))
        size += len(gathered[-1])
        while size >= window:
            whole = "".join(gathered)
            yield Document([whole[:window]], f"{unit.path}, byte {begin}")
            gathered, size, begin = [whole[window:]], size - window, line.offset
    if size:
        yield Document(["".join(gathered)], f"{unit.path}, byte {begin}")
