"""Hub datasets, on local folders: the package streams them by the same code."""

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloze.errors import InputError
from cloze.text.sources.hub import HubDataset

pytest.importorskip("datasets", reason="the package datasets (extra: hub) is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the package's own making


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = tmp_path / "dataset"
    path.mkdir()
    for part in range(3):
        rows = [{"text": f"Part {part}, row {row}.\n\nMore.", "id": row} for row in range(4)]
        (path / f"part{part}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_unit_is_a_shard(folder: Path) -> None:
    source = HubDataset(dataset=str(folder))
    units = source.units()
    assert len(units) == 3
    for part, unit in enumerate(units):
        documents = list(source.documents(unit, Counter()))
        assert [document.lines for document in documents] == [[f"Part {part}, row {row}.", "More."] for row in range(4)]
    assert documents[0].origin.endswith("shard 2, row 1")


def test_other_formats(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["One.", None, "", "Two."]}), tmp_path / "a.parquet")
    source = HubDataset(dataset="parquet", data_files=str(tmp_path / "a.parquet"), field="body")
    counts: Counter[str] = Counter()
    assert [d.lines for unit in source.units() for d in source.documents(unit, counts)] == [["One."], ["Two."]]
    assert counts == {"empty_rows": 1}


def test_bad_input(folder: Path) -> None:
    name = str(folder)
    with pytest.raises(InputError, match=r"has no column 'body' \(columns: 'text', 'id'\)"):
        HubDataset(dataset=name, field="body").units()
    with pytest.raises(InputError, match=r"cannot be opened .*test.*check corpus.dataset"):
        HubDataset(dataset=name, split="test").units()
    with pytest.raises(InputError, match=r"cannot be opened .*zz"):
        HubDataset(dataset=name, subset="zz").units()
    source = HubDataset(dataset=name, field="id")
    with pytest.raises(InputError, match="row 1: 'id' holds a value of type int, not text"):
        list(source.documents(source.units()[0], Counter()))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"needs the package datasets; install it with: pip install -e '\.\[hub\]'"):
        HubDataset(dataset="wikimedia/wikipedia").units()
