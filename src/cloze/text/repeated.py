"""The search for what the training text repeats, and the choice of what is held out from it."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloze.files.remote import RemotePath, remove_folder
from cloze.text.duplicates import count_heldout, find_duplicates, heldout_below, heldout_hashes
from cloze.text.journal import Journal
from cloze.text.parts import read_hashes
from cloze.text.progress import ReportsProgress
from cloze.text.settings import PreparationSettings


def find_repeated(
    preparation: PreparationSettings,
    journal: Journal,
    parts: Sequence[Mapping[str, Any]],
    heldout: Sequence[str],
    progress: ReportsProgress,
) -> dict[str, Any]:
    """Finds repeated lines and documents, and which documents are held out: by hash, or being in other parts.

    Args:
        preparation: its settings.
        journal: of it; gets the record of this step, and the folder ``lines`` where these are to be removed.
        parts: records of the parts of the training text.
        heldout: files of the parts that are held out as a whole.
        progress: called at the beginning and after each search.

    Returns:
        For the report, and for the next step.
    """
    if (summary := journal.recorded("duplicates", heldout_below=int)) is not None:
        return summary
    work = journal.work
    paths = [work / part["file"] for part in parts]
    lines, documents = (sum(part[key] for part in parts) for key in ("lines", "documents"))
    for name in ("lines", "documents"):
        remove_folder(work / name)
    progress("finding duplicates", 0, 2)
    removed = preparation.duplicates == "remove"
    with journal.scratch() as scratch:
        found_lines = find_duplicates((read_hashes(path)[0] for path in paths), lines, scratch / "lines")
        progress("finding duplicates", 1, 2)
        found = find_duplicates((read_hashes(path)[2] for path in paths), documents, scratch / "documents")
        summary = {
            "removed": removed,
            "documents": found,
            "of_documents": documents,
            "lines": found_lines,
            "of_lines": lines,
            "heldout_below": heldout_below(preparation.fraction, paths, scratch / "lines" if removed else None),
            "heldout_too": count_heldout(paths, heldout_hashes(work, tuple(heldout))) if heldout else 0,
        }
        if isinstance(work, RemotePath) and removed:
            for file in sorted((scratch / "lines").iterdir()):
                (work / "lines" / file.name).write(file.read_bytes())
    journal.record("duplicates", summary)
    progress("finding duplicates", 2, 2)
    return summary
