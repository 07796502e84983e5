"""Text files: the documents of each format, whole or cut into units, and what is said about bad ones."""

import csv
import gzip
import io
import json
import lzma
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.text.sources.files import TextFiles
from tests import processes

THREE = "One.\nTwo.\n\nThree.\n\n\n  \nFour.  \r\nFive.\n"
THREE_DOCUMENTS = [["One.", "Two."], ["Three."], ["Four.", "Five."]]
IN_ONE_FOLDER = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
TITLE = r"(?<=^ \n) = (?!= ).* = $"


def read(source: TextFiles, counts: Counter[str] | None = None) -> list[list[str]]:
    counts = Counter() if counts is None else counts
    return [document.lines for unit in source.units() for document in source.documents(unit, counts)]


def compress(path: Path, content: bytes) -> Path:
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".xz":
        content = lzma.compress(content)
    elif path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(content)
        return path
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
def test_plain_text(tmp_path: Path, suffix: str) -> None:
    path = compress(tmp_path / f"a.txt{suffix}", THREE.encode())
    assert read(TextFiles(files=str(path))) == THREE_DOCUMENTS


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
def test_json_lines(tmp_path: Path, suffix: str) -> None:
    rows = [{"id": 1, "text": "One.\nTwo.\n"}, {"id": 2, "text": ""}, {"id": 3, "text": "\u4e09\u3002"}]
    content = "\n\n".join(json.dumps(row) for row in rows).encode()
    path = compress(tmp_path / f"a.jsonl{suffix}", content)
    assert read(TextFiles(files=str(path))) == [["One.", "Two."], ["\u4e09\u3002"]]


ROWS = [["One.", "Two."], ['He said, "three".'], ["\u56db\u3002"]]


def delimited(rows: list[list[str]], delimiter: str) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerows([["id", "text"], *([str(number), "\n".join(row)] for number, row in enumerate(rows)), ["3", ""]])
    return stream.getvalue().encode("utf-8-sig")


@pytest.mark.parametrize("compression", ["", ".gz", ".XZ", ".Zst"])
def test_tables_and_lists_of_json_in_any_case(tmp_path: Path, compression: str) -> None:
    objects = [{"id": number, "text": "\n".join(row)} for number, row in enumerate(ROWS)]
    files = {
        "a.csv": delimited(ROWS, ","),
        "b.CSV": b'text,id\r\n"One.\r\nTwo.",1\r\n\r\ntext,id\r\n"He said, ""three"".",2\r\n\xe5\x9b\x9b\xe3\x80\x82,3',
        "c.tsv": b"text\tid\nOne.\t\n",  # no quotes there, so that no text has two lines
        "d.json": json.dumps(objects, indent=1).encode(),
        "e.JSON": json.dumps({"version": [{"text": "no"}], "data": objects, "more": 1}, ensure_ascii=False).encode(),
        "f.json": "\n".join(map(json.dumps, objects)).encode(),
        "g.JSONL": "\n".join(map(json.dumps, objects)).encode(),
        "h.TXT": b"One.\nTwo.\n",
        "i.Md": b"One.\n\nTwo.\n",
    }
    for name, content in files.items():
        path = tmp_path / (name + compression)
        compress(path.with_suffix(path.suffix.lower()) if compression else path, content).rename(path)
        expected = {"c": [["One."]], "h": ROWS[:1], "i": ROWS[:1]}.get(name[0], ROWS)
        assert read(TextFiles(files=str(path))) == expected, name
        assert read(TextFiles(files=str(path), unit_megabytes=0.00001)) == expected, name
    pq.write_table(pa.table({"text": ["One.\nTwo."]}), tmp_path / "a.PARQUET")
    assert read(TextFiles(files=str(tmp_path / "a.PARQUET"))) == ROWS[:1]


