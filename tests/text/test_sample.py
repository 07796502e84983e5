"""What is kept of the text gives the very documents and counts that reading it again would give."""

from collections import Counter
from pathlib import Path

import pytest

from cloze.text.documents import Document
from cloze.text.sample import SampleTask, Sampling, documents_of, read_sample, sample_file, sampled_lines
from cloze.text.sources.files import TextFiles


@pytest.fixture
def source(tmp_path: Path) -> TextFiles:
    path = tmp_path / "text.txt"
    path.write_bytes("one.\ntwo ä.\n\nbad \xff.\n\nthree.\n".encode("latin-1").replace(b"\xe4", "ä".encode()))
    return TextFiles(files=str(path), on_bad_line="skip")


@pytest.mark.parametrize(("most", "kept"), [(1000, 2), (5, 1), (1, 1)])
def test_documents_from_the_sample(source: TextFiles, most: int, kept: int, tmp_path: Path) -> None:
    units = source.units()
    expected_counts: Counter[str] = Counter()
    expected = [document for unit in units for document in source.documents(unit, expected_counts)]
    path = read_sample(Sampling(source=source, work=tmp_path), SampleTask(0, units, most))
    assert path == sample_file(tmp_path, 0)
    assert list(sampled_lines(path)) == [line for document in expected[:kept] for line in document.lines]

    counts: Counter[str] = Counter()
    assert list(documents_of(source, units, path, counts)) == expected
    assert counts == expected_counts
    assert counts["undecodable_lines"] == 1


def test_a_whole_sample_is_read_instead_of_the_source(source: TextFiles, tmp_path: Path) -> None:
    units = source.units()
    path = read_sample(Sampling(source=source, work=tmp_path), SampleTask(0, units, 1000))
    (tmp_path / "text.txt").unlink()
    documents = list(documents_of(source, units, path, Counter()))
    assert [document.lines for document in documents] == [["one.", "two ä."], ["three."]]
    assert isinstance(documents[0], Document)
