"""Records of unfinished output: what is damaged is named, and what is of something else is refused."""

from collections import Counter
from pathlib import Path

import pytest

from cloze.errors import InputError
from cloze.files.partial_output import HeldError, PartialOutput

COUNTS = '{"rows": 3, "left_out": {"odd": 1}}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expecting value"),
        (COUNTS[:-3], "Expecting"),
        ("[]", "no JSON object"),
        ("{}", "'rows' is missing"),
        (COUNTS.replace("3", '"3"'), "'rows' is missing or of another type"),
        (COUNTS.replace("1", "null"), "'left_out' is missing or of another type"),
        ("\udcff", "can't decode"),
    ],
)
def test_a_damaged_record_is_one_sentence(content: str, reason: str, tmp_path: Path) -> None:
    partial = PartialOutput(tmp_path / "out", tmp_path)
    assert partial.recorded("part") is None
    (tmp_path / "part.json").write_text(COUNTS)
    assert partial.recorded("part", rows=int, left_out=Counter) == {"rows": 3, "left_out": {"odd": 1}}
    (tmp_path / "part.json").write_text(content, errors="surrogateescape")
    message = f"part.json is damaged .*{reason}.*; delete {tmp_path}, and the same command starts from scratch$"
    with pytest.raises(InputError, match=message):
        partial.recorded("part", rows=int, left_out=Counter)


def test_it_is_of_one_thing_and_of_one_process(tmp_path: Path) -> None:
    partial, other = (PartialOutput(tmp_path / "out", tmp_path / "work") for _ in range(2))
    with partial.locked():
        (tmp_path / "work" / ".part.json.123").touch()
        held = pytest.raises(HeldError, match=r"out: process \d+ on .* is writing it; wait for it, or choose another")
        with held, other.locked():
            pass
    with other.locked():
        assert not list((tmp_path / "work").glob(".part*"))
    assert partial.begin({"layers": (1, 2), "model": None}) is False
    assert other.begin({"layers": [1, 2]}) is True
    with pytest.raises(InputError, match=r"something else \(layers: was \[1, 2\], is \[3\]\); undo that change, or"):
        other.begin({"layers": [3]})
