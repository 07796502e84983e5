"""The benchmark of the GPU, whose code runs on a CPU as well."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as program
from benchmarks.gpu.sides import our_side, their_side
from benchmarks.gpu.work import batches_of, filled, rows_of
from cloze.batch import IGNORED_LABEL

REPOSITORY = Path(__file__).resolve().parents[1]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    before = torch.get_float32_matmul_precision()
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--sizes", "tiny", "--lengths", "128", *words])
    program.main()
    torch.set_float32_matmul_precision(before)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of the peer's library and of torch's compiler
def test_the_table_is_written_and_a_second_run_measures_only_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--seconds", "0.01", "--tokens", "512", "--workers", "0", "--output", str(tmp_path / "gpu"))
    ours = ("--variants", "ours without compile", "Hugging Face", "--kinds", "mixed", "loader")
    run(monkeypatch, *words, *ours, "--budget", "-1")
    page = capsys.readouterr().out
    assert page.count("not measured: no time left") == 3
    assert page == (tmp_path / "gpu.md").read_text() + "\n"
    run(monkeypatch, *words, *ours)
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [(row["variant"], row["batches"]) for row in rows] == [
        ("ours without compile", "mixed"), ("ours without compile", "loader"), ("Hugging Face", "mixed"),
    ]  # fmt: skip
    for row in rows:
        parts = sum(row[f"ms_{part}"] for part in ("data", "forward", "backward", "optimizer"))
        assert 0.8 * row["ms_step"] < parts <= 1.01 * row["ms_step"]
        assert row["tokens_per_second"] > row["sequences_per_second"] > 0
    run(monkeypatch, *words, *ours)
    assert json.loads((tmp_path / "gpu.json").read_text())["rows"] == rows


def test_both_sides_get_the_same_real_tokens_and_see_the_same_loss() -> None:
    batch = batches_of("mixed", 128, 512)[0]
    packed, rows = filled(batch, 128, 512), rows_of(batch, 128)
    assert len(packed.packed.input_ids) == 512 > batch.num_tokens == rows["attention_mask"].sum()
    assert (packed.masked_labels != IGNORED_LABEL).sum() == (rows["labels"] != IGNORED_LABEL).sum() > 0
    others = [filled(other, 128, 512) for other in batches_of("mixed", 128, 512)]
    assert len({tuple(t.shape for t in (*o.packed[:4], *o[1:4])) for o in others}) == 1
    for side, one in ((our_side("tiny", torch.device("cpu"), compiled=False), packed),
                      (their_side("tiny", torch.device("cpu"), compiled=False), rows)):  # fmt: skip
        side.model.eval()
        assert side.loss(one).item() == pytest.approx(11.02, abs=0.35)  # ln 30,522 + ln 2, at random weights


def test_without_numba_the_model_can_be_made() -> None:
    code = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'numba' else find(name, *rest)\n"
        "import benchmarks.gpu.__main__ as program\n"
        "from benchmarks.gpu.sides import our_side\n"
        "import torch\n"
        "assert not hasattr(sys.modules['numba'], '__file__') and not program.HAS_NUMBA\n"
        "side = our_side('tiny', torch.device('cpu'), compiled=False)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
