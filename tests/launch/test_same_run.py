"""One run, however it is cut and however often it is stopped."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests import forks
from tests.conftest import REPOSITORY
from tests.launch.stories import NO_DROPOUT, SMALL, apart, checkpoint, command, on_nodes, play, same, watch
from tests.launch.test_killed import learned

CUTS = (1, 2, 4)
STOPPED = 143


def assert_equal_gradients(folder: Path) -> None:
    """Those of one process with four micro-batches a step, two with two, and four with one."""
    found = [torch.load(folder / f"gradients-{ranks}") for ranks in CUTS]
    for ranks, steps in zip(CUTS, found, strict=True):
        assert [ranks * accumulation for accumulation, _ in steps] == [4, 4]
    for one, other in pairwise(found):
        (_, first), (_, second) = one[0], other[0]  # of the very same weights
        assert apart(first, second) < 1e-6


@pytest.mark.slow
def test_gradients_are_those_of_the_global_batch(
    small_corpus: list[str], small_table: list[str], tmp_path: Path
) -> None:
    words = [*small_corpus, *SMALL, *NO_DROPOUT, "trainer.max_steps=2", "hardware.micro_batch_tokens=256"]
    (tmp_path / "pretraining").mkdir()
    play(
        tmp_path / "pretraining",
        *(command([*words, f"run=r{n}", watch(gradients=f"gradients-{n}")], ranks=n) for n in CUTS),
        statuses=[0, 0, 0],
    )
    assert_equal_gradients(tmp_path / "pretraining")
    words = [*small_table, "trainer.max_steps=2", "hardware.micro_batch_tokens=137"]
    (tmp_path / "finetuning").mkdir()
    play(
        tmp_path / "finetuning",
        *(
            command([*words, f"run=r{n}", watch(gradients=f"gradients-{n}")], ranks=n, script="finetune.py")
            for n in CUTS
        ),
        statuses=[0, 0, 0],
    )
    assert_equal_gradients(tmp_path / "finetuning")


@pytest.mark.slow
def test_stopped_anywhere_with_any_workers_it_is_the_same_to_the_bit(small_corpus: list[str], tmp_path: Path) -> None:
    """Stopped in the middle of accumulations and of an epoch, and gone on with another number of workers."""
    words = [
        *small_corpus,
        *SMALL,
        "trainer.max_steps=24",
        "trainer.validate_every=8",
        "hardware.micro_batch_tokens=256",
    ]
    numbers = random.Random(5)
    stops = sorted(numbers.sample(range(1, 22), 3))
    parts = [
        command(
            [
                *words,
                "run=parts",
                f"hardware.workers={2 * (number % 2)}",
                watch(order="order-parts", told=[step, numbers.randrange(4)]),
            ]
        )
        for number, step in enumerate(stops)
    ]
    play(
        tmp_path,
        command([*words, "run=whole", watch(order="order-whole")]),
        *parts,
        command([*words, "run=parts", "hardware.workers=2", watch(order="order-parts")]),
        statuses=[0, STOPPED, STOPPED, STOPPED, 0],
    )
    runs = tmp_path / "runs"
    assert same(checkpoint(runs / "whole", 24), checkpoint(runs / "parts", 24))
    assert learned(runs / "whole") == learned(runs / "parts")
    assert (tmp_path / "order-whole.0").read_text() == (tmp_path / "order-parts.0").read_text()


@pytest.mark.long
def test_two_nodes_of_one_process_are_as_one_node_of_two(small_corpus: list[str], tmp_path: Path) -> None:
    words = [
        *small_corpus,
        *SMALL,
        "trainer.max_steps=10",
        "trainer.validate_every=5",
        "hardware.micro_batch_tokens=512",
    ]
    play(
        tmp_path,
        command([*words, "run=one"], ranks=2),
        on_nodes([*words, "run=two", watch(told=[4, 0], rank=1)], nodes=2),
        on_nodes([*words, "run=two"], nodes=2),
        command([*words, "run=lost", "hardware.num_nodes=2", "hardware.strategy=ddp"]),
        statuses=[0, STOPPED, 0, 2],
    )
    runs = tmp_path / "runs"
    assert same(checkpoint(runs / "one", 10), checkpoint(runs / "two", 10))
    said = (tmp_path / "3.0.log").read_text()
    assert said.startswith(
        "error: hardware.num_nodes is 2, but the environment lacks MASTER_ADDR, MASTER_PORT, NODE_RANK"
    )
    assert not (runs / "lost").exists()


@pytest.mark.slow
def test_a_sweep_of_two_ranks_a_job(small_corpus: list[str], tmp_path: Path) -> None:
    words = [*small_corpus, *SMALL, "trainer.max_steps=4", "trainer.validate_every=4", "run=sweep", "seed=1,2"]
    ranks = ["hardware.devices=2", "hardware.strategy=ddp", "hardware.collective_timeout=60"]
    done = forks.run(str(REPOSITORY / "train.py"), "-m", *words, *ranks, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ends = [checkpoint(tmp_path / f"runs/sweep/{job}", 4) for job in (0, 1)]
    assert not same(*ends)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["sweep"]
