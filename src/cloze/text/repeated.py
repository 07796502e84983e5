"""The search for what the training text repeats, and the choice of what is held out from it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from cloze.files.remote import Location, RemotePath, remove_folder
from cloze.text.duplicates import count_heldout, find_duplicates, heldout_below, heldout_hashes
from cloze.text.journal import Journal
from cloze.text.near_duplicates.search import Comparing
from cloze.text.near_duplicates.verdicts import RunsTasks, find_near_duplicates
from cloze.text.near_duplicates.verdicts import kept as kept_by_verdict
from cloze.text.parts import read_hashes
from cloze.text.progress import ReportsProgress
from cloze.text.settings import PreparationSettings

Parts = Sequence[Mapping[str, Any]]
"""Records of parts: file, documents, lines, tokens."""


def find_repeated(
    preparation: PreparationSettings,
    journal: Journal,
    parts: Parts,
    heldout: Parts,
    progress: ReportsProgress,
    run: RunsTasks,
) -> dict[str, Any]:
    """Finds repeated lines and documents, and which documents are held out: by hash, or being in other parts.

    Near-duplicates are found first, so that no line is left out because it stands in a document that is dropped.

    Args:
        preparation: its settings.
        journal: of it; gets the records of the searches, and the folder ``lines`` where these are to be removed.
        parts: records of the parts of the training text.
        heldout: those that are held out as a whole.
        progress: called at the beginning and after each search.
        run: does tasks of the workers.

    Returns:
        For the report, and for the next step.
    """
    if (summary := journal.recorded("duplicates", heldout_below=int)) is not None:
        return summary
    work = journal.work
    paths = [work / part["file"] for part in parts]
    near, kept = None, list[np.ndarray | None]([None] * len(parts))
    if preparation.near_duplicates is not None and parts:
        order = [(part["file"], part["documents"]) for part in (*heldout, *parts)]
        common = Comparing(work=work, parts=order, threshold=preparation.near_duplicates)
        near = find_near_duplicates(common, journal, paths, heldout_below(preparation.fraction, paths), run)
        bounds = np.cumsum([0, *(documents for _, documents in order)])[len(heldout) :]
        kept = [kept_by_verdict(work, first, end) for first, end in pairwise(bounds)]
    lines, documents = (sum(part[key] for part in parts) for key in ("lines", "documents"))
    for name in ("lines", "documents"):
        remove_folder(work / name)
    progress("finding duplicates", 0, 2)
    removed = preparation.duplicates == "remove"
    with journal.scratch() as scratch:
        in_kept = (
            None if of_part is None else _lines_of(path, of_part) for path, of_part in zip(paths, kept, strict=True)
        )
        of_lines = (read_hashes(path)[0] for path in paths)
        found_lines = find_duplicates(of_lines, lines, scratch / "lines", chosen=in_kept)
        progress("finding duplicates", 1, 2)
        found = find_duplicates((read_hashes(path)[2] for path in paths), documents, scratch / "documents")
        files = tuple(part["file"] for part in heldout)
        duplicated = scratch / "lines" if removed else None
        summary = {
            "removed": removed,
            "documents": found,
            "of_documents": documents,
            "lines": found_lines,
            "of_lines": lines,
            "heldout_below": heldout_below(preparation.fraction, paths, duplicated, kept),
            "heldout_too": count_heldout(paths, heldout_hashes(work, files)) if heldout else 0,
            "near": near,
        }
        if isinstance(work, RemotePath) and removed:
            for file in sorted((scratch / "lines").iterdir()):
                (work / "lines" / file.name).write(file.read_bytes())
    journal.record("duplicates", summary)
    progress("finding duplicates", 2, 2)
    return summary


def _lines_of(path: Location, documents: np.ndarray) -> np.ndarray:
    """(l,) bool: the lines of a part that are in the chosen ones of its documents."""
    return np.repeat(documents, np.diff(read_hashes(path)[1]))
