"""The search for near-duplicates as a step of a preparation, and what it decided on each document."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from cloze.errors import InputError
from cloze.files.remote import Location
from cloze.text.journal import Journal
from cloze.text.near_duplicates.search import (
    FOLDER,
    HELDOUT,
    KEPT,
    Comparing,
    band_file,
    read_array,
    search_band,
    write_array,
)
from cloze.text.near_duplicates.signatures import banding
from cloze.text.parts import read_hashes

RunsTasks = Callable[[str, Callable[[int], None], list[int]], object]
"""Runs a step's function on its tasks, wherever the work is done."""


def find_near_duplicates(
    common: Comparing, journal: Journal, training: Sequence[Location], heldout_below: int, run: RunsTasks
) -> dict[str, Any]:
    """Decides which documents are dropped.

    Args:
        common: all parts, those first that are held out as a whole, and the threshold.
        journal: of the preparation; gets the record of this step.
        training: paths of the other parts.
        heldout_below: the bound of the hashes of held-out documents among these.
        run: does the tasks.

    Returns:
        The `threshold`, the `documents` of the training text and of a share held out that are dropped, and of them
        those that are near-duplicates of a held-out document (`of_heldout`).

    Raises:
        InputError: no document is left to train on.
    """
    if (summary := journal.recorded("near", documents=int, of_heldout=int)) is not None:
        return summary
    counts = [documents for _, documents in common.parts]
    whole = sum(counts[: len(counts) - len(training)])
    masks = [read_hashes(path)[2] < np.uint64(heldout_below) for path in training]
    write_array(common.work / FOLDER / "heldout.npy", np.concatenate([np.ones(whole, np.bool_), *masks]))
    bands = list(range(banding(common.threshold).bands))
    run(
        "comparing documents",
        partial(search_band, common),
        [each for each in bands if not band_file(common.work, each).exists()],
    )
    verdicts = np.full(sum(counts), KEPT, np.uint8)
    for band in bands:
        found = read_array(band_file(common.work, band))
        np.maximum.at(verdicts, found[:, 0].astype(np.int64), found[:, 1].astype(np.uint8))
    verdicts[:whole] = KEPT  # the user's choice of held-out text is not altered
    if not (verdicts[whole:] == KEPT).any():
        raise InputError(
            f"corpus.near_duplicates={common.threshold}: every document of the training text is a near-duplicate of "
            "one in corpus.heldout_files; give other corpus.files, or a higher threshold"
        )
    write_array(common.work / FOLDER / "verdicts.npy", verdicts)
    summary = {
        "threshold": common.threshold,
        "documents": int(np.count_nonzero(verdicts != KEPT)),
        "of_heldout": int(np.count_nonzero(verdicts == HELDOUT)),
    }
    journal.record("near", summary)
    return summary


def kept(work: Location, start: int, stop: int) -> np.ndarray:
    """(stop - start,) bool: the documents without an earlier near-duplicate; those held out as a whole come first."""
    return np.asarray(read_array(work / FOLDER / "verdicts.npy")[start:stop] == KEPT)
