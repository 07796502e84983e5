"""Validate a checkpoint against the trainer and module that will load it."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Protocol

import lightning
import lightning.pytorch as pl
from packaging.version import InvalidVersion, Version
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from cloze.callbacks.average import AVERAGE, AverageState, WeightAverage
from cloze.callbacks.checkpoints import Checkpoints
from cloze.callbacks.length import Length
from cloze.checkpoint.saves import model_fault
from cloze.checkpoint.training import FILES_KEY, KEY, MODEL_TYPE, Description, description
from cloze.checkpoint.whole import ANYTHING, difference, optimizer_fault, tensor_fault
from cloze.files.partial_output import differences
from cloze.model.architecture import architecture_of
from cloze.optim.decay import DecayBeginning
from cloze.optim.groups import parameter_groups
from cloze.optim.trial import tried
from cloze.tasks.training import DECAY, TrainingModule
from cloze.text.tokenizer import tokenizer_sha256

ALWAYS = (Length, Checkpoints)
"""Callbacks of every run: without their state it would continue as another one."""
FREE = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "cache")
"""What may change of a model: how it is trained, not what it computes."""


class Data(Protocol):
    """A data module.

    Attributes:
        tokenizer: with which it has been encoded.
    """

    tokenizer: Any

    @property
    def place(self) -> tuple[str, ...]:
        """The names of what says where in the data training is."""


def checkpoint_fault(
    content: Mapping[str, Any], trainer: pl.Trainer, module: TrainingModule, data: Data, *, same_callbacks: bool = True
) -> str | None:
    """What is wrong with any part of a checkpoint for what it will be loaded into; nothing is loaded.

    Args:
        content: of the checkpoint; its main parts are there and have their types.
        trainer: with its callbacks.
        module: with its model.
        data: whose position in training it tells.
        same_callbacks: whether it was saved with the same callbacks, so that none of their states may be missing.
    """
    try:
        if changed := _other_model(content, module, data.tokenizer):
            return f"is of another model ({changed})"
        fault = next(_faults(content, trainer, module, data, same_callbacks), None)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
        fault = str(error).strip().partition("\n")[0]  # containers that are none, as a tensor is
    return None if fault is None else f"is damaged, or of another version of this program ({fault})"


def _other_model(content: Mapping[str, Any], module: TrainingModule, tokenizer: Any) -> str | None:
    own = description(
        module.model,
        tokenizer,
        head=module.head,
        labels=module.labels,
        problem_type=module.problem_type,
    )
    there = content.get(KEY)
    if isinstance(there, Mapping):  # of an earlier version, perhaps
        own = {name: part for name, part in own.items() if name in there or name not in (FILES_KEY, MODEL_TYPE)}
    if fault := difference(there, dict.fromkeys(own, ANYTHING), KEY):
        raise ValueError(fault)
    saved, here = Description.read(there), Description.read(own)
    return "; ".join(differences(_comparable(saved), _comparable(here))) or None


def _comparable(described: Description) -> dict[str, Any]:
    """By the keys of the configuration, where there are any."""
    free = (*FREE, *architecture_of(described.config).free)
    parts = {"model": described.config, "adaptation": described.adaptation}
    return {
        **{
            name: {key: value for key, value in dataclasses.asdict(part).items() if key not in free}
            for name, part in parts.items()
            if part is not None
        },
        "kind": described.head,
        "labels": described.labels,
        "problem_type": described.problem_type,
        "tokenizer": f"{described.tokenizer.get_vocab_size():,} tokens, {tokenizer_sha256(described.tokenizer)[:8]}",
    }


def _faults(
    content: Mapping[str, Any], trainer: pl.Trainer, module: TrainingModule, data: Data, same_callbacks: bool
) -> Iterator[str]:
    """Each reads on only where nothing was wrong before."""
    if fault := model_fault(content["state_dict"], module.state_dict()):
        yield fault
    steps = content["global_step"]
    for name in ("epoch", "global_step"):
        yield from _fault(content.get(name), 0, name, strict=True)
    version = content.get("pytorch-lightning_version")
    if not isinstance(version, str) or not _is_of_now(version):
        yield f"it was saved by version {version!r} of lightning, and here is {lightning.__version__}"
    yield from _loop_faults(content["loops"], trainer, data, steps)
    yield from _callback_faults(content.get("callbacks"), trainer, same_callbacks)
    yield from _average_faults(content, trainer, module, same_callbacks)
    yield from _row_faults(content.get("since_last_row"), module)
    if DECAY in content:
        yield from _fault(content[DECAY], DecayBeginning(0, 0.0, 0.0)._asdict(), DECAY, strict=True)

    recipe = module.recipe
    trial = tried(recipe.optimizer, parameter_groups(module.model, recipe.weight_decay, recipe.layer_decay))
    yield from _fault(content["optimizer_states"], [ANYTHING], "optimizer_states")
    if fault := optimizer_fault(content["optimizer_states"][0], trial, "optimizer_states.0", steps=steps):
        yield fault
    scheduler = LambdaLR(trial.optimizer, [partial(float)] * len(trial.optimizer.param_groups)).state_dict()
    scheduler |= {name: [0.0] * len(scheduler[name]) for name in ("base_lrs", "_last_lr")}  # given as 1, they are whole
    yield from _fault(content.get("lr_schedulers"), [scheduler], "lr_schedulers", strict=True)
    if (last := content["lr_schedulers"][0]["last_epoch"]) != steps:
        yield f"lr_schedulers stand at step {last} instead of {steps}"

    plugin = trainer.precision_plugin
    if (name := type(plugin).__qualname__) in content and (state := plugin.state_dict()):
        yield from _fault(content[name], state, name, strict=True)


def _is_of_now(version: str) -> bool:
    """Whether what lightning of that version has saved can be read by the one that is installed."""
    try:
        return Version(version).major == Version(lightning.__version__).major
    except InvalidVersion:
        return False


def _loop_faults(loops: Any, trainer: pl.Trainer, data: Data, steps: int) -> Iterator[str]:
    own = trainer._checkpoint_connector._get_loops_state_dict()
    fit = {**own["fit_loop"], "state_dict": {"combined_loader": [ANYTHING]}}
    yield from _fault(loops, {**own, "fit_loop": fit}, "loops", strict=True)
    place, names = loops["fit_loop"]["state_dict"]["combined_loader"][0], data.place
    if isinstance(place, Mapping) and "shard" in place:  # of a version that read one shard after the other
        names = ("epoch", "shard", "batch")
    yield from _fault(place, dict.fromkeys(names, 0), "loops.combined_loader", strict=True)
    made = loops["fit_loop"]["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    seen = loops["fit_loop"]["epoch_loop.batch_progress"]["current"]
    if made["completed"] != steps:
        yield f"loops have made {made['completed']} steps instead of {steps}"
    if seen["ready"] - seen["completed"] not in (0, 1) or (steps and seen["ready"] % steps):
        yield f"loops have seen {seen['completed']} of {seen['ready']} micro-batches in {steps} steps"


def _callback_faults(states: Any, trainer: pl.Trainer, same: bool) -> Iterator[str]:
    if not isinstance(states, Mapping):
        yield from _fault(states, {}, "callbacks")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name, own = callback.state_key, callback.state_dict()
        if name not in states:
            if isinstance(callback, ALWAYS) or (same and own):
                yield f"callbacks has no {name!r}"
            continue
        yield from _fault(states[name], own, f"callbacks.{name}")
        try:
            copy.copy(callback).load_state_dict(copy.deepcopy(states[name]))
        except Exception as error:  # whatever it is, it would come later
            yield f"callbacks.{name} cannot be read: {error}"


def _average_faults(
    content: Mapping[str, Any], trainer: pl.Trainer, module: TrainingModule, same: bool
) -> Iterator[str]:
    if not any(isinstance(callback, WeightAverage) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        return
    if AVERAGE not in content:
        if same:
            yield f"there is no {AVERAGE!r}"
        return
    state = content[AVERAGE]
    yield from _fault(state, AverageState("", 0.0, 0, {})._asdict() | {"weights": ANYTHING}, AVERAGE, strict=True)
    if bool(state["entered"]) != bool(state["weights"]):
        yield f"{AVERAGE} is of {state['count']} weights, but has {len(state['weights'])} of them"
    if state["weights"] and (fault := model_fault(state["weights"], dict(module.model.named_parameters()))):
        yield f"{AVERAGE}.{fault}"


def _row_faults(state: Any, module: TrainingModule) -> Iterator[str]:
    own = {"sums": ANYTHING, "tokens": 0, "optimizer": ANYTHING, "logged_step": 0}
    yield from _fault(state, own, "since_last_row", strict=True)
    if (sums := state["sums"]) is not None and (
        fault := tensor_fault(sums, [module.sums], "since_last_row.sums", floating=True, finite=False)
    ):
        yield fault
    told, place = state["optimizer"], "since_last_row.optimizer"
    if not isinstance(told, Mapping):
        yield from _fault(told, {}, place)
    for name, value in told.items():
        if isinstance(value, Tensor):
            fault = tensor_fault(value, [], f"{place}.{name}", floating=True, finite=False)
        else:
            fault = difference(value, 0.0, f"{place}.{name}")
        if fault or not isinstance(name, str):
            yield fault or f"{place} has an odd {name!r}"


def _fault(there: Any, here: Any, place: str, *, strict: bool = False) -> Iterator[str]:
    if fault := difference(there, here, place, strict=strict):
        yield fault