def test_columns_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('1;"a;b";x\n2;c;y\n')
    layout = {"files": str(path), "delimiter": ";", "header": False}
    assert read(TextFiles(**layout, field=1)) == [["a;b"], ["c"]]  # type: ignore[arg-type]
    assert read(TextFiles(**layout, field=1, quoting="quotes")) == [["a;b"], ["c"]]  # type: ignore[arg-type]
    assert read(TextFiles(files=str(path), delimiter=";", field="x")) == [["y"]]
    assert read(TextFiles(files=str(path), delimiter=";", field=2)) == [["y"]]
    with pytest.raises(InputError, match=r"a.csv: has no column 'text' \(columns: '1', 'a;b', 'x'\); choose one with"):
        TextFiles(files=str(path), delimiter=";").units()
    with pytest.raises(InputError, match=r"has no column 3 \(columns: numbers from 0 to 2\)"):
        TextFiles(**layout, field=3).units()  # type: ignore[arg-type]
    path.write_text("")
    with pytest.raises(InputError, match=r"a\.csv: is empty"):
        TextFiles(files=str(path)).units()
    (tmp_path / "a.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"corpus.source.field=0: .*a.jsonl has names of fields"):
        read(TextFiles(files=str(tmp_path / "a.jsonl"), field=0))
    with pytest.raises(InputError, match="delimiter=ab: must be one character"):
        TextFiles(files="a.csv", delimiter="ab")


def test_an_open_quote_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text\nGood.\n"Bad.\n' + "Bad.\n" * 100)
    with pytest.raises(InputError, match=r"a.csv, line 3: the row cannot be read, since its quotes .* limit"):
        read(TextFiles(files=str(path), max_line_bytes=200))


def test_cases_of_others(shared_data: Path) -> None:
    folder = shared_data.parent / "cases" / "46-corpus-csv"
    if not folder.is_dir():
        pytest.skip(f"no cases: {folder} is no folder")
    reviews = [read(TextFiles(files=str(folder / name), field="review")) for name in ("reviews.csv",)]
    reviews.append(read(TextFiles(files=str(folder / "reviews.json"))))
    assert [len(found) for found in reviews] == [400, 400]
    assert len(read(TextFiles(files=str(folder / "BOOK.TXT")))) > 100


def test_parquet_by_row_groups(tmp_path: Path) -> None:
    texts = [f"Row {row}.\nMore." if row % 3 else None for row in range(1000)]
    pq.write_table(pa.table({"n": range(1000), "body": texts}), tmp_path / "a.parquet", row_group_size=300)
    source = TextFiles(files=str(tmp_path / "a.parquet"), field="body")
    assert [(unit.start, unit.end) for unit in source.units()] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert read(source) == [text.split("\n") for text in texts if text]


def test_document_boundaries(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(THREE)
    lines = [line for document in THREE_DOCUMENTS for line in document]
    assert read(TextFiles(files=str(path), document_boundary="line")) == [[line] for line in lines]
    assert read(TextFiles(files=str(path), document_boundary="file")) == [lines]
    assert read(TextFiles(files=str(path), skip_lines="T")) == [["One."], ["Four.", "Five."]]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(THREE, encoding="utf-8-sig")
    assert read(TextFiles(files=str(tmp_path / "a.txt"))) == THREE_DOCUMENTS


def test_patterns_reach_into_folders_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/c/1.txt", "a/3.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert read(TextFiles(files=f"{tmp_path}/**/*.txt")) == [["a/3.txt"], ["b/2.txt"], ["b/c/1.txt"]]
    twice = TextFiles(files=[f"{tmp_path}/b/*.txt", f"{tmp_path}/**/*.txt"])
    assert read(twice) == [["b/2.txt"], ["a/3.txt"], ["b/c/1.txt"]]


@settings(max_examples=200, deadline=None, suppress_health_check=IN_ONE_FOLDER)
@given(
    lines=st.lists(st.sampled_from(["", " ", "a", "bc", "\u00e9\u00e9\u00e9", " = T = ", " = = S = = "]), max_size=30),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    size=st.integers(1, 40),
    options=st.sampled_from([{}, {"document_boundary": "line"}, {"document_start": TITLE}]),
)
def test_units_of_any_size_hold_every_document_once(
    tmp_path: Path, lines: list[str], end: str, last: bool, size: int, options: dict
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((end.join(lines) + (end if last else "")).encode())
    whole = TextFiles(files=str(path), **options)
    cut = TextFiles(files=str(path), unit_megabytes=size / 1e6, **options)
    assert read(cut) == read(whole)
    assert [unit.end for unit in cut.units()][:-1] == [unit.start for unit in cut.units()][1:]


def test_a_unit_begins_after_a_line_longer_than_the_look_back(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    long = "x" * 200_000
    path.write_text(f"A.\n{long}\n\nB.\n{long}\nC.\n")
    whole = read(TextFiles(files=str(path)))
    assert whole == [["A.", long], ["B.", long, "C."]]
    assert read(TextFiles(files=str(path), unit_megabytes=0.05)) == whole


def test_json_lines_in_byte_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"Row {row}."}) + "\n" for row in range(200)))
    source = TextFiles(files=str(path), unit_megabytes=0.0001)
    assert len(source.units()) > 40
    assert read(source) == [[f"Row {row}."] for row in range(200)]


def test_a_long_document_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("12345678\n" * 100)
    counts: Counter[str] = Counter()
    documents = read(TextFiles(files=str(path), max_document_megabytes=0.0001), counts)
    assert sum(map(len, documents)) == 100
    assert max(map(len, documents)) <= 13
    assert counts == {"cut_documents": len(documents) - 1}


