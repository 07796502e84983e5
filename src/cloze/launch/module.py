"""Build the module of pre-training from its node, and check that it fits the objective."""

from collections.abc import Sequence
from typing import Any

import torch

from cloze.batch import batch_type
from cloze.callbacks.length import Length
from cloze.checkpoint.record import RECORD, Made, Record, import_path
from cloze.config.hardware import Hardware
from cloze.config.nodes import Node
from cloze.config.schema import Pretraining as Config
from cloze.config.trust import trusted_class
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.objective import Objective
from cloze.errors import InputError
from cloze.launch.strategy import compute_as, is_one_graph
from cloze.launch.trainer import make_recipe
from cloze.model.config import EncoderConfig
from cloze.run.folder import note
from cloze.tasks.distillation import Distillation
from cloze.tasks.masked_lm import MaskedLMPretraining
from cloze.tasks.pretraining import Pretraining
from cloze.tasks.replaced_tokens import ReplacedTokensPretraining
from cloze.tasks.retromae import RetroMAE
from cloze.tasks.teacher import Teacher

OWN: dict[str, type] = {
    import_path(kind): kind
    for kind in (MaskedLMPretraining, ReplacedTokensPretraining, RetroMAE, Distillation, MaskedLM)
}
"""Every class of cloze that a pre-trained folder may name, by its import path."""


def check_module(config: Config) -> None:
    """Compare the module with the teacher, the objective and the hardware.

    Raises:
        InputError: it is none, lacks a teacher or takes none, or does not take the batches that the objective makes, or
            not all of them.
    """
    module, objective = config.module.class_, config.objective.class_
    for node, kind, base in ((config.module, module, Pretraining), (config.objective, objective, Objective)):
        if not issubclass(kind, base):
            raise InputError(f"{node.key}._target_ is {node.target}, but must be derived from {import_path(base)}")
        if batch_type(kind, base) is None:
            raise InputError(
                f"{node.key}: {node.target} does not say the type of its batches: derive it from "
                f"{base.__name__}[MyBatch]"
            )
    if config.teacher is not None and module.without_teacher is None:
        raise InputError(
            f"teacher={config.teacher} is for a module that learns from it, but {config.module.target} does not: give "
            "module=distillation, or leave teacher= out"
        )
    if config.teacher is None and module.without_teacher is not None:
        if config.stage == "evaluate":
            raise InputError(f"module: {config.module.target} is for stage=train: leave module= out")
        raise InputError(f"module: {config.module.target} learns from a teacher: give teacher=FOLDER")
    taken, made = batch_type(module, Pretraining), batch_type(objective, Objective)
    if taken is not None and made is not None and not issubclass(made, taken):
        raise InputError(
            f"module: {config.module.target} takes batches of {import_path(taken)}, but the objective, "
            f"{config.objective.target}, makes {import_path(made)}: give the module= and the objective= of each other"
        )
    if taken is not None and (why := module.unsuited(config.objective.build())) is not None:
        raise InputError(f"module: {config.module.target} {why}")
    if config.hardware.cuda_graphs and not module.compiles_step:
        raise InputError(
            f"hardware.cuda_graphs records the whole step, which {config.module.target} does not compile "
            "(compiles_step): take hardware.cuda_graphs=false"
        )


def check_values(config: Config, shape: EncoderConfig, teacher: Teacher[Any] | None = None) -> None:
    """Have a module of cloze's own look at its values, which no signature can, with a model without weights.

    Raises:
        InputError: it refuses one, or the shape.
    """
    if import_path(config.module.type) in OWN:
        make_module(config, shape, Length(steps=1), teacher, device="meta")


def make_module(
    config: Config, shape: EncoderConfig, length: Length, teacher: Teacher[Any] | None = None, *, device: str = "cpu"
) -> Pretraining[Any]:
    """The module with its model, in random weights.

    Args:
        config: the root.
        shape: of the encoder.
        length: of training.
        teacher: for a module that takes one.
        device: where the weights are; ``meta`` makes none.

    Raises:
        InputError: the module refuses a value, or has parameters that no model folder would hold.
    """
    recipe, known = make_recipe(config, length), {} if teacher is None else {"teacher": teacher}
    with torch.device(device):
        module = config.module.build(shape=shape, recipe=recipe, **known)
    parameters = {f"model.{name}" for name in module.model.state_dict()}
    if more := sorted(module.state_dict().keys() - parameters):
        raise InputError(
            f"module: {config.module.target} has parameters of its own ({', '.join(more)}), for which the model folder "
            "has no place: make them a part of its model, in make_model"
        )
    module.record = Record(module=_made(config.module), objective=_made(config.objective))
    return module


def computed(module: Pretraining[Any], hardware: Hardware) -> Pretraining[Any]:
    """The same module, computed as the hardware asks."""
    one_graph = module.compiles_step and is_one_graph(hardware)
    for encoder in module.model.encoders:
        compute_as(hardware, encoder, static_shapes=hardware.static_shapes, one_graph=one_graph)
    if module.teacher is not None:
        compute_as(hardware, module.teacher.model.encoder, static_shapes=hardware.static_shapes)
    if one_graph:
        module.compile_step(cuda_graphs=hardware.cuda_graphs)
    return module


def as_trained(config: Config, record: Record, name: str, trust: Sequence[str]) -> Config:
    """The configuration with the module that a model folder was trained with, and an objective that goes with it.

    Args:
        config: whose own class is taken where the folder tells of none.
        record: of the folder; of a student, it is evaluated by itself.
        name: of the folder.
        trust: packages besides cloze whose classes may be built.

    Raises:
        InputError: the configuration names another module, or the folder a class that is not trusted.
    """
    alone = getattr(OWN.get(record.module.target or ""), "without_teacher", None)
    trained = record.module if alone is None else Made.by(import_path(alone), {})
    config = config.with_(module=_trained(config.module, trained, Pretraining, name, trust))
    taken, made = (batch_type(node.class_, base) for node, base in _nodes(config))
    if record.objective.target is not None and taken is not None and made is not None and not issubclass(made, taken):
        objective = _trained(config.objective, record.objective, Objective, name, trust)
        note(f"evaluated with the objective that {name} was trained with, {objective.target}")
        config = config.with_(objective=objective, data=config.data.with_(objective=objective.plain))
    return config


def _nodes(config: Config) -> tuple[tuple[Node[Any], type], tuple[Node[Any], type]]:
    return (config.module, Pretraining), (config.objective, Objective)


def _made(node: Node[Any]) -> Made:
    return Made.by(import_path(node.type), node.arguments)


def _trained(node: Node[Any], made: Made, base: type, name: str, trust: Sequence[str]) -> Node[Any]:
    """The node of what a folder was trained with, with what this configuration states in place of the same."""
    stated = import_path(node.type)
    if made.target is None:
        return node
    if made.target != stated and stated not in OWN:
        raise InputError(
            f"{name} was trained with {made.target}, but {node.key} is {stated}: leave {node.key}= out, or give the "
            "one that it was trained with"
        )
    recorded = dict(made.arguments or {})
    if made.target == stated:
        return node.with_(**{key: value for key, value in recorded.items() if node.plain.get(key) is None})
    if made.arguments is None:
        raise InputError(f"{name} was trained with {made.target}, which only its own {node.key}= can make: give that")
    source = f"{name}/{RECORD}: {node.key}"
    if made.target not in OWN:
        trusted_class(made.target, trust, lambda kind: issubclass(kind, base), source=source, kind=f"{node.key}s")
    partial = {"_partial_": True} if base is Pretraining else {}
    return Node(node.key, {"_target_": made.target, **partial, **recorded})
