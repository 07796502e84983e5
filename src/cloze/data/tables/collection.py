"""Collections for search: documents, queries, and which documents answer them, as BEIR and TREC write them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloze.data.tables.formats import TableFormat
from cloze.data.tables.stream import stream_rows
from cloze.errors import BadRowError, InputError
from cloze.metrics.ranking import Judgements, Run
from cloze.text.sources.lines import open_text

ENDINGS = ("jsonl", "jsonl.gz", "jsonl.zst", "jsonl.xz", "parquet")
ID, TITLE, TEXT = "_id", "title", "text"


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A folder as BEIR has it (Thakur et al. 2021): ``corpus.jsonl``, ``queries.jsonl``, ``qrels/SPLIT.tsv``.

    The first two may be compressed, or Parquet files, as on the hub.

    Attributes:
        folder: of the collection.
        split: ``test``, ``dev`` or ``train``, of the judgements.
    """

    folder: Path
    split: str = "test"

    def documents(self) -> Iterator[tuple[str, str]]:
        """The name and the text of each document, its title in front, in their order; nothing is held.

        Raises:
            InputError: a row has no name, or nothing that is text.
        """
        for row, name, cells in _rows(self._file("corpus")):
            title, text = cells.get(TITLE) or "", cells.get(TEXT)
            if not isinstance(title, str) or not isinstance(text, str | None):
                raise InputError(f"{row}: its title and text must be text; fix the row")
            yield name, f"{title} {text or ''}".strip()

    def queries(self) -> dict[str, str]:
        """The queries by their names, of all splits.

        Raises:
            InputError: a row has no name or no text.
        """
        found = {}
        for row, name, cells in _rows(self._file("queries")):
            text = cells.get(TEXT)
            if not isinstance(text, str):
                raise InputError(f"{row}: has no {TEXT!r}; a query is a name and a text")
            found[name] = text.strip()
        return found

    def judgements(self) -> dict[str, dict[str, int]]:
        """The grades of documents by query.

        Raises:
            InputError: there are none of this split, or a line is not as it should be.
        """
        file = self.folder / "qrels" / f"{self.split}.tsv"
        if not file.is_file():
            there = ", ".join(sorted(each.stem for each in file.parent.glob("*.tsv"))) or "none"
            raise InputError(f"{file}: there is no such file; give split= one that is there ({there})")
        return read_judgements(file)

    def _file(self, name: str) -> Path:
        found = next((file for end in ENDINGS if (file := self.folder / f"{name}.{end}").is_file()), None)
        if found is None:
            raise InputError(
                f"{self.folder}: has no {name}.jsonl; give a folder as BEIR's, with corpus, queries, qrels"
            )
        return found


def _rows(file: Path) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Where each row is, its name and its cells."""
    for row in stream_rows(str(file), TableFormat()):
        name = row.cells.get(ID, row.cells.get("id"))
        if not isinstance(name, str | int) or name == "":
            raise InputError(f"{row.where}: has no {ID!r}, the name of the row; fix it")
        yield row.where, str(name), dict(row.cells)


def read_judgements(file: Path) -> dict[str, dict[str, int]]:
    """Grades from a file: ``query document grade`` in columns, or TREC's ``query 0 document grade``.

    Raises:
        InputError: a line is neither.
    """
    found: dict[str, dict[str, int]] = {}
    for number, words in _lines(file):
        if number == 1 and words[-1] == "score":
            continue
        try:
            if len(words) not in (3, 4):
                raise BadRowError("columns", f"has {len(words)} columns, but must have 3 (BEIR) or 4 (TREC)")
            found.setdefault(words[0], {})[words[-2]] = int(float(words[-1]))
        except (BadRowError, ValueError) as error:
            said = error if isinstance(error, BadRowError) else f"its grade is {words[-1]!r}, but must be a number"
            raise InputError(f"{file}, line {number}: {said}; fix the line") from error
    if not found:
        raise InputError(f"{file}: has no judgement; a line is a query, a document and a grade")
    return found


def read_run(file: Path) -> dict[str, dict[str, float]]:
    """The scores of a run: lines of TREC's ``query Q0 document rank score name``, of which the score counts.

    Raises:
        InputError: a line is not as that.
    """
    found: dict[str, dict[str, float]] = {}
    for number, words in _lines(file):
        try:
            query, _, document, _, score = words[:5]
            found.setdefault(query, {})[document] = float(score)
        except ValueError as error:
            raise InputError(
                f"{file}, line {number}: expected QUERY Q0 DOCUMENT RANK SCORE NAME, found {' '.join(words)[:60]!r}"
            ) from error
    return found


def trec_lines(run: Run, name: str) -> str:
    """A run as TREC writes it."""
    return "".join(
        f"{query} Q0 {document} {rank} {score:.6f} {name}\n"
        for query, found in run.items()
        for rank, (document, score) in enumerate(sorted(found.items(), key=lambda pair: -pair[1]), start=1)
    )


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    with open_text(str(file)) as stream:
        for number, line in enumerate(stream.read().decode("utf-8").split("\n"), start=1):
            if words := line.split("\t") if "\t" in line else line.split():
                yield number, [word.strip() for word in words]


def judged(collection: Collection) -> tuple[dict[str, str], Judgements]:
    """The queries that have judgements, and these.

    Raises:
        InputError: a judged query is none of the queries.
    """
    judgements, texts = collection.judgements(), collection.queries()
    if absent := next((query for query in judgements if query not in texts), None):
        raise InputError(f"{collection.folder}: the query {absent!r} has judgements in {collection.split}, but no text")
    return {query: texts[query] for query in judgements}, judgements
