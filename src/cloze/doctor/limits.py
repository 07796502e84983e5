"""Resource limits of a container: Linux control groups, versions 1 and 2."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
UNLIMITED = 1 << 60
"""The first kind writes a number near 2**63 for no limit."""


def cgroup_cores(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """Processor time a second, in cores; None without a limit.

    Args:
        root: where the control groups are mounted.
        membership: the file in which the system says to which of them this process belongs.
    """
    found = []
    for folder in _folders(root, "cpu", membership):
        if text := _read(folder / "cpu.max"):
            quota, period = text.split()
            if quota != "max":
                found.append(int(quota) / int(period))
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota and period and int(quota) > 0:
            found.append(int(quota) / int(period))
    return min(found, default=None)


def cgroup_memory(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes; None without a limit. Arguments as of `cgroup_cores`."""
    found = []
    for folder in _folders(root, "memory", membership):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name)
            if text and text != "max" and int(text) < UNLIMITED:
                found.append(int(text))
    return min(found, default=None)


def _folders(root: Path, controller: str, membership: Path) -> list[Path]:
    """Those of this process' group and of the groups around it."""
    found = [root, root / controller]
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        inner = base / path.lstrip("/")
        found += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(base)]
    return list(dict.fromkeys(found))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
