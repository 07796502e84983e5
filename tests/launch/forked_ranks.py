"""Runs commands one after the other, each on some ranks, as torchrun would start them.

    python -m tests.launch.forked_ranks STORY

A story is a JSON list of commands: `script`, `words`, `ranks`, `nodes`, whether each rank is a node of its own, and
`env`, variables of its environment.
Everything is imported once; each rank is a fork, which begins within a second. What a command says goes to
`COMMAND.RANK.log`; the exit statuses of its ranks are printed, a line a command.
"""

import json
import os
import sys
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

import cloze.launch.finetuning
import cloze.launch.pretraining  # noqa: F401 - so that a fork begins at once
from tests.launch.forked import end, start
from tests.processes import free_port


def environment(rank: int, ranks: int, port: int, *, nodes: bool) -> dict[str, str]:
    """What torchrun tells a rank, or its user a node; nothing where there is only one."""
    if ranks == 1:
        return {}
    if nodes:
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank)}
    return {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "GROUP_RANK": "0",
    }


def run(
    number: int,
    script: str,
    words: list[str],
    ranks: int = 1,
    nodes: bool = False,
    env: dict[str, str] | None = None,
) -> list[int]:
    """The exit statuses of all ranks; minus the number of a signal that ended one."""
    port, children = free_port(), []
    for rank in range(ranks):
        added = environment(rank, ranks, port, nodes=nodes) | (env or {})
        os.environ.update(added)
        # Lightning has read the environment when it was imported.
        rank_zero_only.rank = 0 if nodes else rank  # type: ignore[attr-defined]
        streams = [os.dup(descriptor) for descriptor in (1, 2)]
        log = os.open(f"{number}.{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        sys.stdout.flush()
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        children.append(start(script, words))
        for descriptor, stream in zip((1, 2), streams, strict=True):
            os.dup2(stream, descriptor)
            os.close(stream)
        os.close(log)
        for name in added:
            del os.environ[name]
    return [end(child) for child in children]


def main(story: Path) -> None:
    """Run them all, whatever their status."""
    for number, command in enumerate(json.loads(story.read_text(encoding="utf-8"))):
        print(json.dumps(run(number, **command)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
