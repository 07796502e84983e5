"""The report at the end of a run harms nothing, whatever goes wrong with it."""

from pathlib import Path

import pytest

from cloze.launch.reporting import leave_comparison, leave_report
from cloze.report.page import page
from tests.report.run_folders import pretraining


def test_a_run_leaves_its_page_and_its_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pretraining(tmp_path / "sweep" / "0")
    leave_report(folder)
    leave_comparison(tmp_path / "sweep")
    assert (folder / "report.html").exists()
    assert (folder / "model" / "README.md").exists()
    assert (tmp_path / "sweep" / "comparison.html").exists()
    assert "report.html" in capsys.readouterr().out


def test_what_goes_wrong_is_told_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pretraining(tmp_path / "run")
    (folder / "metrics.csv").write_text("step,a\n1,x\n", "utf-8")
    leave_report(folder)
    error = capsys.readouterr().err
    assert "metrics.csv, line 2: 'a' is 'x'" in error
    assert "Traceback" not in error

    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    (folder / "metrics.csv").unlink()
    monkeypatch.setattr(page, "_render", broken)
    leave_report(folder)
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert f"cloze-report {folder} tries again" in error
    assert not (folder / "report.html").exists()
