"""`cloze-doctor` itself, for real."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from cloze.cli import doctor
from cloze.doctor import packages
from tests import processes


def test_it_tells_machines_what_it_found(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cloze.cli.doctor", "--json", f"folder={tmp_path / 'runs'}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert not {"\r", "\x1b"} & set(done.stdout)
    told = json.loads(done.stdout)
    assert told["sound"] is True
    topics = [finding["topic"] for finding in told["findings"]]
    assert topics == sorted(topics, key=topics.index)  # one topic after the other
    assert {"packages", "processor", "memory", "disk", "devices", "imports"} <= set(topics)
    by_topic = {topic: [f for f in told["findings"] if f["topic"] == topic] for topic in topics}
    assert by_topic["processor"][0]["figures"]["cores"] == os.cpu_count()
    free = by_topic["disk"][0]["figures"]["free_bytes"]
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    speeds = next(f["figures"] for f in by_topic["devices"] if "fp32_flops" in f["figures"])
    assert 1e7 < speeds["fp32_flops"] < 1e15
    assert by_topic["imports"][0]["figures"]["seconds"] > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_terminal_of_80_columns_has_whole_words_and_no_trace_of_the_wheel(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    command = [sys.executable, "-m", "cloze.cli.doctor"]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    with processes.started(command, cwd=tmp_path, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        written = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(master, 4096):
                written += part
        assert process.wait(timeout=120) == 0
    os.close(master)
    seen = screen(written.decode())
    assert not [line for line in seen if "looking at" in line]
    assert max(map(len, seen)) <= 80
    assert any(line.startswith("ok      Python") for line in seen)
    assert any(line.startswith("        ") for line in seen)


def screen(written: str) -> list[str]:
    """The lines of a terminal that is high enough, after all that was written, with what was erased gone."""
    lines, row = [""], 0
    for text, code, end in re.findall(r"([^\x1b\n]+)|\x1b\[([\d;?]*[A-Za-z])|(\n)", written):
        if end:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif code == "2K":
            lines[row] = ""
        elif code.endswith("A"):
            row -= int(code[:-1] or 1)
        elif text:
            lines[row] += text.replace("\r", "")
    return lines


def test_what_would_stop_a_run_makes_it_fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(packages, "TRAINING", "pass")
    monkeypatch.setattr(sys, "argv", ["cloze-doctor", "hardware=gpu", "hardware.workers=0"])
    assert doctor.main() == 1
    told = capsys.readouterr()
    assert "FAILS   hardware.accelerator is gpu, but torch sees none here" in told.out
    assert "take hardware=cpu" in told.out
    assert "1 of these would stop a run." in told.out
    assert "\x1b" not in told.out
    assert told.err == ""


def test_bad_input_is_told_apart_from_a_bad_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["cloze-doctor", "formt=json"])
    assert doctor.main() == 2
    assert "unknown key 'formt'; did you mean 'format'?" in capsys.readouterr().err


def test_it_needs_no_hydra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """An environment in which the other commands end with a traceback."""
    monkeypatch.setitem(sys.modules, "hydra", None)
    monkeypatch.setattr(packages, "TRAINING", "raise ModuleNotFoundError(\"No module named 'hydra'\")")
    monkeypatch.setattr(sys, "argv", ["cloze-doctor", "--json"])
    assert doctor.main() == 1
    failures = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["level"] == "failure"]
    assert [f["text"] for f in failures] == [
        "what training needs cannot be imported: ModuleNotFoundError: No module named 'hydra'"
    ]
