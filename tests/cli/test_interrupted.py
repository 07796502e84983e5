"""Ctrl-C at any moment of a start: one line at most, no traceback, and the status that shells have for it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["cloze.config.schema", "hydra", "torch"])
def test_while_something_is_imported(module: str, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "class CtrlC:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, CtrlC())\n"
        "sys.argv = ['cloze-train', 'experiment=pydocs']\n"
        "from cloze.cli.train import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("interrupted")
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())
