"""Convert a training checkpoint, from any number of ranks, to a model folder.

A checkpoint holds, in addition to the state of training, what the model folder says beyond the weights: so it becomes
one wherever it lies, with nothing of its run next to it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.folder import published_head, save_state
from cloze.checkpoint.pretrained import FIXED_OUTPUTS
from cloze.checkpoint.record import Record, earlier_record, head_named, record_of
from cloze.checkpoint.task_models import save_task_model
from cloze.checkpoint.weights import load_pickle, plain
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import Head, architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.encoder import TRAINING_ONLY, EncoderWithHeads
from cloze.model.task_heads import TASK_MODELS, TaskModel
from cloze.text.patterns import pattern_fault

KEY = "model_folder"
"""In a checkpoint, of the description."""
RECORD_KEY = "task_record"
"""In a checkpoint, of what made the model; of a task, earlier versions have the keys of `earlier_record`."""
FILES_KEY = "tokenizer_files"
"""In the description, of the files of the tokenizer; those of earlier versions have no it."""
MODEL_TYPE = "model_type"
"""In the description, of the architecture; checkpoints of earlier versions have no it and are BERTs."""
PREFIX = "model."
"""Of the model's parameters, in the state of a LightningModule."""


def description(
    model: EncoderWithHeads,
    tokenizer: Tokenizer,
    *,
    head: Head,
    labels: Sequence[str] = (),
    problem_type: str | None = None,
    tokenizer_files: Mapping[str, bytes] | None = None,
) -> dict[str, Any]:
    """What a checkpoint has to say of its model: strings, numbers, and containers of them.

    Args:
        model: its shape, and for a task its adaptation.
        tokenizer: that it is trained with.
        head: that it is saved with.
        labels: of a task, in the order of the outputs.
        problem_type: Hugging Face's name of the kind of classification.
        tokenizer_files: of the folder that the tokenizer was read from.
    """
    adaptation = dataclasses.asdict(model.adaptation) if isinstance(model, TaskModel) else None
    return {
        "architecture": head,
        MODEL_TYPE: architecture_of(model).model_type,
        "config": dataclasses.asdict(model.config),
        "tokenizer": tokenizer.to_str(),
        FILES_KEY: {name: content.decode() for name, content in (tokenizer_files or {}).items()},
        "labels": list(labels),
        "problem_type": problem_type,
        "adaptation": adaptation,
    }


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a checkpoint says of its model, as objects; see `description`."""

    head: Head
    config: EncoderConfig
    tokenizer: Tokenizer
    tokenizer_files: dict[str, bytes]
    labels: list[str]
    problem_type: str | None
    adaptation: Adaptation | None

    @classmethod
    def read(cls, described: Any) -> "Description":
        """From a checkpoint.

        Raises:
            ValueError: it describes no model.
        """
        try:
            head = head_named(described["architecture"])
            labels, problem_type, adaptation = (described[name] for name in ("labels", "problem_type", "adaptation"))
            if not all(isinstance(text, str) for text in (problem_type or "", *labels)):
                raise TypeError("a name is no text")
            tokenizer = Tokenizer.from_str(described["tokenizer"])
            if fault := pattern_fault(tokenizer):
                raise ValueError(fault)
            return cls(
                head=head,
                config=architecture_of(described.get(MODEL_TYPE, "bert")).config_of(described["config"]),
                tokenizer=tokenizer,
                tokenizer_files={name: text.encode() for name, text in described.get(FILES_KEY, {}).items()},
                labels=list(labels),
                problem_type=problem_type,
                adaptation=None if adaptation is None else Adaptation(**adaptation),
            )
        except Exception as error:  # of tokenizers, which has no narrower one
            raise ValueError(f"{KEY} describes no model: {_first(error)}") from error


def write_model_folder(checkpoint: Path, folder: Path) -> None:
    """Write the model folder of a checkpoint, as the end of training would.

    Args:
        checkpoint: a file ``step-*.ckpt``; no code in it is run.
        folder: replaced if it exists.

    Raises:
        InputError: it is damaged, or no checkpoint of a training.
    """
    try:
        content = load_pickle(checkpoint, mapped=True)
    except Exception as error:  # damage makes torch's reader of pickles raise nearly anything
        raise InputError(
            f"{checkpoint} cannot be read ({_first(error)}): give another checkpoint of the run"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict) or KEY not in content:
        raise InputError(f"{checkpoint} is no checkpoint that train.py or finetune.py has saved: it describes no model")
    try:
        state = {str(name): value for name, value in content["state_dict"].items()}
        plain({name: value for name, value in state.items() if isinstance(value, Tensor)}, checkpoint)
        if RECORD_KEY in content:
            record = record_of(content[RECORD_KEY], checkpoint)
        else:
            record = earlier_record(content, checkpoint, is_known=False)
        _write(Description.read(content[KEY]), state, folder, record)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{checkpoint}: its model is not the one that it describes ({_first(error)})") from error


def _write(described: Description, state: Mapping[str, Any], folder: Path, record: Record) -> None:
    own = {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
    if described.adaptation is None:
        if (head := published_head(described.config, own)) != described.head:
            raise ValueError(f"it has the heads of {head}, but is described with those of {described.head}")
        files = described.tokenizer_files
        save_state(described.config, own, described.tokenizer, folder, tokenizer_files=files, record=record)
        return
    outputs = FIXED_OUTPUTS.get(described.head, max(1, len(described.labels)))
    with torch.device("meta"):  # a shape is not believed before its tensors are there
        task = TASK_MODELS[described.head](described.config, outputs, described.adaptation)
    own = {name: tensor for name, tensor in own.items() if name.partition(".")[0] != TRAINING_ONLY}
    task.load_state_dict(own, assign=True)
    save_task_model(
        task,
        described.tokenizer,
        folder,
        head=described.head,
        labels=described.labels,
        problem_type=described.problem_type,
        record=dataclasses.replace(record, state=state.get("_extra_state") or {}),
        tokenizer_files=described.tokenizer_files,
    )


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
