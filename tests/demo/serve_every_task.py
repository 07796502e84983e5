"""Serves a page for each kind of task, all in one process: PORT FOLDER..., each at the path of its run's name."""

import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from cloze.checkpoint.pretrained import read_pretrained
from cloze.demo.page import build
from cloze.demo.reader import Reader
from cloze.demo.server import application
from cloze.inference.predictor import Inference


def page(folder: Path) -> Callable[[], None]:
    """What draws the page of a folder."""
    reader = Reader(read_pretrained(folder), Inference(), top_k=3)
    return lambda: build(reader)


def main() -> None:
    folders = [Path(word) for word in sys.argv[2:]]
    pages = {f"/{folder.parent.name}": page(folder) for folder in folders}
    app = application(pages, lambda: print("ready", flush=True), is_private=True)
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
