"""The checkpoints of a run on disk, complete and with a checksum; keeps the last few and the best.

``checkpoints/step-00001500.ckpt`` and an index of those that are complete. A checkpoint is written under a temporary
name, reaches the disk, is renamed, and only then enters the index, which is itself replaced by a rename: a process
killed at any moment leaves at most a file that no index names, and the next save removes it.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cloze.checkpoint.weights import load_pickle, runs_code
from cloze.checkpoint.whole import difference, tensor_fault
from cloze.errors import InputError
from cloze.files.atomic import write_atomically, written_beside
from cloze.files.bounded import read_json
from cloze.runtime.wording import counted

INDEX = "index.json"
FILE = re.compile(r"\.?step-\d+\.ckpt(\.\d+)?")
ADVICE = "give a step-*.ckpt of a run"
PARTS = {"global_step": int, "state_dict": dict, "optimizer_states": list, "loops": dict}
"""What every checkpoint of a run holds, besides other things."""


@dataclass(frozen=True, kw_only=True)
class Save:
    """One complete checkpoint.

    Attributes:
        step: optimizer steps behind it.
        file: its name in the folder.
        bytes: its size.
        sha256: of its content.
        score: what it reached in evaluation, None before that.
    """

    step: int
    file: str
    bytes: int
    sha256: str
    score: float | None = None


class CheckpointStore:
    """The checkpoints in one folder.

    Args:
        folder: made when the first one is written.
        keep_last: how many of the newest ones stay, besides the best.
        higher_is_better: of the score.
    """

    def __init__(self, folder: Path, *, keep_last: int = 2, higher_is_better: bool = False) -> None:
        self.folder = folder
        self.keep_last = keep_last
        self.higher_is_better = higher_is_better

    def complete(self) -> list[Save]:
        """All of the index, the oldest first.

        Raises:
            InputError: the index cannot be read.
        """
        file = self.folder / INDEX
        if not file.exists():
            return []
        try:
            saves = [Save(**entry) for entry in read_json(file)]
            if wrong := [save.file for save in saves if not FILE.fullmatch(str(save.file))]:
                raise ValueError(f"{wrong[0]!r} is no checkpoint's name")
            return saves
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{file} is damaged ({error}): give the checkpoint to resume from, as resume={self.folder}/step-*.ckpt"
            ) from error

    def best_good(
        self, tell: Callable[[str], None], fault: Callable[[Path], str | None] = lambda _: None
    ) -> Path | None:
        """The checkpoint with the best score of those that are as they were written; None where there is none.

        Args:
            tell: is given a sentence for each better one.
            fault: what else is wrong with a file, as ``is damaged (why)``; None where all is well.
        """
        good, found = self._first_good(self._scored(self.complete()), fault)
        for sentence in found:
            tell(sentence)
        return good

    def newest_good(
        self, tell: Callable[[str], None], fault: Callable[[Path], str | None] = lambda _: None
    ) -> Path | None:
        """The newest checkpoint that is as it was written; None where there is none.

        Args:
            tell: is given a sentence for each newer one.
            fault: what else is wrong with a file, as ``is damaged (why)``; None where all is well.

        Raises:
            InputError: nothing can be done with any of them.
        """
        good, found = self._first_good([*reversed(self.complete())], fault)
        if good is None and found:
            more = ", and none before it is whole" if len(found) > 1 else ""
            raise InputError(f"{found[0]}{more}: delete the folder of the run to start from scratch")
        for sentence in found:
            tell(f"{sentence}; the one before it is used")
        return good

    def _first_good(self, saves: list[Save], fault: Callable[[Path], str | None]) -> tuple[Path | None, list[str]]:
        """The first one that is whole, and what is wrong with those before it."""
        found: list[str] = []
        for save in saves:
            file = self.folder / save.file
            damage = _damage(file, save)
            if (wrong := fault(file) if damage is None else f"is damaged ({damage})") is None:
                return file, found
            found.append(f"{file} {wrong}")
        return None, found

    def write(self, state: Mapping[str, Any], step: int) -> Path:
        """Save the state after `step` optimizer steps, then remove checkpoints that are no longer kept.

        Raises:
            InputError: there is no room for it, or the folder cannot be written; earlier checkpoints are untouched.
        """
        file = self.folder / f"step-{step:08d}.ckpt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_beside(file) as beside:
                with beside.open("wb") as stream:
                    torch.save(dict(state), stream)
                save = Save(step=step, file=file.name, bytes=beside.stat().st_size, sha256=_sha256(beside))
            self._write_index([*(other for other in self.complete() if other.step != step), save])
        except (OSError, RuntimeError) as error:
            raise InputError(f"{file} cannot be written ({_reason(error)}); {self._last_good()}") from error
        return file

    def score(self, step: int, score: float) -> None:
        """Note what the checkpoint of a step reached, if that is one of these; the best one is kept."""
        saves = self.complete()
        if any(save.step == step for save in saves):  # a run that resumes from another run's has none at first
            self._write_index([dataclasses.replace(save, score=score) if save.step == step else save for save in saves])

    def _write_index(self, saves: list[Save]) -> None:
        saves = sorted(saves, key=lambda save: save.step)
        kept = {save.step for save in saves[-self.keep_last :]}
        kept |= {save.step for save in self._scored(saves)[:1]}
        saves = [save for save in saves if save.step in kept]
        index = json.dumps([dataclasses.asdict(save) for save in saves], indent=1)
        write_atomically(self.folder / INDEX, index.encode())
        names = {save.file for save in saves}
        for file in self.folder.iterdir():  # after the index: it never names what is gone
            if FILE.fullmatch(file.name) and file.name not in names:
                file.unlink()

    def _scored(self, saves: list[Save]) -> list[Save]:
        """Those that have a score, the best one first, of equal ones the oldest."""
        sign = -1 if self.higher_is_better else 1
        scored = [save for save in saves if save.score is not None]
        return sorted(scored, key=lambda save: (sign * (save.score or 0.0), save.step))

    def _last_good(self) -> str:
        saves = self.complete()
        return f"the last good checkpoint is {self.folder / saves[-1].file}" if saves else "there is no checkpoint yet"


def read_checkpoint(file: Path) -> dict[str, Any]:
    """The state of training in a checkpoint, mapped into memory. No code in it is ever run.

    Raises:
        InputError: it cannot be read, or is no checkpoint of a run.
    """
    try:
        content = load_pickle(file, mapped=True)
    except Exception as error:  # damage makes torch raise nearly anything
        if code := runs_code(error):
            raise InputError(f"{file} would run code when it is read ({code}), so it is refused") from error
        raise InputError(f"{file} is no checkpoint of a run, or a damaged one: {ADVICE}") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in PARTS.items()):
        raise InputError(f"{file} holds no state of training: {ADVICE}")
    return content


def check_whole(file: Path) -> None:
    """Compare a checkpoint with the checksum in the index next to it, where there is one.

    Raises:
        InputError: it is not as it was written.
    """
    for save in CheckpointStore(file.parent).complete():
        if save.file == file.name and (damage := _damage(file, save)) is not None:
            raise InputError(f"{file} is damaged ({damage}): give another checkpoint as resume=")


def model_fault(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """What is wrong with the parameters of a checkpoint for the model that is to be resumed, if anything.

    Args:
        there: of the checkpoint.
        here: of the model, by the same names.
    """
    for name in sorted({*there, *here}, key=str):
        if name not in there or name not in here:
            return f"{name} is only {'here' if name in here else 'there'}"
        own = here[name]
        if isinstance(own, Tensor):
            fault = tensor_fault(there[name], own.shape, name, floating=own.is_floating_point())
        else:
            fault = difference(there[name], own, name)
        if fault:
            return fault
    return None


def _damage(file: Path, save: Save) -> str | None:
    """What is wrong with a file, if anything."""
    try:
        size = file.stat().st_size
        if size != save.bytes:
            return f"it has {counted(size, 'bytes')} instead of {save.bytes:,}"
        return None if _sha256(file) == save.sha256 else "its checksum is another"
    except OSError as error:
        return str(error.strerror)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: BaseException) -> str:
    """What the system said: torch tells of it only in its own words, about the file that it could not end."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).strip().partition("\n")[0]
