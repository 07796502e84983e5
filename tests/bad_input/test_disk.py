"""A disk that is full, or cannot be written, while a run writes: one sentence, and nothing that was good is lost."""

from pathlib import Path

import pytest

from cloze.checkpoint.saves import CheckpointStore
from tests.bad_input.session import Session
from tests.bad_input.world import CORPUS, TINY

WORDS = [*CORPUS, *TINY, "callbacks.fail._target_=tests.bad_input.fail.Fail"]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["metrics", "samples", "model"])
def test_refused_in_the_middle_and_gone_on_from(session: Session, when: str) -> None:
    words = [*WORDS, f"run=disk-{when}", "checkpoint.every_steps=1"]
    folder = session.folder / "runs" / f"disk-{when}"
    first = session.run("train.py", *words, f"callbacks.fail.when={when}", f"callbacks.fail.folder={folder}")
    *_, last = first["error"].strip().split("\n")
    assert first["status"] == 2, first["error"]
    assert "Traceback" not in first["error"]
    assert last.startswith(f"error: {folder.relative_to(session.folder)}"), last
    newest = CheckpointStore(folder / "checkpoints").newest_good(print)
    assert newest is not None
    assert f"the last good checkpoint is runs/disk-{when}/checkpoints/{newest.name}" in last
    assert not (folder / "model").exists()
    again = session.run("train.py", *words)
    assert again["status"] == 0, again["error"]
    assert (folder / "model" / "model.safetensors").is_file()
    assert rows(folder) == rows(session.folder / "runs" / "done")
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]


@pytest.mark.slow
def test_a_disk_that_is_too_small(session: Session) -> None:
    if not session.mounted:
        pytest.skip("this system lets no test mount a disk")
    answer = session.run(
        "train.py", *CORPUS, *TINY, "folder=small/run", "checkpoint.every_steps=1", "model.hidden_size=32"
    )
    assert answer["status"] == 2, answer["error"]
    *_, last = answer["error"].strip().split("\n")
    assert "No space left on device" in last
    assert "the last good checkpoint is small/run/checkpoints/step-0000000" in last


def rows(folder: Path) -> list[str]:
    """The metrics without the speed."""
    lines = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    columns = lines[0].split(",")
    kept = [number for number, name in enumerate(columns) if not name.startswith("speed/")]
    return [",".join(line.split(",")[number] for number in kept) for line in lines]
