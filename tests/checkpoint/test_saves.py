"""Checkpoints on disk: whole, checked, few."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloze.checkpoint.saves import INDEX, CheckpointStore
from cloze.errors import InputError


def state(step: int) -> dict[str, Any]:
    return {"global_step": step, "weights": torch.full((64,), float(step))}


def load(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def told(saves: CheckpointStore) -> tuple[Path | None, list[str]]:
    sentences: list[str] = []
    return saves.newest_good(sentences.append), sentences


class TestSaves:
    def test_the_last_ones_and_the_best_stay(self, tmp_path: Path) -> None:
        saves = CheckpointStore(tmp_path / "checkpoints", keep_last=2)
        assert told(saves) == (None, [])
        for step, loss in [(1, 5.0), (2, 3.0), (3, 4.0), (4, 4.5)]:
            saves.write(state(step), step)
            saves.score(step, loss)
        assert [save.step for save in saves.complete()] == [2, 3, 4]
        assert names(saves.folder) == {INDEX, "step-00000002.ckpt", "step-00000003.ckpt", "step-00000004.ckpt"}
        assert saves.best_good(print) == saves.folder / "step-00000002.ckpt"
        newest, _ = told(saves)
        assert newest is not None
        assert load(newest)["weights"].tolist() == [4.0] * 64

    def test_of_equal_scores_the_first_is_best(self, tmp_path: Path) -> None:
        saves = CheckpointStore(tmp_path, higher_is_better=True)
        for step, f1 in [(1, 0.4), (2, 0.5), (3, 0.5)]:
            saves.write(state(step), step)
            saves.score(step, f1)
        assert saves.best_good(print) == tmp_path / "step-00000002.ckpt"

    def test_a_step_may_be_saved_again(self, tmp_path: Path) -> None:
        saves = CheckpointStore(tmp_path)
        saves.write(state(1), 1)
        saves.write({**state(1), "more": 1}, 1)
        assert [save.step for save in saves.complete()] == [1]
        assert told(saves) == (tmp_path / "step-00000001.ckpt", [])

    def test_what_a_killed_process_left_is_removed(self, tmp_path: Path) -> None:
        (tmp_path / ".step-00000003.ckpt.999").write_bytes(b"half")
        (tmp_path / "step-00000003.ckpt").write_bytes(b"renamed, but in no index")
        (tmp_path / "notes.txt").write_text("mine")
        saves = CheckpointStore(tmp_path)
        assert told(saves) == (None, [])
        saves.write(state(2), 2)
        assert names(tmp_path) == {INDEX, "step-00000002.ckpt", "notes.txt"}

    @given(data=st.data())
    def test_a_damaged_one_is_named_and_the_one_before_it_used(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder = tmp_path_factory.mktemp("saves")
        saves = CheckpointStore(folder)
        first, second = saves.write(state(1), 1), saves.write(state(2), 2)
        content = bytearray(second.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            del content[place:]
        second.write_bytes(content)
        newest, sentences = told(saves)
        assert newest == first
        assert len(sentences) == 1
        assert str(second) in sentences[0]
        first.unlink()
        with pytest.raises(InputError, match="and none before it is whole"):
            told(saves)

    def test_a_damaged_index_is_named(self, tmp_path: Path) -> None:
        saves = CheckpointStore(tmp_path)
        saves.write(state(1), 1)
        (tmp_path / INDEX).write_text(json.dumps([{"step": 1}]))
        with pytest.raises(InputError, match=r"index\.json is damaged"):
            told(saves)

    def test_without_room_the_last_one_stays(self, tmp_path: Path) -> None:
        saves = CheckpointStore(tmp_path)
        good = saves.write(state(1), 1)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # a write beyond fails as on a full disk
        try:
            with pytest.raises(InputError, match=rf"cannot be written .*{good.name}"):
                saves.write(state(2), 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert names(tmp_path) == {INDEX, good.name}
        assert told(saves) == (good, [])
