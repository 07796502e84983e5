"""Nothing that a test starts can keep it waiting, or outlive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import processes
from tests.conftest import REPOSITORY

FAMILY = ["sh", "-c", "sleep 600 & setsid sleep 600 & echo $!; wait"]
"""A process with two below it, one of them in a session of its own; it tells the number of that."""
HANGING = """
import signal, subprocess, time
import pytest

@pytest.mark.timeout(5)
def test_waits():
    subprocess.Popen(["sh", "-c", "echo $$ > left; sleep 600 & wait"], start_new_session=True)
    time.sleep(600)

def test_goes_on():
    pass

@pytest.mark.timeout(5)
def test_is_deaf():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def test_a_process_ends_with_its_block_and_all_below_it() -> None:
    with processes.started(FAMILY, stdout=subprocess.PIPE, text=True) as process:
        below = int(process.stdout.readline())  # type: ignore[union-attr]
        assert is_alive(below)
        assert len(processes.family(process.pid)) == 3
    assert process.returncode == -signal.SIGKILL
    processes.wait_until(lambda: not is_alive(below), seconds=10)


def test_orphans_are_found_and_buried() -> None:
    orphan = int(processes.run(["sh", "-c", "setsid sleep 600 > /dev/null 2>&1 & echo $!"]).stdout)
    assert is_alive(orphan)
    if sys.platform == "linux":
        assert orphan in processes.children()
    processes.end_all(lambda: {orphan} & processes.children())
    assert not psutil.pid_exists(orphan)


def test_a_process_that_takes_too_long_is_told_with_what_it_said() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"did not end within 0.5 s, and said .*as far as here"):
        processes.run(["sh", "-c", "echo as far as here; sleep 600"], seconds=0.5)
    with pytest.raises(pytest.fail.Exception, match=r"status 3: .*in vain"):
        processes.run(["sh", "-c", "echo in vain >&2; exit 3"], check=True)


def test_a_pipe_that_an_orphan_holds_keeps_nobody_waiting() -> None:
    command = ["sh", "-c", "echo the last word; setsid sleep 600 & exit 3"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    begun = time.monotonic()
    with (
        processes.started(command, **pipes) as process,
        pytest.raises(pytest.fail.Exception, match=r"status 3: .*the last word"),
    ):
        processes.wait_until(lambda: False, process)
    assert time.monotonic() - begun < 60


def test_two_that_run_tests_share_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[int]] = []
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        found.append({processes.free_port() for _ in range(200)})
    assert not found[0] & found[1]
    if (ephemeral := Path("/proc/sys/net/ipv4/ip_local_port_range")).exists():
        assert max(found[0] | found[1]) < int(ephemeral.read_text().split()[0])


def test_signals_that_a_parent_ignored_are_heard() -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.pthread_sigmask(0, [signal.SIGTERM])\n"
        "from tests import processes; processes.as_from_a_shell()\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.pthread_sigmask(0, []))"
    )
    assert processes.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True).stdout == "True set()\n"


@pytest.mark.long
def test_a_hanging_test_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """One that hears its limit, and one that does not: xdist then takes a new process."""
    (tmp_path / "test_hanging.py").write_text(HANGING, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-n1", "test_hanging.py"]
    done = processes.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/src", "CLOZE_TESTS_LATER": "15"},
    )
    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "Timeout (>5.0s) from pytest-timeout" in done.stdout
    assert "crashed while running 'test_hanging.py::test_is_deaf'" in done.stdout
    assert " in test_is_deaf" in done.stderr + done.stdout
    assert not is_alive(int((tmp_path / "left").read_text()))
