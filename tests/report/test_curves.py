"""The curves of runs as a matplotlib figure."""

from pathlib import Path

import pytest

import cloze
from cloze.errors import InputError
from cloze.report.page.metrics import read_metrics
from cloze.report.picture import png
from tests.report import run_folders


def test_every_value_of_two_runs_is_drawn(tmp_path: Path) -> None:
    one, two = (run_folders.pretraining(tmp_path / name, seed=seed) for name, seed in (("one", 0.0), ("two", 1.0)))
    figure = cloze.curves(one, str(two))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "Masked LM loss"
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert {"one train", "two train", "one val", "two val"} <= lines.keys()
    curve = read_metrics(two / "metrics.csv").curves["train/masked_lm_loss"]
    assert lines["two train"].get_xdata().tolist() == curve.steps.tolist()
    assert lines["two train"].get_ydata() == pytest.approx(curve.values, rel=1e-5)
    assert png(figure).startswith(b"\x89PNG")


def test_one_run_names_the_splits_and_another_section(tmp_path: Path) -> None:
    run_folders.task(tmp_path / "sst2")
    figure = cloze.curves(tmp_path)
    assert [[line.get_label() for line in axes.lines] for axes in figure.axes] == [["train"], ["val"]]
    with pytest.raises(InputError, match="section is 'sped', but must be one of learning, optim, speed, data"):
        cloze.curves(tmp_path, section="sped")
    with pytest.raises(InputError, match="nothing is logged yet of data"):
        cloze.curves(tmp_path, section="data")
    with pytest.raises(InputError, match="there is no such folder"):
        cloze.curves(tmp_path / "none")
