"""The word on the terminal: after some patience, in one process only, and gone without a trace."""

import os
import pty
import re
import subprocess
import sys

import pytest

from cloze.runtime.spinner import waiting
from tests import processes

PROGRAM = """\
import sys, threading
import cloze.runtime.spinner
cloze.runtime.spinner.PATIENCE = float(sys.argv[1])
with cloze.runtime.spinner.waiting("reading the model"):
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and thread.interval < 1:
            thread.join()
    print("for a file")
print("read", file=sys.stderr)
"""


COUNT = """\
from cloze.text.progress import LiveCount
with LiveCount() as live:
    live(texts=100, tokens=1_000)
    live._began -= 2_000_000  # so long that no pause of the machine changes the rate
    live(texts=1_100, tokens=20_000_001_000)
print("for a file")
"""
FOUND = """\
import sys
from cloze.cli import doctor
from cloze.config.hardware import Hardware
from cloze.doctor import examination
examination._steps = lambda *_: [("packages", examination.check_packages), ("others", lambda: [])]
sys.stdout = sys.stderr
doctor._examine(doctor.Doctor(folder="runs", data="data", format="text", hardware=Hardware()))
sys.__stdout__.write("for a file\\n")
"""


def on_a_terminal(patience: str, program: str = PROGRAM, **environment: str) -> str:
    """What the terminal of a process gets, whose stdout goes elsewhere."""
    master, slave = pty.openpty()
    command = [sys.executable, "-c", program, patience]
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "LOCAL_RANK", "SLURM_PROCID")}
    clean |= {"TERM": "xterm", **environment}
    with processes.started(command, stdout=subprocess.PIPE, stderr=slave, env=clean) as process:
        os.close(slave)
        text = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            text += part
            if not part:
                break
        assert process.communicate(timeout=120)[0] == b"for a file\n"
        assert process.returncode == 0
    os.close(master)
    return text.decode()


def test_a_terminal_shows_what_goes_on() -> None:
    text = on_a_terminal("0")
    assert "reading the model ..." in text
    assert text.rindex("\x1b[?25h") < text.rindex("read\r\n")  # the cursor is there again
    assert text.endswith("read\r\n")


def test_colours_are_off_with_no_color() -> None:
    assert "\x1b[32m" in on_a_terminal("0")
    assert "\x1b[32m" not in on_a_terminal("0", NO_COLOR="1")


@pytest.mark.parametrize(("patience", "environment"), [("1000", {}), ("0", {"LOCAL_RANK": "1"})])
def test_what_is_over_soon_and_other_ranks_say_nothing(patience: str, environment: dict[str, str]) -> None:
    assert on_a_terminal(patience, **environment) == "read\r\n"


def test_elsewhere_nothing_is_said(capsys: pytest.CaptureFixture) -> None:
    with waiting("reading the model"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_count_has_its_rate_and_leaves_no_trace() -> None:
    text = on_a_terminal("0", COUNT)
    assert "1,100 texts, 20,000,001,000 tokens, 10,000 tokens a second" in text
    assert text.endswith("\x1b[2K") or text.rstrip().endswith("\x1b[2K")  # the line is wiped


def test_what_is_found_does_not_stand_behind_the_spinner() -> None:
    """Each line of the doctor begins where the spinner's was wiped."""
    text = on_a_terminal("0", FOUND)
    assert "looking at: packages" in text
    for line in text.split("\r\n"):
        shown = re.sub(r".*\x1b\[2K", "", line)  # what is left of a line
        assert not ("looking at" in shown and "ok " in shown), line
