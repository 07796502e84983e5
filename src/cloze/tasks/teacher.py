"""The teacher of a distillation: a trained model that is only asked."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.modules import pretraining_model
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.errors import InputError
from cloze.model.architecture import architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.encoder import EncoderWithHeads
from cloze.model.heads import PretrainingModel
from cloze.model.modern_config import ModernBertConfig
from cloze.text.tokenizer import tokenizer_sha256, vocabulary

M = TypeVar("M", bound=EncoderWithHeads)

TEACHER_KEY = "teacher"
"""In a checkpoint, of the teacher's name and the hash of its weights."""


@dataclass(frozen=True, kw_only=True)
class Teacher(Generic[M]):
    """A model in evaluation mode, without gradient: no parameter of the module that it teaches.

    Attributes:
        name: of its folder.
        model: what is asked.
        parts: of the model that the folder holds.
        labels: of the task that it was fine-tuned on.
        tokenizer: its own.
        sha256: of its weights.
    """

    name: str
    model: M
    parts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    tokenizer: Tokenizer
    sha256: str

    @classmethod
    def of(cls, name: str, found: Pretrained, model: M) -> "Teacher[M]":
        """From its folder and the model in it."""
        return cls(
            name=name,
            model=model.requires_grad_(False).eval(),
            parts=found.parts,
            labels=tuple(found.labels or ()),
            tokenizer=found.tokenizer,
            sha256=weights_sha256(found.state),
        )

    def on(self, device: torch.device) -> M:
        """The model there, to which it is moved once."""
        if next(self.model.parameters()).device != device:
            self.model.to(device)
        return self.model

    def told(self) -> str:
        """One line: 'models/bert: BERT, 12 layers of 768, weights 3fa9c02b'."""
        shape = self.model.config
        layers = f"{shape.num_hidden_layers} layers of {shape.hidden_size}"
        return f"{self.name}: {architecture_of(shape).title}, {layers}, weights {self.sha256[:8]}"

    def check_tokenizer(self, tokenizer: Tokenizer, whose: str, advice: str) -> None:
        """Compare its tokenizer with that of its student, whose tokens it is asked about.

        Args:
            tokenizer: of the student.
            whose: it is, for the message.
            advice: what to do about another one.

        Raises:
            InputError: they give other ids.
        """
        if tokenizer_sha256(tokenizer) == tokenizer_sha256(self.tokenizer):
            return
        here, there = (len(vocabulary(one)) for one in (tokenizer, self.tokenizer))
        why = f"{here:,} tokens, the teacher's {there:,}" if here != there else "other tokens, or other rules"
        raise InputError(
            f"teacher={self.name} has another tokenizer than {whose} ({why}), but is asked about the same tokens: "
            f"{advice}"
        )

    def check_length(self, max_length: int, key: str) -> None:
        """Compare the longest sequences with its positions.

        Raises:
            InputError: it has fewer.
        """
        if max_length > (positions := self.model.config.max_position_embeddings):
            raise InputError(f"{key} is {max_length}, but teacher={self.name} has only {positions} positions")

    def saved(self) -> dict[str, str]:
        """What a checkpoint says of it."""
        return {"name": self.name, "sha256": self.sha256}

    def check_saved(self, file: object, there: Any) -> None:
        """Refuse to resume a checkpoint of what another teacher has taught.

        Args:
            file: the checkpoint.
            there: what it says of a teacher, None where it had none.

        Raises:
            InputError: that had other weights.
        """
        if isinstance(there, Mapping) and there.get("sha256") != self.sha256:
            raise InputError(
                f"{file} was taught by {there.get('name')!s:.200} with the weights {there.get('sha256')!s:.8}, but "
                f"teacher={self.name} has the weights {self.sha256:.8}: give that teacher, or begin another run"
            )


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """Of names, shapes and numbers, whatever file they are from."""
    found = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        found.update(f"{name} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()


def read_teacher(name: str) -> Teacher[PretrainingModel]:
    """A pre-trained folder, as ``init=`` takes it.

    Raises:
        InputError: it cannot be read, or holds no encoder.
    """
    found = read_pretrained(name)
    return Teacher.of(name, found, pretraining_model(found))


def copy_layers(student: PretrainingModel, teacher: Teacher[PretrainingModel], layers: Sequence[int], key: str) -> None:
    """Begin with the teacher's embeddings, heads and some of its layers, in place.

    Args:
        student: of the same shape but for the number of layers.
        teacher: with them.
        layers: for each layer of the student the number of the teacher's, the first one is 1.
        key: that asks for it, for messages.

    Raises:
        InputError: the shapes differ, or there are other numbers of layers.
    """
    ours, theirs = student.config, teacher.model.config
    _check_layers(ours, theirs, teacher.name, layers, key)
    numbers = {f"{own}": f"{number - 1}" for own, number in enumerate(layers)}
    known, rows_of = teacher.model.state_dict(), architecture_of(ours).vocabulary
    for name, tensor in student.state_dict().items():
        part, blocks, number, *rest = [*name.split(".", 3), "", "", ""][:4]
        if part != "encoder" and part not in teacher.parts:
            continue  # a head that the teacher lacks stays as it is
        there = known.get(f"encoder.blocks.{numbers[number]}.{rest[0]}" if blocks == "blocks" else name)
        if there is not None and name in rows_of:
            there = there[: len(tensor)]  # rows behind the tokens
        if there is None or there.shape != tensor.shape:
            raise InputError(f"{key}: the student's {name} has no counterpart in teacher={teacher.name}: leave it out")
        tensor.copy_(there)


def _check_layers(ours: EncoderConfig, theirs: EncoderConfig, name: str, layers: Sequence[int], key: str) -> None:
    if len(layers) != ours.num_hidden_layers or not all(1 <= layer <= theirs.num_hidden_layers for layer in layers):
        raise InputError(
            f"{key} is {[*layers]}, but must be a number from 1 to {theirs.num_hidden_layers}, of a layer of "
            f"teacher={name}, for each of the student's {ours.num_hidden_layers} layers"
        )
    if type(ours) is not type(theirs):
        titles = " and ".join(architecture_of(one).title for one in (ours, theirs))
        raise InputError(f"{key} copies layers, but the student and teacher={name} are of other kinds, {titles}")
    own = {*architecture_of(ours).free, "vocab_size", "num_hidden_layers", "layer_types", "global_attn_every_n_layers"}
    for each in (field.name for field in fields(ours)):
        here, there = getattr(ours, each), getattr(theirs, each)
        if each not in own and here != there:
            raise InputError(
                f"{key} copies layers, but model.{each} is {here}, and teacher={name} has {there}: take the same, or "
                f"leave {key} out"
            )
    if isinstance(ours, ModernBertConfig) and isinstance(theirs, ModernBertConfig):
        for own_layer, layer in enumerate(layers):
            if ours.kinds[own_layer] != (there := theirs.kinds[layer - 1]):
                raise InputError(
                    f"{key}: layer {layer} of teacher={name} has {there}, but the student's layer {own_layer + 1} "
                    f"{ours.kinds[own_layer]}: choose another one, or set model.layer_types"
                )
