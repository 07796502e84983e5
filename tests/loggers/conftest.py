"""The runs whose dashboards are read back."""

import signal
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.launch.conftest import small_table
from tests.launch.stories import command, play

__all__ = ["small_table"]

SECRET = "hunter2-and-more"
NOTE = "+hydra.callbacks.note={_target_: tests.loggers.note.Note, file: returned.jsonl}"
TRIED = {"optimizer.lr": 0.002, "objective.mask_rate": 0.3}
SWEEP = yaml.safe_load((REPOSITORY / "docs" / "sweeps" / "wandb.yaml").read_text(encoding="utf-8"))


def words_of_agent() -> list[str]:
    """What `wandb agent` starts for `TRIED`, through its own functions, without the interpreter and the program."""
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    parts = utils.create_sweep_command_args({"args": {name: {"value": value} for name, value in TRIED.items()}})
    words: list[str] = []
    for part in utils.create_sweep_command(list(SWEEP["command"])):
        macro = part.startswith("${") and part.endswith("}")  # as wandb_agent.py tells them
        words += (parts | {"env": [], "interpreter": [], "program": []})[part[2:-1]] if macro else [part]
    return words


@pytest.fixture(scope="session")
def runs(small_corpus: list[str], small_table: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all loggers, killed after step 13 and gone on from step 10; a fine-tuned one; sweeps; two ranks."""
    folder = tmp_path_factory.mktemp("dashboards")
    loggers = "logger=[csv,wandb,tensorboard,mlflow]"
    words = [
        *small_corpus, loggers, "run=told", "trainer.max_steps=20", "trainer.log_every=5", "trainer.validate_every=10",
        "data.batch_tokens=1024", "logger.wandb.tags=[a,b]", "logger.wandb.notes=why", "logger.wandb.project=mine",
        "callbacks.attention.heads=[[0,1],[1,0]]", "checkpoint.asynchronous=false",
        f"+callbacks.mark={{_target_: tests.bad_input.mark.Mark, api_key: {SECRET}}}",
    ]  # fmt: skip
    kill = "+callbacks.kill={_target_: tests.loggers.kill.Kill, after: 13}"
    short = ["trainer.max_steps=2", "trainer.log_every=1", "trainer.validate_every=2", "data.batch_tokens=1024"]
    grid = ["-m", *small_corpus, *short, "logger=wandb", "run=grid", "optimizer.lr=1e-3,2e-3", NOTE]
    # The corpus of the tests in the place of the experiment's; the agent gives each of its runs an id.
    agent = [*(word for word in words_of_agent() if not word.startswith("experiment=")), *small_corpus, *short]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.setenv("NETRC", str(folder / "none"))
        play(
            folder,
            command([*words, kill]),
            command(words),
            command([*small_table, "logger=[wandb,tensorboard]", "run=stars"], script="finetune.py"),
            command(grid),
            {**command(agent), "env": {"WANDB_RUN_ID": "agent123"}},
            command([*small_corpus, *short, "run=two", "logger=[wandb,tensorboard]"], ranks=2),
            statuses=[-signal.SIGKILL, 0, 0, 0, 0, 0],
            player="tests.loggers.forked_ranks",
        )
    return folder / "runs"