def test_markdown_is_reduced_to_prose(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "---\ntitle: none\n---\n# A *heading* #\n\nUnderlined\n==========\n\nText with [a link](http://x.y), **strong**"
        " and\n_weak_ words, `code`, snake_case_name, 2 * 3 * 4 &amp; <b>HTML</b>.\n\n"
        "- first item\n- [x] second\n  item\n\n"
        "> quoted\n> text\n\n```python\nx = 1\n\n# no heading\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n![image](i.png)\n\n"
        "[ref]: http://x.y\n<!-- one\ncomment -->\n\n-------\n\nLast\\* line.[^1]\n",
    )
    assert read(TextFiles(files=str(tmp_path / "a.md"))) == [
        [
            "A heading",
            "Underlined",
            "Text with a link, strong and weak words, code, snake_case_name, 2 * 3 * 4 & HTML.",
            "first item",
            "second item",
            "quoted text",
            "Last* line.",
        ]
    ]


BAD_LINES = [
    ("a.txt", b"Good.\nB\xe9d.\nGood.\n", "a.txt, line 2: the line is not UTF-8 (byte 0xe9)", "undecodable_lines"),
    ("a.md", b"Good.\n\nB\xe9d.\n\nGood.\n", "a.md, line 3: the line is not UTF-8", "undecodable_lines"),
    ("a.txt", b"Good.\nB\0d.\nGood.\n", "a.txt, line 2: the line holds NUL bytes", "nul_lines"),
    ("a.txt", b"Good.\n" + b"x" * 300 + b"\nGood.\n", "line 2: the line is longer than 200 bytes", "overlong_lines"),
    ("a.jsonl", b'{"text": "Good."}\n{"text": \n', "a.jsonl, line 2: the line is not JSON", "malformed_lines"),
    ("a.jsonl", b'{"text": "Good."}\n["x"]\n', "line 2: the line is JSON, but not an object", "malformed_lines"),
    ("a.jsonl", b'{"text": "Good."}\n{"a": 1, "b": 2}\n', "no field 'text' (fields: 'a', 'b')", "malformed_lines"),
    (
        "a.jsonl",
        b'{"text": "Good."}\n{"text": 3}\n',
        "line 2: the line has a value of type int in 'text'",
        "malformed_lines",
    ),
    (
        "a.jsonl",
        b'{"text": "Good."}\n{"text": "\\ud800"}\n',
        "line 2: the line has NUL or half",
        "undecodable_lines",
    ),
    ("a.csv", b"text,n\nGood.,1\nB\xe9d.,2\nGood.,3\n", "a.csv, line 3: the line is not UTF-8", "undecodable_lines"),
    ("a.csv", b"n,text\n1,Good.\n2\n", "line 3: the first line has 2 columns, this row has 1", "malformed_lines"),
    (
        "a.csv",
        b'text\nGood.\n"Bad" x\nGood.\n',
        "a.csv, line 3: the row cannot be read, since its quotes",
        "malformed_lines",
    ),
    ("a.tsv", b"n\ttext\n1\tGood.\n2\tB\0d.\n", "a.tsv, line 3: the line holds NUL bytes", "nul_lines"),
    ("a.csv", b"text\nGood.\n" + b"x" * 300 + b"\nGood.\n", "line 3: the line is longer than 200", "overlong_lines"),
    ("a.json", b'[{"text": "Good."}, ["x"]]', "a.json, row 2: the row is JSON, but not an object", "malformed_lines"),
    ("a.json", b'[{"text": "Good."},\n{"a": 1}]', "a.json, row 2: the row has no field 'text'", "malformed_lines"),
]


