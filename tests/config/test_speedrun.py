"""The speedrun: its tracks and candidates compose, and its figures are what its page says."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from benchmarks.speedrun.__main__ import glue_row, kept, row
from benchmarks.speedrun.bench import Run
from benchmarks.speedrun.candidates import CANDIDATES
from benchmarks.speedrun.fine_tuning import cut
from benchmarks.speedrun.tracks import DRY, TRACKS, Overrides
from cloze.config.arguments import conf_folder
from cloze.config.schema import Pretraining
from cloze.config.validation import check

LAPTOP = {"experiment": "budget", "optimizer.lr": "2e-3"}


def test_the_candidates_are_overrides_of_train() -> None:
    """As many in one configuration as do not name the same key: composing is slow."""
    together: list[dict[str, str]] = []
    for candidate in CANDIDATES.values():
        room = next((some for some in together if not some.keys() & candidate.overrides.keys()), None)
        if room is None:
            together.append(dict(candidate.overrides))
        else:
            room.update(candidate.overrides)
    assert len(together) < len(CANDIDATES)
    for some in together:
        check(composed({**LAPTOP, **some}), Pretraining)


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("more", [{}, DRY], ids=["whole", "dry"])
def test_the_recipe_of_a_track_is_one_of_train(track: str, more: Overrides) -> None:
    check(composed({**TRACKS[track].hardware, **TRACKS[track].recipe, **more}), Pretraining)


def test_the_first_rows_of_a_table_are_a_table(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_bytes(b"text\tlabel\r\na\t0\r\nb\t1\r\nc\t1\r\n")
    assert cut(file, None, tmp_path) == file
    assert cut(file, 2, tmp_path).read_bytes() == b"text\tlabel\r\na\t0\r\nb\t1\r\n"


def composed(overrides: Overrides) -> dict[str, Any]:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        words = [f"{'++' if '.' in key else ''}{key}={value}" for key, value in overrides.items()]
        ends = ["++trainer.max_time=null", "trainer.max_steps=9"]
        config = compose("train", [*words, "corpus=text", "++corpus.files=x", "++run=x", *ends])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def run(name: str, books: list[float | None], steps: tuple[int, int, int]) -> Run:
    thirds = [{"tokens": 10 * step, "steps": step, "seconds": 6.0 * step} for step in steps]
    circumstances = {"machine": "m", "versions": "v", "date": "d", "threads": 2, "processor_time": False, "minutes": 30}
    key = {"side": "ours", "name": name, "overrides": {"a": "1", "steps": "30"}}
    return {**key, **circumstances, "thirds": thirds, "books": books, "losses": books, "bits": 2.0}


def test_a_row_stands_next_to_the_other_run_and_one_of_another_vocabulary_by_its_bits_alone() -> None:
    whole, other = run("a", [7.0, 6.0, 5.0], (10, 20, 30)), run("b", [7.0, 6.5, 5.5], (10, 20, 30))
    line = row(whole, other, "the other")
    assert (line["ours"], line["peer"], line["ratio"]) == (5.0, 5.5, math.exp(0.5))
    assert (line["at 10 minutes"], line["at 20 minutes"], line["at 30 minutes"]) == (7.0, 6.0, 5.0)
    assert (line["minutes taken"], line["overrides"], line["clock"]) == (3.0, "a=1", "wall")
    short = row(run("a", [None] * 3, (30, 30, 30)), other, "the other")
    assert (short["ours"], short["peer"], short["ratio"], short["bits a character"]) == ("", "", "", "2.000")
    assert not [key for key in short if key.startswith("at ")]


def test_the_score_of_a_track_is_the_mean_of_its_tasks() -> None:
    line = row(run("a", [7.0, 6.0, 5.0], (10, 20, 30)), None, "")
    scored = glue_row(line, {"cola": [10.0, 30.0], "sst2": [80.0, 80.0]}, {"cola": [0.0], "sst2": [50.0]})
    assert (scored["ours"], scored["peer"], scored["ratio"], scored["cola"]) == (50.0, 25.0, 2.0, 20.0)


def test_rows_of_other_runs_stay_in_the_file(tmp_path: Path) -> None:
    file, lines = tmp_path / "rows.json", [{"what": what, "overrides": "", "machine": "m"} for what in "ab"]
    assert kept(file, lines) == lines
    file.write_text(json.dumps(lines))
    again = {**lines[0], "ours": 1}
    assert kept(file, [again]) == [lines[1], again]
