"""Shards keep documents to the last token, and nothing else passes for one."""

import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloze.errors import InputError
from cloze.text.shards import read_shard, write_shard

Documents = list[list[list[int]]]  # documents of sentences of tokens


def write(path: Path, documents: Documents, vocab_size: int) -> None:
    dtype = np.uint16 if vocab_size <= 65536 else np.uint32
    flat = [
        (np.array([*chain(*sentences)], dtype), np.array([len(s) for s in sentences], np.int32))
        for sentences in documents
    ]
    write_shard(path, flat, vocab_size)


def read(path: Path) -> Documents:
    tokens, sentences, documents, _ = read_shard(path)
    return [
        [tokens[sentences[s] : sentences[s + 1]].tolist() for s in range(documents[d], documents[d + 1])]
        for d in range(len(documents) - 1)
    ]


@settings(deadline=None)
@given(data=st.data(), vocab_size=st.sampled_from([300, 65536, 65537, 200_000]))
def test_round_trip(data: st.DataObject, vocab_size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    sentence = st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=5)
    documents = data.draw(st.lists(st.lists(sentence, min_size=1, max_size=4), max_size=5))
    path = tmp_path_factory.mktemp("shard") / "train-00000.arrow"
    write(path, documents, vocab_size)
    assert read(path) == documents
    assert read_shard(path).tokens.dtype == (np.uint16 if vocab_size <= 65536 else np.uint32)


def test_reading_imports_nothing_that_is_only_installed_beside(tmp_path: Path) -> None:
    """pyarrow's own way to NumPy imports pandas, which takes longer than all the rest of a small shard."""
    write(tmp_path / "train-00000.arrow", [[[1, 2, 3], [4]]], 300)
    code = (
        "import sys; from pathlib import Path; from cloze.text.shards import read_shard\n"
        "print(read_shard(Path(sys.argv[1])).tokens.tolist(), 'pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "train-00000.arrow")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[1, 2, 3, 4] False\n"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "train-00000.arrow"
    write(path, [[[1, 2, 3], [4]], [[5, 6]]] * 500, 30522)
    return path


def test_tokens_are_mapped_not_copied(shard: Path) -> None:
    before = pa.total_allocated_bytes()
    tokens = read_shard(shard).tokens
    assert not tokens.flags.owndata
    assert not tokens.flags.writeable
    assert pa.total_allocated_bytes() - before < tokens.nbytes


def test_nothing_is_left_beside_the_shard(shard: Path) -> None:
    assert [path.name for path in shard.parent.iterdir()] == [shard.name]


def test_other_readers(shard: Path, tmp_path: Path) -> None:
    table = pa.ipc.open_file(shard).read_all()
    assert table.to_pylist()[:2] == [
        {"tokens": [1, 2, 3, 4], "sentence_lengths": [3, 1]},
        {"tokens": [5, 6], "sentence_lengths": [2]},
    ]
    assert feather.read_feather(shard)["tokens"][1].tolist() == [5, 6]  # pandas
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset("arrow", data_files=str(shard), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 1000
    assert rows[1]["tokens"] == [5, 6]


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_shard_is_refused(shard: Path, kept: float) -> None:
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match=r"train-00000\.arrow: .*truncated or corrupt"):
        read_shard(shard)


@settings(deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_damaged_shard_never_breaks_the_reader(
    position: float, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "train-00000.arrow"
    write(path, [[[1, 2, 3], [4]], [[5, 6]]] * 20, 300)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] = value
    path.write_bytes(content)
    try:
        tokens, sentences, documents, _ = read_shard(path)
    except InputError:
        return
    assert tokens.max(initial=0) < 300
    assert sentences[-1] == len(tokens)
    assert documents[-1] == len(sentences) - 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.arrow"
    with pytest.raises(InputError, match="missing"):
        read_shard(path)
    table = pa.table({"tokens": [[1]]})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="another kind of Arrow file"):
        read_shard(path)
    other = table.replace_schema_metadata({"cloze.format": "2"})
    with pa.ipc.new_file(path, other.schema) as writer:
        writer.write_table(other)
    with pytest.raises(InputError, match="expected a shard of version 1, found version 2"):
        read_shard(path)
    other = table.replace_schema_metadata({"cloze.format": "1", "cloze.vocab_size": "5"})
    with pa.ipc.new_file(path, other.schema) as writer:
        writer.write_table(other)
    with pytest.raises(InputError, match="does not have the columns"):
        read_shard(path)
