"""The linear probe against a solution found another way; which layer knows a label; the page and the picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloze.data.extraction.feature_files import WrittenFeatures
from cloze.errors import InputError
from cloze.report.probe import (
    LayerScore,
    LinearProbe,
    ProbeReport,
    is_held_out,
    probe_layers,
    probe_page,
    probe_picture,
)


def test_the_probe_is_the_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloze.report.probe.ROWS_AT_ONCE", 37)
    numbers = np.random.default_rng(0)
    vectors = numbers.normal(size=(300, 4)).astype(np.float32) * [1, 10, 0.1, 0] + 5
    labels = (vectors[:, 0] + numbers.normal(size=300) > 5).astype(np.int64) + (vectors[:, 1] > 12)
    rows = np.arange(0, 300, 2)
    probe = LinearProbe.fit(vectors, labels, rows, 3)
    # At the minimum the gradient of the penalised loss is zero: computed here by hand.
    x = vectors[rows].astype(np.float64)
    scale = np.where(x.std(0) == 0, 1, x.std(0))
    x = (x - x.mean(0)) / scale
    logits = x @ probe.weight.double().numpy().T + probe.bias.double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    error = shares - np.eye(3)[labels[rows]]
    gradient = (error.T @ x + probe.weight.double().numpy()) / len(rows)
    assert np.abs(gradient).max() < 2e-4
    assert np.abs(error.mean(0)).max() < 2e-4
    assert probe.accuracy(vectors, labels, rows) == pytest.approx((logits.argmax(1) == labels[rows]).mean())


def test_a_fifth_is_held_out_whatever_else_there_is() -> None:
    rows = np.arange(10_000)
    held_out = is_held_out(rows)
    assert 0.18 < held_out.mean() < 0.22
    np.testing.assert_array_equal(is_held_out(rows[5000:]), held_out[5000:])


def written(folder: Path, labels: list[str | None]) -> WrittenFeatures:
    """Features whose second layer knows the label."""
    numbers = np.random.default_rng(1)
    noise = numbers.normal(size=(len(labels), 6)).astype(np.float32)
    known = noise + 4 * np.array([[label == "pos"] for label in labels], np.float32)
    columns = {"row": pa.array(range(len(labels)), pa.int64()), "label": pa.array(labels, pa.string())}
    for name, vectors in (("layer_0", noise), ("layer_1", known)):
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 6)
    pq.write_table(pa.table(columns), folder / "a.parquet", row_group_size=100)
    return WrittenFeatures(folder / "a.parquet", ("layer_0", "layer_1"))


def test_which_layer_knows_the_label(tmp_path: Path) -> None:
    labels = [(None, "pos", "neg", "neg")[number % 4] for number in np.random.default_rng(2).integers(0, 4, 800)]
    report = probe_layers(written(tmp_path, labels), "stars")
    assert report.texts == sum(label is not None for label in labels)
    assert report.classes == 2
    first, second = report.layers
    assert first.held_out < report.majority + 0.1 < 0.9 < second.held_out
    page = probe_page(report)
    assert f"| 1               | {second.held_out:.3f}" in page
    assert "commonest label" in page
    assert probe_picture(report).startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".probe*"))


@pytest.mark.parametrize("shares", [(0.97, 1.0), (1.0, 1.0), (0.3, 0.4)])
def test_the_axis_of_the_picture_ends_at_one(shares: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Any] = []
    monkeypatch.setattr("cloze.report.probe.png", figures.append)
    layers = [LayerScore(layer=str(n), held_out=share, trained_on=1.0) for n, share in enumerate(shares)]
    probe_picture(
        ProbeReport(label="stars", classes=2, texts=100, held_out_texts=20, majority=0.5 * shares[0], layers=layers)
    )
    low, high = figures[0].axes[0].get_ylim()
    assert low < 0.5 * shares[0]
    assert shares[-1] <= high <= 1


@pytest.mark.parametrize("labels", [["pos"] * 50, [str(number) for number in range(1001)], [None] * 20])
def test_labels_that_are_no_classes(tmp_path: Path, labels: list[str | None]) -> None:
    with pytest.raises(InputError, match="a probe needs 2 to 1,000 classes"):
        probe_layers(written(tmp_path, labels), "stars")
