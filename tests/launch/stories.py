"""Several commands, each on one rank or more, in one process that has imported everything once."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tests import forks, processes

PLAYER = "tests.launch.forked_ranks"
SMALL = [
    "model.hidden_size=32",
    "model.intermediate_size=64",
    "optimizer.lr=1e-3",
    "data.batch_tokens=1024",
    "trainer.log_every=5",
]
NO_DROPOUT = ["model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0"]


def command(words: Sequence[str], *, ranks: int = 1, script: str = "train.py", strategy: str = "ddp") -> dict[str, Any]:
    """One command of a story."""
    hardware = (
        []
        if ranks == 1
        else [f"hardware.devices={ranks}", f"hardware.strategy={strategy}", "hardware.collective_timeout=60"]
    )
    return {"script": script, "words": [*words, *hardware], "ranks": ranks}


def on_nodes(words: Sequence[str], *, nodes: int) -> dict[str, Any]:
    """One command on several nodes of one process."""
    hardware = [f"hardware.num_nodes={nodes}", "hardware.strategy=ddp", "hardware.collective_timeout=60"]
    return {"script": "train.py", "words": [*words, *hardware], "ranks": nodes, "nodes": True}


def watch(**options: Any) -> str:
    """The words for `Watch`."""
    return f"+callbacks.watch={{_target_: tests.launch.watch.Watch, {json.dumps(options)[1:-1]}}}".replace('"', "")


def play(
    folder: Path,
    *commands: dict[str, Any],
    statuses: Sequence[int],
    player: str = PLAYER,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a story in a folder, with what is added to the environment; every rank of a command must end so."""
    (folder / "story.json").write_text(json.dumps(commands), encoding="utf-8")
    if player == PLAYER:
        done = forks.run(player, "story.json", cwd=folder, env=env)
    else:
        environment = {**os.environ, **forks.SURROUNDINGS, **(env or {})}
        done = processes.run([sys.executable, "-m", player, "story.json"], cwd=folder, env=environment)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    expected = [[status] * command["ranks"] for status, command in zip(statuses, commands, strict=True)]
    said = "".join(f"--- {log.name}\n{log.read_text(encoding='utf-8')[-1500:]}" for log in sorted(folder.glob("*.log")))
    assert ended == expected, done.stderr + said


def checkpoint(folder: Path, step: int) -> dict[str, Any]:
    """The values of a checkpoint by their place in it, but for Lightning's counts of micro-batches and of the clock."""
    file = folder / f"checkpoints/step-{step:08d}.ckpt"
    content = torch.load(file, map_location="cpu", weights_only=True)
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "since_last_row", "PretrainingData")
    return dict(_flat({name: content[name] for name in kept if name in content}))


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(part, f"{place}/{name}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _flat(part, f"{place}/{number}")
    else:
        yield place, value


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest distance of two tensors of the same name, in shares of their norm; all else must be equal."""
    assert list(one) == list(other)
    largest = 0.0
    for name, value in one.items():
        if not isinstance(value, torch.Tensor):
            if not isinstance(value, float):
                assert value == other[name], name
            continue
        assert (type(value), value.dtype, value.shape) == (type(other[name]), other[name].dtype, other[name].shape)
        distance = (value.double() - other[name].double()).norm()
        largest = max(largest, float(distance / value.double().norm().clamp(min=1e-12)))
    return largest


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two are equal to the bit."""
    assert list(one) == list(other)
    return all(
        torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        for name, value in one.items()
    )
