"""What every figure is shown with: the machine, the versions, the date."""

import datetime as dt
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe_machine() -> dict[str, str]:
    """Columns that make a figure worth quoting."""
    cpu = platform.processor() or "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        facts = dict(re.findall(r"^(model name|cpu family|model)\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE))
        if "model name" in facts:  # "AMD EPYC" alone says little: Zen 3 is family 25, model 1, Zen 4 model 17
            cpu = f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
    allowed, cores = len(os.sched_getaffinity(0)), os.cpu_count()
    return {
        "machine": f"{cpu}, {cores if allowed == cores else f'{allowed} of {cores}'} cores",
        "versions": f"Python {platform.python_version()}, torch {version('torch')}",
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def print_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """One line a row: what was measured, ours, the peer's, the ratio, and what else the row holds."""
    for row in rows:
        others = {k: v for k, v in row.items() if k not in {"what", "unit", "ours", "peer", "peer_name", "ratio"}}
        details = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in others.items())
        print(
            f"{row['what']}: ours {row['ours']:,.0f}, {row['peer_name']} {row['peer']:,.0f} {row['unit']}, "
            f"ratio {row['ratio']:.2f} ({details})",
            flush=True,
        )


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """The rows as JSON, each with the machine, the versions and the date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    path.write_text(json.dumps([{**row, **machine} for row in rows], indent=2) + "\n", encoding="utf-8")
