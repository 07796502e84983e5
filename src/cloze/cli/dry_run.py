"""`--dry-run` of the two training commands."""

import sys
from collections.abc import Callable
from typing import TypeVar

from cloze.cli import command
from cloze.config.arguments import MULTIRUN
from cloze.config.nodes import Root
from cloze.runtime.shell import rank

FLAG = "--dry-run"
R = TypeVar("R", bound=Root)


def asked() -> bool:
    """Whether the command line has the flag, which is taken out of it: Hydra does not know it."""
    words = sys.argv[1:]
    sys.argv[1:] = [word for word in words if word != FLAG]
    return len(words) > len(sys.argv[1:])


def run(task: Callable[[R], None], *, name: str, schema: type[R]) -> int:
    """`command.run` of a task that writes nothing; a sweep is refused, since Hydra would make its folder."""
    if set(MULTIRUN) & set(sys.argv[1:]):
        sentence = f"{FLAG} tries one run and writes nothing: leave out -m, and give one value of each key"
        print(f"error: {sentence}", file=sys.stderr)
        return command.BAD_INPUT
    first = task if rank() == 0 else lambda _: None  # the others have nothing to do
    return command.run(first, name=name, schema=schema, interrupted="nothing was written")
