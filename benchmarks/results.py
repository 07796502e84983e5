"""The rows of several benchmarks as one page of tables.

    python -m benchmarks.results FILE.json ... > benchmarks/RESULTS.md

Prose lies in ``benchmarks/notes/NAME.md``, NAME being a JSON file's for what belongs to its table.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FIXED = ("what", "ours", "peer", "ratio", "unit", "peer_name", "machine", "versions", "date")
NOTES = Path(__file__).parent / "notes"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One Markdown table: what was measured, ours, the peer's, the ratio, then whatever else the rows hold."""
    others = list(dict.fromkeys(key for row in rows for key in row if key not in FIXED))
    head = ["measured", "ours", "peer", "ratio", "unit", "peer is", *(other.replace("_", " ") for other in others)]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row["what"], *(number(row[key]) for key in ("ours", "peer", "ratio")), row["unit"], row["peer_name"]]
        lines.append(cells + [number(row.get(other, "")) for other in others])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def title(path: Path) -> str:
    """train_step.json -> Train step."""
    return path.stem.replace("_", " ").capitalize()


def number(value: object) -> str:
    """A figure with the digits that mean something."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    print(
        "# Measurements\n\nEach table is one run of one command, alone on the machine unless its note says otherwise; "
        "`make bench` runs them again."
    )
    files = parser.parse_args().files
    for path in files:
        rows = json.loads(path.read_text(encoding="utf-8"))
        print(f"\n## {title(path)}\n")
        print(
            f"`python -m benchmarks.{path.stem} --json FILE` on {rows[0]['machine']}, {rows[0]['versions']}, ", end=""
        )
        print(f"{rows[0]['date']}.\n\n{table(rows)}")
        if (note := NOTES / path.with_suffix(".md").name).exists():
            print("\n" + note.read_text(encoding="utf-8").strip())
    for note in sorted(NOTES.glob("*.md")):
        if note.stem not in {path.stem for path in files}:
            print(f"\n## {title(note)}\n\n{note.read_text(encoding='utf-8').strip()}")


if __name__ == "__main__":
    main()
