"""`cloze-demo`: a model in the browser."""

import sys
from dataclasses import dataclass
from typing import Any

from cloze.cli import command
from cloze.config.sections import Hardware, Node


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The root of `conf/demo.yaml`."""

    host: str
    port: int
    open: bool
    sentences: str | None
    top_k: int
    hardware: Hardware
    model: Node


def main() -> int:
    """Serve as the command line says, until Ctrl-C; returns the exit status."""
    return command.run(_serve, name="demo", schema=Demo, interrupted="the demo has ended")


def _serve(config: dict[str, Any]) -> None:
    from cloze.demo.server import serve  # late: this imports torch

    serve(config)


if __name__ == "__main__":
    sys.exit(main())
