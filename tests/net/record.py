"""Write the expected values anew, from the code as it is.

    python -m tests.net.record configurations    when a key, an option or a default was changed on purpose
    python -m tests.net.record losses            when what is learned was changed on purpose, or for another processor

A refactoring changes neither. After a key was renamed, the difference in `expected/` is that name alone; look
through it before you commit it. New losses are another model: that needs a reason in the commit message.
"""

import json
import sys
import tempfile
from pathlib import Path

from cloze.cli.roots import SCHEMAS
from tests import forks
from tests.net import configurations, losses


def record_configurations() -> None:
    """A file for each root."""
    for root in SCHEMAS:
        file = configurations.EXPECTED / f"{root}.yaml"
        file.write_text(configurations.text_of(root), encoding="utf-8")


def record_losses() -> None:
    """All runs, and the machine."""
    with tempfile.TemporaryDirectory() as name:
        losses.prepare(Path(name))
        found = {run: losses.losses_of(run, Path(name)) for run in losses.RUNS}
    forks.close()
    lines = [
        f"{json.dumps(name)}: {json.dumps(value)}" for name, value in [("machine", losses.machine()), *found.items()]
    ]
    losses.EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    for word in sys.argv[1:]:
        {"configurations": record_configurations, "losses": record_losses}[word]()
