"""The table of families names every family, and tests that exist and run with each."""

import re

from tests.conftest import REPOSITORY
from tests.model.families import FAMILIES

CELL = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")


def test_every_cell_leads_to_a_test_of_its_family() -> None:
    lines = (REPOSITORY / "docs" / "families.md").read_text(encoding="utf-8").splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert sorted(head[1:]) == sorted(record.title for record in FAMILIES.values())
    assert rows
    for _, *cells in rows:
        assert len(cells) == len(head) - 1
        for title, cell in zip(head[1:], cells, strict=True):
            match = CELL.fullmatch(cell)
            assert match is not None, cell
            source = (REPOSITORY / match[2]).read_text(encoding="utf-8")
            assert f"def {match[1]}(" in source, cell
            # Over all records of the registry, or by the name of the one.
            assert "import FAMILIES" in source or title in source, cell
