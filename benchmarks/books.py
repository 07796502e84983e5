"""The classic books as files: text that preparation is measured on."""

import os
import tarfile
from pathlib import Path

DATA = Path(os.environ.get("CLOZE_DATA", "../shared/data"))
BOOKS = DATA / "corpus/classic_books.tar.xz"


def extract_books(folder: Path, megabytes: float) -> list[Path]:
    """The first books, written into a folder, until they have this many megabytes."""
    written: list[Path] = []
    size = 0.0
    with tarfile.open(BOOKS) as archive:
        for member in archive:
            if size >= megabytes:
                break
            if member.isfile() and member.name.endswith(".md"):
                archive.extract(member, folder, filter="data")
                written.append(folder / member.name)
                size += member.size / 1e6
    return written
