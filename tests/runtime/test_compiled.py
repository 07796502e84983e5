"""What numba keeps on disk is never older than the code: not than a function or a constant of another file either."""

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import cloze
from cloze.runtime.compiled import _taken
from tests import processes

PROGRAM = """
import sys
from pathlib import Path

import numba
import numpy as np

sys.path.insert(0, "")
numba.config.DISABLE_JIT = {0}
np.seterr(over="ignore")  # 64-bit arithmetic wraps around silently when compiled
from cloze.data.pretraining.pairs import next_sentence_rows

assert hasattr(next_sentence_rows, "py_func") is not {0}  # it is compiled, or not
one, two = np.array([0, 3]), np.array([0, 2, 3])
assert Path(sys.modules["cloze"].__file__).is_relative_to(Path.cwd())
print([next_sentence_rows(np.arange(0, 40, 10), ends, 16, 0.0, np.uint64(1)).tolist() for ends in (one, two)])
"""


def _printed(package: Path, *, compiled: bool) -> str:
    # In a process of its own: a fork has compiled functions of the repository, which numba does not take anew.
    done = processes.run([sys.executable, "-c", PROGRAM.format(not compiled)], cwd=package.parent)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


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
