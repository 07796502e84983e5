"""Resume a run: choose the checkpoint, and apply changes of the configuration.

A value of the configuration holds from the first resumed step on, or it is refused by name here.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

from cloze.callbacks.checkpoints import CONFIGURATION, Checkpoints
from cloze.callbacks.phases import PhaseChanges
from cloze.checkpoint.saves import ADVICE, CheckpointStore, read_checkpoint
from cloze.checkpoint.whole import is_plain
from cloze.config.schema import Run
from cloze.errors import InputError
from cloze.files.partial_output import differences
from cloze.launch.branching import branch
from cloze.launch.checking import Data, checkpoint_fault
from cloze.launch.ranks import Ranks
from cloze.run.folder import FREE, first_changes, warn
from cloze.runtime.moved import present_run
from cloze.tasks.training import TrainingModule

NAMES = ("run", "folder", "resume")
"""Of the run itself: they differ wherever a run is resumed under another name."""
BEGINNING = ("init", "grow", "model.folder", "model.weights")
"""What training began with: nothing of it is read again, so that another value could not hold."""
OF_CALLBACKS = ("callbacks.", "average", "trainer.patience")
"""What decides which callbacks there are."""
MOST = 20
"""Changes that are reported."""


class Resumed(NamedTuple):
    """Where training is resumed.

    Attributes:
        checkpoint: None for a new run.
        step: optimizer steps behind it.
    """

    checkpoint: Path | None
    step: int


def resumed(
    checkpoint: Path | None,
    trainer: pl.Trainer,
    module: TrainingModule,
    data: Data,
    config: Run,
    ranks: Ranks,
) -> Resumed:
    """Look at a checkpoint as a whole, before anything is loaded or written, and tell what the configuration changes.

    Args:
        checkpoint: the newest one, or the one that was given; None for a new run.
        trainer: with its callbacks.
        module: with its model.
        data: encoded.
        config: the root.
        ranks: of which the first one decides.

    Returns:
        That one, or an older one of the run where that is of no use.

    Raises:
        InputError: none of them can be resumed from, or the configuration asks for what cannot hold.
    """
    if checkpoint is None:
        return Resumed(None, 0)

    def fault(file: Path) -> str | None:
        content = read_checkpoint(file)
        if not is_plain(before := content.get(CONFIGURATION, {})) or not isinstance(before, dict):
            return "is damaged (its configuration is none)"
        module.check_resumed(file, content)
        check_changes(file, changed := changes(content.get(CONFIGURATION), config.recorded))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, PhaseChanges) and isinstance(step := content.get("global_step"), int):
                callback.apply(module.model, step)  # which is compared with that of the checkpoint
        same = changed is not None and not any(change.startswith(OF_CALLBACKS) for change in changed)
        return checkpoint_fault(content, trainer, module, data, same_callbacks=same)

    chosen = ranks.decide(f"whole checkpoint of {config.folder}", lambda: _of_use(checkpoint, fault, config.resume))
    assert chosen is not None
    content = read_checkpoint(chosen)
    changed = changes(content.get(CONFIGURATION), config.recorded)
    saver = trainer.checkpoint_callback
    assert isinstance(saver, Checkpoints)
    saver.changed = changed is None or any(change.partition(".")[0] not in FREE for change in changed)
    branch(chosen, content, trainer, module)
    _tell(chosen, changed)
    return Resumed(chosen, int(content["global_step"]))


def _of_use(checkpoint: Path, fault: Callable[[Path], str | None], resume: str) -> Path | None:
    if resume == "auto" or checkpoint != Path(resume):  # the run has checkpoints of its own by now
        return CheckpointStore(checkpoint.parent).newest_good(warn, fault)
    if (found := fault(checkpoint)) is not None:
        raise InputError(f"{checkpoint} {found}: {ADVICE} with this model")
    return checkpoint


def changes(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str] | None:
    """What a configuration changes of another one, as ``key: was this, is that``; None where that is not known.

    Args:
        before: of the checkpoint, None where nothing tells it.
        now: of the run.
    """
    if before is None:
        return None
    there, now = (present_run(one) for one in (before, now))
    there = _moved(there, str(before.get("folder")), str(now["folder"]))
    there, now = ({name: part for name, part in one.items() if name not in NAMES} for one in (there, now))
    return differences(there, now)


def check_changes(checkpoint: Path, changed: list[str] | None) -> None:
    """Refuse what could not hold.

    Raises:
        InputError: with the keys.
    """
    for keys, why in (
        (BEGINNING, "the weights are those of the checkpoint"),
        (("optimizer._target_",), "the state in the checkpoint is of that optimizer"),
    ):
        begins = tuple(f"{key}{end}" for key in keys for end in ":.")
        if refused := [change for change in changed or () if change.startswith(begins)]:
            raise InputError(
                f"resume={checkpoint}: {'; '.join(refused)}, but {why}: leave that as it was, or begin another run "
                "with init=FOLDER of its model"
            )


def _moved(value: Any, old: str, new: str) -> Any:
    """With paths in the folder of one run as those in the folder of another."""
    if isinstance(value, Mapping):
        return {name: _moved(part, old, new) for name, part in value.items()}
    if isinstance(value, list):
        return [_moved(part, old, new) for part in value]
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value.removeprefix(old)
    return value


@rank_zero_only
def _tell(checkpoint: Path, changed: list[str] | None) -> None:
    print(f"resuming from {checkpoint}", file=sys.stderr)
    if changed is None:
        print(
            "note: the checkpoint does not hold its configuration, so that changes cannot be reported", file=sys.stderr
        )
    elif changed:
        print(f"note: changed from here on: {first_changes(changed, MOST)}", file=sys.stderr)
