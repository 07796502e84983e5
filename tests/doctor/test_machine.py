from pathlib import Path

import pytest
import torch

from cloze.config.hardware import Hardware
from cloze.doctor import devices, machine, workers
from cloze.doctor.devices import check_build
from cloze.doctor.limits import cgroup_cores, cgroup_memory
from cloze.doctor.machine import check_disks, check_memory, check_processor, check_programs
from cloze.doctor.workers import check_workers


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="ascii")


def test_limits_of_the_second_kind_are_the_tightest_of_all_groups_around(tmp_path: Path) -> None:
    member = tmp_path / "cgroup"
    write(member, "0::/pod/box")
    write(tmp_path / "v2/pod/cpu.max", "150000 100000")
    write(tmp_path / "v2/pod/box/cpu.max", "max 100000")
    write(tmp_path / "v2/pod/memory.max", "max")
    write(tmp_path / "v2/pod/box/memory.max", "1073741824")
    assert cgroup_cores(tmp_path / "v2", member) == 1.5
    assert cgroup_memory(tmp_path / "v2", member) == 2**30


def test_limits_of_the_first_kind(tmp_path: Path) -> None:
    member = tmp_path / "cgroup"
    write(member, "4:memory:/box\n1:cpu,cpuacct:/box")
    write(tmp_path / "v1/cpu/box/cpu.cfs_quota_us", "400000")
    write(tmp_path / "v1/cpu/box/cpu.cfs_period_us", "100000")
    write(tmp_path / "v1/cpu/cpu.cfs_quota_us", "-1")
    write(tmp_path / "v1/cpu/cpu.cfs_period_us", "100000")
    write(tmp_path / "v1/memory/memory.limit_in_bytes", "9223372036854771712")  # no limit
    assert cgroup_cores(tmp_path / "v1", member) == 4
    assert cgroup_memory(tmp_path / "v1", member) is None


def test_no_control_groups_no_limits(tmp_path: Path) -> None:
    assert cgroup_cores(tmp_path, tmp_path / "nothing") is None
    assert cgroup_memory(tmp_path, tmp_path / "nothing") is None


def test_more_threads_than_cores_is_a_warning() -> None:
    good, *others = check_processor(Hardware(threads=10_000))
    assert good.level == "good"
    assert "10000 threads on" in others[0].text
    assert [finding.level for finding in check_processor(Hardware(threads=1))] == ["good"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no shared memory in the file system")
def test_workers_whose_batches_do_not_fit_into_shared_memory() -> None:
    *_, shared = check_memory(Hardware(devices=64, workers=64, micro_batch_tokens=100_000_000))
    assert shared.level == "failure"
    assert "--shm-size" in shared.advice
    assert shared.figures["shared_needed_bytes"] == 64 * 64 * 3 * 40 * 100_000_000
    *_, shared = check_memory(Hardware(workers=0))
    assert shared.level == "good"


def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(tmp_path.iterdir()) == []
    levels = [finding.level for finding in check_disks(tmp_path / "a" / "b", tmp_path)]
    assert set(levels) <= {"good", "warning"}
    monkeypatch.setattr(machine, "LEAST_DISK", 2**62)
    assert [finding.level for finding in check_disks(tmp_path, tmp_path)] == ["failure"] * 3
    assert list(tmp_path.iterdir()) == []


def test_programs_that_are_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    git, wandb = check_programs()
    assert "git is not installed" in git.text
    assert "no key" in wandb.text
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0", encoding="ascii")
    assert len(list(check_programs())) == 1


def test_a_driver_without_a_build_for_it_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    driver = tmp_path / "version"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    (note,) = check_build(Hardware(), driver)
    assert (note.level, note.text) == (
        "note", "torch is built for CUDA 13.0, but sees no GPU: there is no NVIDIA driver"
    )  # fmt: skip
    monkeypatch.setattr(torch.version, "cuda", None)
    driver.touch()
    (warning,) = check_build(Hardware(), driver)
    assert warning.text == "there is an NVIDIA driver, but torch is built without CUDA"


def test_bf16_is_warned_of_where_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "PAYS", 1e9)
    found = list(devices.check_processor_speed(Hardware(precision="bf16-mixed")))
    assert [finding.level for finding in found] == ["good", "warning"]
    assert "which does not pay here" in found[0].text
    monkeypatch.setattr(devices, "PAYS", 0.0)
    (good,) = devices.check_processor_speed(Hardware(precision="bf16-mixed"))
    assert "which pays here" in good.text


def test_batches_come_out_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = check_workers(Hardware(workers=1, micro_batch_tokens=1000))
    assert (found.level, found.text) == ("good", "batches of 1,000 tokens come from 1 worker")
    monkeypatch.setattr(workers, "PROBE", "raise RuntimeError('unable to open shared memory')")
    (found,) = check_workers(Hardware(workers=1))
    assert found.level == "failure"
    assert "unable to open shared memory" in found.text
    assert list(check_workers(Hardware(workers=0))) == []
