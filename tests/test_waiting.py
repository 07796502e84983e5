"""The word on the terminal: after some patience, in one process only, and gone without a trace."""

import os
import pty
import subprocess
import sys

import pytest

from cloze.waiting import waiting
from tests import processes

PROGRAM = """\
import sys, threading
import cloze.waiting
cloze.waiting.PATIENCE = float(sys.argv[1])
with cloze.waiting.waiting("reading the model"):
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and thread.interval < 1:
            thread.join()
    print("for a file")
print("read", file=sys.stderr)
"""


def on_a_terminal(patience: str, **environment: str) -> str:
    """What the terminal of a process gets, whose stdout goes elsewhere."""
    master, slave = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, patience]
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
