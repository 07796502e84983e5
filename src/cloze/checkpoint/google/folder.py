"""The folder of Google's BERT release: ``bert_config.json``, ``bert_model.ckpt.*``, ``vocab.txt``."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cloze.checkpoint.google.bundle import Bundle, read_index, write_bundle
from cloze.checkpoint.google.names import from_google, head_in, is_of_training, to_google
from cloze.checkpoint.google.names import turned as as_the_other_side
from cloze.checkpoint.weights import FORMATS, damaged, read_json
from cloze.errors import InputError
from cloze.files.atomic import whole_folder
from cloze.model.architecture import Head
from cloze.model.bert import BertForPreTraining
from cloze.model.config import BertConfig
from cloze.model.families.bert import BERT, NAMES
from cloze.text.tokenizer import load_tokenizer

GOOGLE_CONFIG, PREFIX, VOCABULARY, STATE = "bert_config.json", "bert_model.ckpt", "vocab.txt", "checkpoint"
FIRST = "bert/embeddings/word_embeddings"
SAME_HEAD: tuple[Head, ...] = ("token_classification", "multiple_choice")
"""As that of texts."""
OBJECTS = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class GoogleCheckpoint:
    """What a folder of Google's holds.

    Attributes:
        settings: of its configuration in Hugging Face's keys, which Google's are, with ``model_type`` and
            ``architectures``.
        theirs: the parameters under Hugging Face's names (``classifier.*`` for the heads of tasks); variables that are
            no part of a BERT under their own.
        skipped: variables left out: of an optimizer, or no part of a BERT and of a kind that is not read.
        index: the file that names the variables.
        vocab: the vocabulary.
    """

    settings: dict[str, Any]
    theirs: dict[str, Tensor]
    skipped: int
    index: Path
    vocab: Path


def is_google_folder(folder: Path) -> bool:
    """Whether the weights in a folder are a checkpoint of TensorFlow's."""
    there = any(folder.glob("*.index")) and any((folder / name).is_file() for name in (GOOGLE_CONFIG, STATE))
    return there and not any((folder / name).is_file() for name in FORMATS)


def read_google(folder: Path) -> GoogleCheckpoint:
    """Read a BERT from a checkpoint that google-research/bert, or a training with it, has written.

    Raises:
        InputError: a file is missing or damaged, a variable is missing or of another shape than the configuration
            says, or the checkpoint is of another kind of model.
    """
    index, file, vocab = _index(folder), folder / GOOGLE_CONFIG, folder / VOCABULARY
    for needed in (file, vocab):
        if not needed.is_file():
            raise InputError(
                f"{needed} is missing: copy it there from the pre-trained model that this checkpoint was made from"
            )
    settings = read_json(file)
    bundle = read_index(index)
    names = {variable: name for variable in bundle.entries if (name := from_google(variable))}
    _check_kind(bundle)
    _check_shapes(bundle, names, settings, file)
    others = {
        variable
        for variable, entry in bundle.entries.items()
        if variable not in names and entry.is_readable and not is_of_training(variable, bundle.entries)
    }
    tensors = bundle.tensors([*names, *sorted(others)])
    theirs = {
        names.get(variable, variable): as_the_other_side(variable, tensor) if variable in names else tensor
        for variable, tensor in tensors.items()
    }
    told = {"model_type": "bert", **settings, "architectures": [_architecture(names, settings)]}
    return GoogleCheckpoint(told, theirs, len(bundle.entries) - len(tensors), index, vocab)


