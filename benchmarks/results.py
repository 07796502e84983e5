"""The rows of the benchmarks as tables, and the page of all that has been measured.

    python -m benchmarks.results FILE.json ...           prints their tables
    python -m benchmarks.results --keep FILE.json ...    takes them into benchmarks/measured/ and writes RESULTS.md anew

Prose lies in ``benchmarks/notes/NAME.md``, NAME being a JSON file's for what belongs to its table. ``NAME.FAMILY.json``
is what NAME measured of a family of encoders, or, where the rows hold their command, what that measured.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FIXED = ("what", "ours", "peer", "ratio", "unit", "peer_name")
CIRCUMSTANCES = ("command", "machine", "versions", "date")
"""In the line above the table where all rows share them, else columns."""
HERE = Path(__file__).parent
MEASURED, NOTES, PAGE = HERE / "measured", HERE / "notes", HERE / "RESULTS.md"
HEAD = """\
# Measurements

Each table is one run of one command, alone on the machine unless its note says otherwise; `make bench` runs the
short ones again. The rows lie in `benchmarks/measured/`, the prose in `benchmarks/notes/`.
"""


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One Markdown table: what was measured, ours, the peer's, the ratio, then whatever else the rows hold."""
    others = list(dict.fromkeys(key for row in rows for key in row if key not in FIXED and key not in shared(rows)))
    head = ["measured", "ours", "peer", "ratio", "unit", "peer is", *(other.replace("_", " ") for other in others)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row["what"], *(number(row[key]) for key in ("ours", "peer", "ratio")), row["unit"], row["peer_name"]]
        lines.append(cells + [number(row.get(other, "")) for other in others])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shared(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The circumstances that are the same for all rows."""
    return {
        key: rows[0][key] for key in CIRCUMSTANCES if key in rows[0] and all(row[key] == rows[0][key] for row in rows)
    }


def title(path: Path) -> str:
    """train_step.json -> Train step; train_step.modernbert.json -> Train step, modernbert."""
    return path.stem.replace("_", " ").replace(".", ", ").capitalize()


def number(value: object) -> str:
    """A figure with the digits that mean something."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def section(file: Path) -> str:
    """Title, command, machine, table and note of one file of rows."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    name, _, family = file.stem.partition(".")
    circumstances = shared(rows)
    usual = f"python -m benchmarks.{name} {f'--family {family} ' if family else ''}--json FILE"
    command = circumstances.pop("command", usual)
    parts = [f"`{command}` on {', '.join(circumstances.values())}.", table(rows)]
    return "\n\n".join([f"## {title(file)}", *parts, *note(file.stem)])


def note(name: str) -> list[str]:
    """The prose of that name, if there is any."""
    file = NOTES / f"{name}.md"
    return [file.read_text(encoding="utf-8").strip()] if file.exists() else []


def page() -> str:
    """All that has been measured: what has a table, then what has only prose, each by name."""
    files = sorted(MEASURED.glob("*.json"))
    alone = sorted({file.stem for file in NOTES.glob("*.md")} - {file.stem for file in files})
    prose = ["\n\n".join([f"## {title(Path(name))}", *note(name)]) for name in alone]
    return "\n".join([HEAD, *(f"{part}\n" for part in [*map(section, files), *prose])])


def main() -> None:
    """Print the tables, or keep the rows and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    if not given.keep:
        print("\n\n".join(map(section, given.files)))
        return
    for file in given.files:
        shutil.copy(file, MEASURED / file.name)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
