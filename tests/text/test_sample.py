"""What is kept of the text gives the very documents and counts that reading it again would give."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cloze.text.documents import Document
from cloze.text.quality.dropped import Dropped
from cloze.text.quality.rules import QualityRules
from cloze.text.sample import Reading, SampleTask, Sampling, documents_of, read_sample, sample_file, sampled_lines
from cloze.text.sentences import Lines
from cloze.text.sources.files import TextFiles


@pytest.fixture
def source(tmp_path: Path) -> TextFiles:
    path = tmp_path / "text.txt"
    path.write_bytes("one.\ntwo ä.\n\nbad \xff.\n\nthree.\n".encode("latin-1").replace(b"\xe4", "ä".encode()))
    return TextFiles(files=str(path), on_bad_line="skip")


@pytest.fixture
def reading(source: TextFiles) -> Reading:
    return Reading(source=source, quality=QualityRules(forbidden=["three"]), sentences=Lines())


@pytest.mark.parametrize(("most", "kept"), [(1000, 2), (5, 1), (1, 1)])
@pytest.mark.parametrize("forbidden", [None, ["seven"], ["three"]])
def test_documents_from_the_sample(
    reading: Reading, most: int, kept: int, forbidden: list[str] | None, tmp_path: Path
) -> None:
    reading = replace(reading, quality=QualityRules(forbidden=forbidden))
    units = reading.source.units()
    expected_counts: Counter[str] = Counter()
    expected_dropped = Dropped()
    expected = list(reading.documents(units, expected_counts, expected_dropped))
    path = read_sample(Sampling(reading=reading, work=tmp_path), SampleTask(0, units, most))
    assert path == sample_file(tmp_path, 0)
    assert list(sampled_lines(path)) == [line for document in expected[:kept] for line in document.lines]

    counts: Counter[str] = Counter()
    dropped = Dropped()
    assert list(documents_of(reading, units, path, counts, dropped)) == expected
    assert counts == expected_counts
    assert counts["undecodable_lines"] == 1
    assert dropped.as_json() == expected_dropped.as_json()
    assert dropped.dropped_documents == (forbidden == ["three"])


def test_a_whole_sample_is_read_instead_of_the_source(reading: Reading, tmp_path: Path) -> None:
    units = reading.source.units()
    path = read_sample(Sampling(reading=reading, work=tmp_path), SampleTask(0, units, 1000))
    (tmp_path / "text.txt").unlink()
    documents = list(documents_of(reading, units, path, Counter(), Dropped()))
    assert [document.lines for document in documents] == [["one.", "two ä."]]
    assert isinstance(documents[0], Document)