def write_google(
    folder: Path,
    settings: Mapping[str, Any],
    theirs: Mapping[str, Tensor],
    vocabulary: Sequence[str],
    *,
    lowercase: bool | None,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write a folder that google-research/bert reads, under a temporary name, and rename it.

    What Google's configuration has no key for, as the names of labels, stands there after its own keys: Google's code
    keeps any key, and ``read_google`` reads them. Whether text is lowercased is said nowhere in that format; a
    ``tokenizer_config.json`` is added only where the vocabulary alone would be taken for the other kind.

    Args:
        folder: replaced if it exists.
        settings: the configuration in Hugging Face's keys.
        theirs: the parameters under Hugging Face's names, with ``classifier.*`` for the heads of tasks.
        vocabulary: the tokens in the order of their ids.
        lowercase: whether the tokenizer does so; None if that is not known.
        files: others that belong to it.

    Raises:
        InputError: a parameter has no place in this format.
    """
    if foreign := [name for name in theirs if not NAMES.is_known(name)]:
        raise InputError(f"{folder}: {foreign[0]!r} has no variable in Google's BERT, so it cannot be written")
    head = _noted(settings)
    variables = {to_google(name, head): tensor for name, tensor in theirs.items()}
    turned = {variable: as_the_other_side(variable, tensor) for variable, tensor in variables.items()}
    shape = asdict(_config(settings, folder / GOOGLE_CONFIG))
    whole = {"hidden_act": "gelu", **shape}
    whole = {**dict(sorted(whole.items())), **{key: value for key, value in settings.items() if key not in whole}}
    with whole_folder(folder) as beside:
        (beside / GOOGLE_CONFIG).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (beside / VOCABULARY).write_text("".join(f"{piece}\n" for piece in vocabulary), encoding="utf-8")
        if lowercase is not None and load_tokenizer(beside).normalizer.lowercase != lowercase:
            (beside / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}), encoding="utf-8")
        for name, content in (files or {}).items():
            (beside / name).write_bytes(content)
        write_bundle(beside, PREFIX, turned)


def _index(folder: Path) -> Path:
    """The index of the only checkpoint in a folder, or of the one that TensorFlow notes as the last."""
    found = sorted(folder.glob("*.index"))
    if len(found) == 1:
        return found[0]
    state = folder / STATE
    noted = re.search(r'^model_checkpoint_path: "(.*)"', state.read_text("utf-8"), re.M) if state.is_file() else None
    last = folder / f"{Path(noted[1]).name}.index" if noted else None
    if last in found:
        return last
    if not found:
        raise InputError(f"{folder} holds no index of a TensorFlow checkpoint, as {PREFIX}.index: copy it there")
    raise InputError(
        f"{folder} holds {len(found)} TensorFlow checkpoints ({', '.join(file.stem for file in found[:3])}"
        f"{', ...' if len(found) > 3 else ''}) and no file {STATE!r} that names the last: leave only one there"
    )


def _architecture(variables: Collection[str], settings: Mapping[str, Any]) -> str:
    """The class that has the heads which are there; the same head serves texts, words and choices."""
    noted, found = _noted(settings), head_in(variables)
    return BERT.class_of(noted if found == "sequence_classification" and noted in SAME_HEAD else found)


def _noted(settings: Mapping[str, Any]) -> Head | None:
    return BERT.head_of(str(next(iter(settings.get("architectures") or []), "")))


def _config(settings: Mapping[str, Any], file: Path) -> BertConfig:
    known = {field.name for field in fields(BertConfig)}
    try:
        return BertConfig(**{key: value for key, value in settings.items() if key in known})
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} describes no encoder: {error}") from error


def _check_kind(bundle: Bundle) -> None:
    """Whether a checkpoint is that of a BERT, saved variable by variable."""
    if FIRST in bundle.entries:
        return
    if any(name.endswith(OBJECTS) for name in bundle.entries):
        raise InputError(
            f"{bundle.index} is a checkpoint of TensorFlow 2's objects, which is not read: only those with the "
            f"variables of google-research/bert, as {FIRST!r}, are"
        )
    raise InputError(
        f"{bundle.index} is no checkpoint of a BERT: of its {len(bundle.entries):,} variables "
        f"({next(iter(bundle.entries), 'none')}, ...) none is {FIRST!r}"
    )


def _check_shapes(bundle: Bundle, names: Mapping[str, str], settings: Mapping[str, Any], file: Path) -> None:
    """Whether the variables are those of the shape that the configuration says."""
    with torch.device("meta"):
        theirs = NAMES.to_hugging_face(BertForPreTraining(_config(settings, file)).state_dict())
    for name, like in theirs.items():
        variable = to_google(name)
        entry = bundle.entries.get(variable)
        expected = tuple(as_the_other_side(variable, like).shape)
        if entry is None:
            if name.startswith(("bert.embeddings.", "bert.encoder.")):
                raise damaged(bundle.index, f"it has no {variable!r}, which a model as in {file.name} has")
        elif entry.shape != expected:
            raise InputError(
                f"{bundle.index}: {variable!r} has shape {entry.shape}, but {file.name} says {expected}; the two files "
                "do not belong together"
            )
    more = [variable for variable, name in names.items() if name not in theirs and name.startswith("bert.")]
    if more:
        raise InputError(
            f"{bundle.index} has {more[0]!r}, but {file.name} says num_hidden_layers="
            f"{settings.get('num_hidden_layers')}; the two files do not belong together"
        )