@pytest.mark.parametrize(("name", "content", "message", "kind"), BAD_LINES)
def test_bad_lines_stop_or_are_counted(tmp_path: Path, name: str, content: bytes, message: str, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read(TextFiles(files=str(tmp_path / name), max_line_bytes=200))
    assert message in str(error.value)
    assert "corpus.source.on_bad_line=skip" in str(error.value)
    for unit_megabytes in (8, 0.00001):  # a line is counted once however the file is cut
        counts: Counter[str] = Counter()
        source = TextFiles(
            files=str(tmp_path / name), max_line_bytes=200, on_bad_line="skip", unit_megabytes=unit_megabytes
        )
        assert {line for lines in read(source, counts) for line in lines} == {"Good."}
        assert counts == {kind: 1}


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_truncated_compression(tmp_path: Path, suffix: str) -> None:
    path = compress(tmp_path / f"a.txt{suffix}", "".join(f"Line {n * n}.\n" for n in range(10_000)).encode())
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=f"a.txt{suffix}: the {suffix} file is damaged or truncated"):
        read(TextFiles(files=str(path)))
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="damaged or truncated"):
        read(TextFiles(files=str(path)))


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        TextFiles(files=str(tmp_path / "none.txt")).units()
    with pytest.raises(InputError, match="no file matches"):
        TextFiles(files=f"{tmp_path}/*.txt").units()
    with pytest.raises(InputError, match="is a directory"):
        TextFiles(files=str(tmp_path)).units()
    with pytest.raises(InputError, match="names no file"):
        TextFiles(files=[]).units()
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(InputError, match=r"a.doc: its format cannot be told"):
        TextFiles(files=str(tmp_path / "a.doc")).units()
    assert read(TextFiles(files=str(tmp_path / "a.doc"), format="text")) == [["x"]]
    pq.write_table(pa.table({"n": [1], "body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"no column 'text' \(columns: 'n', 'body'\)"):
        TextFiles(files=str(tmp_path / "a.parquet")).units()
    with pytest.raises(InputError, match="'n' is of type int64, not string"):
        TextFiles(files=str(tmp_path / "a.parquet"), field="n").units()
    (tmp_path / "b.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        TextFiles(files=str(tmp_path / "b.parquet")).units()


def test_wrong_options() -> None:
    with pytest.raises(InputError, match="on_bad_line=ignore: must be one of stop, skip"):
        TextFiles(files="a.txt", on_bad_line="ignore")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="document_start: is not a regular expression"):
        TextFiles(files="a.txt", document_start="(")
    with pytest.raises(InputError, match="unit_megabytes=0: must be positive"):
        TextFiles(files="a.txt", unit_megabytes=0)


def test_a_line_of_100_megabytes_is_never_held(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as stream:
        stream.write(b"Good.\n")
        for _ in range(100):
            stream.write(b"x" * 1_000_000)
        stream.write(b"\nGood.\n")
    program = (
        "import resource, sys; from collections import Counter; from cloze.text.sources.files import TextFiles\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "source = TextFiles(files=sys.argv[1], on_bad_line='skip', unit_megabytes=1000); counts = Counter()\n"
        "print([d.lines for u in source.units() for d in source.documents(u, counts)], dict(counts))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    output = processes.run([sys.executable, "-c", program, path], check=True).stdout
    found, growth = output.splitlines()
    assert found == "[['Good.', 'Good.']] {'overlong_lines': 1}"
    kilobyte = 1 if sys.platform == "linux" else 1024
    assert int(growth) / kilobyte < 60_000


@pytest.mark.parametrize(("name", "articles"), [("valid", 60), ("test", 60)])
def test_wikitext_articles(shared_data: Path, name: str, articles: int) -> None:
    path = shared_data / "corpus" / "wikitext2" / f"{name}.txt"
    options = {"format": "text", "document_start": TITLE}
    whole = read(TextFiles(files=str(path), **options))  # type: ignore[arg-type]
    assert len(whole) == articles
    assert all(lines[0].startswith("= ") and not lines[0].startswith("= =") for lines in whole)
    expected = [line.strip() for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    assert [line for lines in whole for line in lines] == expected
    assert read(TextFiles(files=str(path), unit_megabytes=0.01, **options)) == whole  # type: ignore[arg-type]


def test_google_sample(shared_data: Path) -> None:
    path = shared_data / "corpus" / "google_sample.txt"
    documents = [part.split("\n") for part in path.read_text(encoding="utf-8").strip().split("\n\n")]
    assert read(TextFiles(files=str(path))) == [[line.strip() for line in lines] for lines in documents]


@pytest.mark.parametrize("suffix", [".fa", ".fasta.gz", ".faa.xz"])
def test_fasta(tmp_path: Path, suffix: str) -> None:
    """Line breaks are no part of a sequence; a long one becomes several documents."""
    text = ">one a gene\nACGT\nACG N\n\n; a comment\r\nacgt\n>empty\n>two\nACGTACGTACGTAC\nGT\n"
    path = compress(tmp_path / f"a{suffix}", text.encode())
    assert read(TextFiles(files=str(path))) == [["ACGTACGNacgt"], ["ACGTACGTACGTACGT"]]
    assert read(TextFiles(files=str(path), window=6)) == [["ACGTAC"], ["GNacgt"], ["ACGTAC"], ["GTACGT"], ["ACGT"]]


def test_letters_before_a_header_are_no_fasta(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text("\nACGT\n>one\nACGT\n")
    with pytest.raises(InputError, match=r"a\.fa, line 2: has letters before the first header"):
        read(TextFiles(files=str(tmp_path / "a.fa")))
