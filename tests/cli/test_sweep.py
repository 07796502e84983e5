"""Jobs of a sweep side by side, by Hydra's submitit launcher, and one of them bad."""

import json
from pathlib import Path

import pytest

from tests.command import Command


@pytest.mark.slow
def test_jobs_of_another_launcher(train: Command, small_text: Path, tmp_path: Path) -> None:
    """They prepare one corpus: the first one does it, the others wait; what is wrong with one is told at the end."""
    words = [
        "-m", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5", "run=sweep",
        "corpus=text", f"corpus.files={small_text}", f"corpus.prepared={tmp_path / 'prepared'}",
        "tokenizer.vocab_size=120", "preparation.heldout_fraction=0.1", "preparation.workers=0",
        "trainer.max_steps=3", "trainer.validate_every=3", "objective.max_length=32",
        "model.max_position_embeddings=32,16",
    ]  # fmt: skip
    done = train(*words)
    assert done.returncode == 2, done.stderr
    assert "objective.max_length is 32, but the model has only 16 positions" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "runs/sweep/0/model/config.json").read_text())["max_position_embeddings"] == 32
    assert not (tmp_path / "runs/sweep/1/model").exists()
    logs = "".join(path.read_text() for path in (tmp_path / "runs/sweep/.submitit").glob("*/*.err"))
    assert "is preparing a corpus here; waiting for it" in logs or "encoding" in logs


@pytest.mark.slow
def test_a_bad_job_does_not_keep_the_others_from_running(
    train: Command, small_corpus: list[str], tmp_path: Path
) -> None:
    words = ["trainer.max_steps=3", "trainer.validate_every=3", "objective.max_length=32", "run=sweep"]
    done = train("-m", *small_corpus, *words, "model.max_position_embeddings=16,32")
    assert done.returncode == 2
    assert done.stderr.count("error: objective.max_length is 32, but the model has only 16 positions") == 1
    assert (tmp_path / "runs/sweep/1/model/config.json").exists()
