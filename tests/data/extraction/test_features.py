"""The hidden states against `transformers`, every layer and level; parts and resuming; the three forms of output."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file

from cloze.data.extraction import partial
from cloze.data.extraction.chunks import Chunks
from cloze.data.extraction.feature_files import WrittenFeatures, feature_files
from cloze.data.extraction.feature_rows import RowTables
from cloze.data.extraction.features import FeatureWriter, Outcome
from cloze.data.extraction.options import Level, Sizes
from cloze.data.extraction.partial import PartialFeatures, PartialPart, partial_features
from cloze.data.extraction.text_tokens import RowReader, TextEncoder
from cloze.data.extraction.vectors import Extractor, is_pooled
from cloze.data.tables.columns import TextColumns
from cloze.data.tables.stream import StreamRow
from cloze.errors import InputError
from cloze.model.bert import BertEncoder, Pooler
from cloze.model.encoder import Encoder
from cloze.model.pooling import LayerChoice
from cloze.text.tokenizer import build_tokenizer
from tests.tiny import tiny_config

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    "the",
    ".",
    ",",
]
CONFIG = tiny_config(len(VOCAB), hidden_size=16, num_hidden_layers=4, max_position_embeddings=24)
TEXTS = ["the cat, sat.", "a", "", "the " * 30, "abc def the. " * 9, "x y z", "hello world."]
PAIRS = ["the dog.", "the " * 40, "b", "ab", "the end. " * 12, "", "y"]


def small_encoder() -> Encoder:
    torch.manual_seed(0)
    return BertEncoder(CONFIG).eval()


def pooler() -> Pooler:
    torch.manual_seed(1)
    return Pooler(CONFIG).eval()


def extractor(level: Level = "token", layers: Any = "all", **changes: Any) -> Extractor:
    sizes: dict[str, Any] = {
        "max_length": 24,
        **{key: changes.pop(key) for key in ("stride", "special_tokens") if key in changes},
    }
    given: dict[str, Any] = {"dtype": np.dtype("float32"), "batch_tokens": 50, **changes}
    return Extractor(
        encoder=small_encoder().pack(),
        pooler=pooler() if level == "pooler" else None,
        plan=LayerChoice(layers=layers).plan(CONFIG.num_hidden_layers, CONFIG.hidden_size),
        level=level,
        sizes=Sizes(**sizes),
        **given,
    )


class Stop(Exception):  # noqa: N818
    pass


def stop(*_: object) -> None:
    raise Stop


def run(
    output: Path,
    cells: Sequence[dict[str, Any]],
    level: Level = "token",
    columns: TextColumns | None = None,
    *,
    rows: Any = None,
    on_bad_row: Any = "stop",
    label: str | None = None,
    **changes: Any,
) -> Outcome:
    """Texts to an output, as the command does it."""
    columns = columns or TextColumns()
    work = extractor(level, **changes)
    chunks = Chunks(
        reader=RowReader(columns=columns, label=label),
        encoder=TextEncoder(tokenizer=build_tokenizer(VOCAB), sizes=work.sizes, wants_places=not is_pooled(level)),
        bytes_of=work.bytes_of,
        most_bytes=20_000,
        longest_bytes=100_000,
        on_bad_row=on_bad_row,
        counts=Counter(),
    )

    def source(skip: int, counts: Counter[str]) -> Iterator[StreamRow]:
        return (StreamRow(n, f"x, line {n + 1}", cell) for n, cell in enumerate(cells) if n >= skip)

    tables = RowTables(VOCAB, columns, level, special_tokens=work.sizes.special_tokens, labelled=label is not None)
    with partial_features(output) as found:
        found.begin({"level": level})
        files = feature_files(found, as_folder=output.suffix == "")
        writer = FeatureWriter(
            chunks=chunks, extractor=work, tables=tables, files=files, partial=found, tell=lambda _, __: None
        )
        return writer.write(rows or source)


def windowed_states(text: str, pair: str | None = None) -> list[torch.Tensor]:
    """Every layer of a text that fits, by the plain encoder, one text a pass."""
    from cloze.data.extraction.vectors import _packed
    from cloze.data.long_texts import text_windows

    encoder = TextEncoder(tokenizer=build_tokenizer(VOCAB), sizes=Sizes(max_length=24))
    [tokens] = encoder.encode([RowReader(columns=TextColumns()).read({"text": text})._replace(pair=pair)])
    windows = text_windows(tokens.first, tokens.second, 24, None)
    states = [torch.zeros(len(tokens.ids), 16) for _ in range(5)]
    with torch.inference_mode():
        for window in windows:
            for state, found in zip(states, small_encoder().hidden_states(_packed([tokens], [window])), strict=True):
                state[window.places[window.own]] = found[torch.from_numpy(window.own)]
    return states


def test_every_piece_of_every_layer_whatever_is_beside_it(tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    run(output, [{"text": text} for text in TEXTS])
    rows = pq.read_table(output).to_pylist()
    assert [row["row"] for row in rows] == list(range(len(TEXTS)))
    for text, row in zip(TEXTS, rows, strict=True):
        for number, state in enumerate(windowed_states(text)):
            np.testing.assert_allclose(np.array(row[f"layer_{number}"]), state, atol=1e-5)
        for token, (start, end) in zip(row["tokens"], row["offsets"], strict=True):
            assert token in ("[CLS]", "[SEP]") or text[start:end] == token.removeprefix("##")


def test_levels_are_made_of_the_pieces(tmp_path: Path) -> None:
    cells = [{"text": text, "b": pair} for text, pair in zip(TEXTS, PAIRS, strict=True)]
    columns = TextColumns(text_pair="b")
    found = {}
    for level in ("token", "word", "word_mean", "mean", "max", "cls"):
        run(tmp_path / f"{level}.parquet", cells, level, columns, layers="last")
        found[level] = pq.read_table(tmp_path / f"{level}.parquet").to_pylist()
    for number, row in enumerate(found["token"]):
        vectors = np.array(row["features"])
        np.testing.assert_allclose(found["mean"][number]["features"], vectors.mean(0), atol=1e-5)
        np.testing.assert_allclose(found["max"][number]["features"], vectors.max(0), atol=1e-5)
        if len(row["tokens"]) <= 24:
            np.testing.assert_allclose(found["cls"][number]["features"], vectors[0], atol=1e-5)
        words: list[list[int]] = []
        for place, token in enumerate(row["tokens"]):
            if token not in ("[CLS]", "[SEP]"):
                words = [*words, [place]] if not token.startswith("##") else [*words[:-1], [*words[-1], place]]
        first = np.array([vectors[word[0]] for word in words]).reshape(-1, 16)
        mean = np.array([vectors[word].mean(0) for word in words]).reshape(-1, 16)
        np.testing.assert_allclose(np.array(found["word"][number]["features"]).reshape(-1, 16), first, atol=1e-5)
        np.testing.assert_allclose(np.array(found["word_mean"][number]["features"]).reshape(-1, 16), mean, atol=1e-5)
        spelt = ["".join(row["tokens"][place].removeprefix("##") for place in word) for word in words]
        assert found["word"][number]["words"] == spelt
        assert [row["segments"][word[0]] for word in words] == found["word"][number]["segments"]


def test_cls_and_pooler_of_a_long_text_are_means_over_its_windows(tmp_path: Path) -> None:
    text = "the " * 30
    for level in ("cls", "pooler"):
        run(tmp_path / f"{level}.npy", [{"text": text}], level, layers="last", stride=11)
    parts = [" the" * 22, " the" * 19]  # from the first and from the twelfth word
    firsts = torch.stack([windowed_states(part)[4][0] for part in parts])
    np.testing.assert_allclose(np.load(tmp_path / "cls.npy")[0], firsts.mean(0), atol=1e-5)
    with torch.inference_mode():
        pooled = torch.tanh(pooler().dense(firsts)).mean(0)
    np.testing.assert_allclose(np.load(tmp_path / "pooler.npy")[0], pooled, atol=1e-5)


def test_words_that_are_given(tmp_path: Path) -> None:
    cells = [{"w": ["the", "\u200d", "cat.s"]}, {"w": "a  bc"}, {"w": []}]
    for level in ("word", "token"):
        run(tmp_path / f"{level}.parquet", cells, level, TextColumns(words="w"), layers="last")  # type: ignore[arg-type]
    words, pieces = (pq.read_table(tmp_path / f"{level}.parquet").to_pylist() for level in ("word", "token"))
    assert [row["words"] for row in words] == [["the", "\u200d", "cat.s"], ["a", "bc"], []]
    assert pieces[0]["tokens"] == ["[CLS]", "the", "[UNK]", "c", "##a", "##t", ".", "s", "[SEP]"]
    assert pieces[0]["word_ids"] == [-1, 0, 1, 2, 2, 2, 2, 2, -1]
    np.testing.assert_array_equal(words[0]["features"], np.array(pieces[0]["features"])[[1, 2, 3]])


@pytest.mark.parametrize("special_tokens", [True, False])
def test_three_forms_hold_the_same(tmp_path: Path, special_tokens: bool) -> None:
    cells = [{"text": text, "key": number} for number, text in enumerate(TEXTS * 5)]
    outputs = [tmp_path / name for name in ("a.parquet", "a.npy", "folder")]
    for output in outputs:
        run(output, cells, columns=TextColumns(id="key"), layers=[0, 4], special_tokens=special_tokens)
        assert not list(tmp_path.glob("*.unfinished"))
    rows = pq.read_table(outputs[0]).to_pylist()
    assert pq.ParquetFile(outputs[0]).num_row_groups > 2
    array = np.load(outputs[1], mmap_mode="r")
    index = pq.read_table(tmp_path / "a.rows.parquet").to_pylist()
    shards = json.loads((outputs[2] / "index.json").read_text())["shards"]
    tables = [(shard, pq.read_table(outputs[2] / shard["rows"]).to_pylist()) for shard in shards]
    in_shards = [(load_file(outputs[2] / shard["file"]), row) for shard, table in tables for row in table]
    assert len(shards) > 2
    assert len(rows) == len(index) == len(in_shards) == len(cells)
    for row, place, (tensors, shard_row) in zip(rows, index, in_shards, strict=True):
        assert row["id"] == place["id"] == shard_row["id"] == str(row["row"])
        assert row["tokens"] == place["tokens"] == shard_row["tokens"]
        assert ("[CLS]" in row["tokens"]) == special_tokens
        part = array[place["start"] : place["start"] + place["count"]]
        for number, name in enumerate(("layer_0", "layer_4")):
            expected = np.array(row[name], np.float32).reshape(-1, 16)
            np.testing.assert_array_equal(part[:, number], expected)
            own = slice(shard_row["start"], shard_row["start"] + shard_row["count"])
            np.testing.assert_array_equal(tensors[name][own], expected)


@pytest.mark.parametrize("name", ["a.parquet", "a.npy", "folder"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells: list[dict[str, Any]] = [{"text": text} for text in TEXTS * 5]
    cells[7] = {"other": 1}
    (tmp_path / "undisturbed").mkdir()
    whole = run(tmp_path / "undisturbed" / name, cells, on_bad_row="skip")
    output = tmp_path / name

    original, calls = Extractor.extract, 0
    for stop_at in (1, 3, 2):
        calls = 0

        def stopping(self: Extractor, texts: Any, begun: Any, stop_at: int = stop_at) -> Any:
            nonlocal calls
            calls += 1
            if calls > stop_at:
                raise Stop
            return original(self, texts, begun)

        monkeypatch.setattr(Extractor, "extract", stopping)
        with pytest.raises(Stop):
            run(output, cells, on_bad_row="skip")
        assert not output.exists()
    monkeypatch.setattr(Extractor, "extract", original)
    stray = tmp_path / f"{name}.unfinished" / "features.npy"
    if stray.exists():  # killed while it wrote a part
        stray.write_bytes(stray.read_bytes() + b"torn")
    outcome = run(output, cells, on_bad_row="skip")
    assert outcome.resumed > 10
    assert (outcome.texts, outcome.tokens, outcome.left_out) == (whole.texts, whole.tokens, whole.left_out)
    assert outcome.left_out == {"rows without text": 1}
    for file in sorted((tmp_path / "undisturbed").rglob("*")):
        if file.is_file():
            assert (tmp_path / file.relative_to(tmp_path / "undisturbed")).read_bytes() == file.read_bytes(), file
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.parametrize("level", ["token", "mean", "max"])
@pytest.mark.parametrize("name", ["a.parquet", "a.npy"])
def test_a_part_that_was_stopped_in_its_middle_goes_on_there(
    tmp_path: Path, name: str, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [{"text": text} for text in TEXTS * 5]
    (tmp_path / "whole").mkdir()
    run(tmp_path / "whole" / name, cells, level)
    monkeypatch.setattr(partial, "SECONDS", 0.0)
    results, batches = Extractor._results, 0

    def stopping(self: Extractor, packed: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches == 8:
            raise Stop
        return results(self, packed)

    monkeypatch.setattr(Extractor, "_results", stopping)
    with pytest.raises(Stop):
        run(tmp_path / name, cells, level)
    first, batches = batches, 100
    outcome = run(tmp_path / name, cells, level)
    assert (tmp_path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    monkeypatch.setattr(Extractor, "_results", results)
    assert not list(tmp_path.glob("*.unfinished"))
    assert outcome.texts == len(cells)
    batches = 100
    monkeypatch.setattr(Extractor, "_results", stopping)
    run(tmp_path / f"again-{name}", cells, level)
    of_all = batches - 100
    assert of_all > first


@pytest.mark.parametrize("damage", [b"", b"PK", b"no archive"])
def test_what_was_begun_and_is_damaged_is_done_again(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "part.npz"
    file.write_bytes(damage)
    into = {"a": np.zeros(3, np.float32)}
    assert PartialPart(file).restore(into) == 0
    np.savez(file, batches=np.int64(4), a=np.ones(2, np.float32))  # of other texts
    assert PartialPart(file).restore(into) == 0
    np.savez(file, batches=np.int64(4), a=np.ones(3, np.float32))
    assert PartialPart(file).restore(into) == 4
    assert into["a"].tolist() == [1, 1, 1]


def test_stopped_while_it_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [{"text": text} for text in TEXTS * 5]
    for name in ("a.parquet", "a.npy", "folder"):
        with monkeypatch.context() as patch:
            patch.setattr(PartialFeatures, "remove", stop)
            with pytest.raises(Stop):
                run(tmp_path / name, cells, layers="last")
        assert run(tmp_path / name, cells, layers="last").texts == len(cells)
        assert not list(tmp_path.glob("*.unfinished"))


def test_what_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    with pytest.raises(InputError, match=r"x, line 1: has no 'text' \(there: 'a', 'b'\); set columns.text=NAME"):
        run(output, [{"a": 1, "b": 2}])
    run(output, [{"text": "a"}], "cls")  # nothing had begun
    with pytest.raises(InputError, match=r"line 1: has a text of 6,002 tokens, whose hidden states take"):
        run(tmp_path / "b.parquet", [{"text": "the " * 6000}])
    with pytest.raises(InputError, match="expected a text"):
        run(tmp_path / "c.parquet", [{"text": 3}])
    run(tmp_path / "d.parquet", [{"text": "a"}, {"text": None}, {"text": "the " * 6000}], on_bad_row="skip")
    assert pq.read_metadata(tmp_path / "d.parquet").num_rows == 1
    with pytest.raises(InputError, match="exists already"):
        run(tmp_path / "d.parquet", [{"text": "a"}])
    with pytest.raises(InputError, match=r"expected a name that ends in \.parquet"):
        run(tmp_path / "d.csv", [{"text": "a"}])


@pytest.mark.parametrize("name", ["a.parquet", "a.npy", "folder"])
def test_no_texts_at_all(tmp_path: Path, name: str) -> None:
    assert run(tmp_path / name, []).texts == 0
    assert WrittenFeatures(tmp_path / name, ("layer_0",)).column("row") == []


def test_float16_and_a_giant_pooled_text(tmp_path: Path) -> None:
    run(tmp_path / "a.npy", [{"text": "the " * 1700}], "mean", layers="last", dtype=np.dtype("float16"))
    run(tmp_path / "b.npy", [{"text": "the " * 1700}], "mean", layers="last")
    half = np.load(tmp_path / "a.npy")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, np.load(tmp_path / "b.npy"), atol=2e-3)
