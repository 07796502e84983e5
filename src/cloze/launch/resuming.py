"""A run that is resumed: from which checkpoint, and what the configuration changes of it.

A value of the configuration holds from the first resumed step on, or it is refused by name here.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

from cloze.callbacks.checkpoints import CONFIGURATION, Checkpoints
from cloze.checkpoint.saves import check_model, read_checkpoint
from cloze.confidential import masked
from cloze.errors import InputError
from cloze.launch.trainer import make_optimizer, small_groups
from cloze.run_folder import FREE
from cloze.text.manifest import differences

NAMES = ("run", "folder", "resume")
"""Of the run itself: they differ wherever a run is resumed under another name."""
BEGINNING = ("init", "grow", "model.folder", "model.weights")
"""What training began with: nothing of it is read again, so that another value could not hold."""
MOST = 20
"""Changes that are told."""


def resume_step(
    checkpoint: Path | None, trainer: pl.Trainer, module: pl.LightningModule, config: Mapping[str, Any]
) -> int:
    """Optimizer steps behind a checkpoint; none without one. Tells what the configuration changes of it.

    Raises:
        InputError: it cannot be read, is of another model or optimizer, or the configuration asks for what cannot hold.
    """
    if checkpoint is None:
        return 0
    state = read_checkpoint(checkpoint)
    changed = changes(state.get(CONFIGURATION), config)
    check_changes(checkpoint, changed)
    check_model(checkpoint, state["state_dict"], module.state_dict())
    there, here = state["optimizer_states"][0], make_optimizer(config)(small_groups()).state_dict()
    if _names(there) != _names(here):
        raise InputError(
            f"{checkpoint} is of another optimizer: take that one, or begin anew with init=FOLDER of its model"
        )
    saver = trainer.checkpoint_callback
    assert isinstance(saver, Checkpoints)
    saver.changed = changed is None or any(change.partition(".")[0] not in FREE for change in changed)
    _tell(checkpoint, changed)
    return int(state["global_step"])


def changes(before: Mapping[str, Any] | None, config: Mapping[str, Any]) -> list[str] | None:
    """What a configuration changes of another one, as ``key: was this, is that``; None where that is not known.

    Args:
        before: of the checkpoint, None where nothing tells it.
        config: of the run.
    """
    if before is None:
        return None
    now = masked(config)
    there = _moved(before, str(before.get("folder")), str(now["folder"]))
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
    print(f"going on from {checkpoint}", file=sys.stderr)
    if changed is None:
        print("note: the checkpoint does not tell its configuration, so that changes cannot be told", file=sys.stderr)
    elif changed:
        more = f"; and {len(changed) - MOST} more" if len(changed) > MOST else ""
        print(f"note: changed from here on: {'; '.join(changed[:MOST])}{more}", file=sys.stderr)


def _names(state: Any) -> set[str]:
    """The names of an optimizer's settings, by which its state is known."""
    if not isinstance(state, dict):
        return set()
    groups = [group for part in state.get("parts", [state]) for group in part.get("param_groups", [])]
    return {name for group in groups for name in group if name not in ("initial_lr", "lr_scale", "hidden")}
