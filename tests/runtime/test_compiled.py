"""What numba keeps on disk is never older than the code: not than a function or a constant of another file either."""

import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import cloze
from cloze.runtime.compiled import _taken
from tests import processes

PROGRAM = """
import numpy as np
np.seterr(over="ignore")  # 64-bit arithmetic wraps around silently when compiled
from cloze.data.pretraining.pairs import next_sentence_rows

one, two = np.array([0, 3]), np.array([0, 2, 3])
print([next_sentence_rows(np.arange(0, 40, 10), ends, 16, 0.0, np.uint64(1)).tolist() for ends in (one, two)])
"""


def _printed(package: Path, *, compiled: bool) -> str:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_DISABLE_JIT": "01"[not compiled]}
    return str(processes.run([sys.executable, "-c", PROGRAM], cwd=package.parent, env=environment, check=True).stdout)


@pytest.mark.slow
def test_a_change_in_another_file_is_compiled(tmp_path: Path) -> None:
    package = tmp_path / "cloze"
    shutil.copytree(Path(cloze.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    printed = [_printed(package, compiled=True)]
    kept = {file: file.stat().st_mtime_ns for file in package.rglob("*.nbi")}
    assert kept
    assert _printed(package, compiled=True) == printed[0]
    assert kept == {file: file.stat().st_mtime_ns for file in package.rglob("*.nbi")}, "what is not old is used"
    for name, before, after in (
        ("data/splitmix.py", "return number", "return bound - 1 - number"),  # a function
        ("batch.py", "IGNORED_LABEL = -100", "IGNORED_LABEL = -7"),  # a constant
    ):
        file = package / name
        assert before in file.read_text(), name
        file.write_text(file.read_text().replace(before, after))
        printed.append(_printed(package, compiled=True))
        assert printed[-1] == _printed(package, compiled=False), name
    assert len(set(printed)) == len(printed)


def test_the_order_of_fields_is_compiled() -> None:
    kinds = (namedtuple("Masking", fields) for fields in ("rate share", "share rate"))
    first, second = (_taken({"__name__": "module", "Masking": kind}) for kind in kinds)
    assert first != second
