"""`cloze.json` in a model folder: how the model was made, and settings without a key in `config.json`.

Data only: dotted names and plain values. Nothing is imported or called here; `cloze.inference.rebuild` makes
objects of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloze.checkpoint.weights import CONFIG, damaged, read_json
from cloze.errors import InputError
from cloze.files import layout
from cloze.files.bounded import parse_yaml, read_text
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import SUFFIXES, Head, architecture_of
from cloze.runtime.moved import present_path

RECORD = "cloze.json"
HEAD = "head.safetensors"
"""Next to an encoder, under our names: the heads that no class of Hugging Face's has."""
VERSION = 1
MAX_DEPTH = 16
"""Of lists and mappings in the arguments of a class."""

OWN_HEADS: tuple[Head, ...] = ("embedding",)
"""That no architecture has a class for in Hugging Face."""

TASK_STATE, TASK_CLASSES, TASK_FEATURES = EARLIER = ("task_state", "task_classes", "task_features")
"""Keys of ``config.json`` in which earlier versions kept this."""

LONG = ("truncate", "head_tail", "windows")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A class and what an object of it was made with.

    Attributes:
        target: the import path of the class; None for cloze's own class of the architecture.
        arguments: plain values by their names; None where they are not recorded.
    """

    target: str | None = None
    arguments: Mapping[str, Any] | None = None

    @classmethod
    def by(cls, target: str, arguments: Mapping[str, Any] | None) -> "Made":
        """With the arguments where they can be recorded."""
        return cls(target=target, arguments=arguments if _is_plain(arguments) else None)

    def as_json(self) -> dict[str, Any] | None:
        """As `cloze.json` has it."""
        if self.target is None and self.arguments is None:
            return None
        arguments = {} if self.arguments is None else {"arguments": dict(self.arguments)}
        return {"class": self.target, **arguments}


@dataclass(frozen=True, kw_only=True)
class OwnHead:
    """What a head means that no class of Hugging Face's has; its parameters are in ``head.safetensors``."""

    name: Head
    labels: list[str]
    problem_type: str | None
    adaptation: Adaptation


@dataclass(frozen=True, kw_only=True)
class Record:
    """What `cloze.json` says.

    Attributes:
        module: the LightningModule.
        features: of a task, from examples to what the model sees.
        objective: of pre-training, from sequences to what the model sees.
        state: what training has found besides the parameters, as a threshold.
        head: where Hugging Face has no class for it.
        is_known: whether the classes are known; they are not where the folder is older than their record.
    """

    module: Made = field(default_factory=Made)
    features: Made = field(default_factory=Made)
    objective: Made = field(default_factory=Made)
    state: Mapping[str, float] = field(default_factory=dict)
    head: OwnHead | None = None
    is_known: bool = True

    @property
    def without_pairs(self) -> bool:
        """Whether the model was pre-trained on single texts, none of which follows another."""
        return (self.objective.arguments or {}).get("pairs") == "none"

    def as_json(self) -> dict[str, Any]:
        """As `cloze.json` has it."""
        content: dict[str, Any] = {"version": VERSION}
        if self.is_known:
            content |= {"module": self.module.as_json(), "features": self.features.as_json()}
        if objective := self.objective.as_json():
            content["objective"] = objective
        if self.state:
            content["state"] = dict(self.state)
        if self.head is not None:
            head = self.head
            content["head"] = {
                "architecture": head.name,
                "labels": list(head.labels),
                "problem_type": head.problem_type,
                "adaptation": head.adaptation.reading(),
            }
        return content

    def as_bytes(self) -> bytes:
        """The file."""
        return (json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n").encode()


def import_path(kind: Any) -> str:
    """``cloze.tasks.classification.Classification``."""
    return f"{kind.__module__}.{kind.__qualname__}"


def read_record(folder: Path, settings: Mapping[str, Any]) -> Record:
    """What a model folder says of itself, in whichever file.

    Args:
        folder: of the model.
        settings: of its ``config.json``, where earlier versions kept a part of it.

    Raises:
        InputError: the file is damaged, of a later version, or holds what is no plain data.
    """
    file = folder / RECORD
    if not file.is_file():
        return _earlier(settings, folder)
    content = read_json(file)
    if "version" not in content and "architecture" in content:
        return replace(_earlier(settings, folder), head=_head(content, file))
    return record_of(content, file)


def record_of(content: Mapping[str, Any], file: Path) -> Record:
    """From the value of `cloze.json`.

    Raises:
        InputError: as `read_record`.
    """
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise InputError(f"{file}: version is {version!r:.20}, but this cloze reads {VERSION}: get a newer cloze")
    head = content.get("head")
    if head is not None and not isinstance(head, dict):
        raise damaged(file, "head is not a section")
    return Record(
        module=_made(content, "module", file),
        features=_made(content, "features", file),
        objective=_made(content, "objective", file),
        state=_state(content.get("state") or {}, "state", file),
        head=None if head is None else _head(head, file),
        is_known="module" in content and "features" in content,
    )


def _made(content: Mapping[str, Any], key: str, file: Path) -> Made:
    found = content.get(key)
    if found is None:
        return Made()
    if not isinstance(found, dict):
        raise damaged(file, f"{key} is not a section")
    target, arguments = found.get("class"), found.get("arguments")
    if not isinstance(target, str | None):
        raise damaged(file, f"class of {key} is {target!r:.40}, but must be the import path of a class")
    if not isinstance(arguments, dict | None) or not _is_plain(arguments):
        raise damaged(file, f"arguments of {key} must be plain values by their names, without a class in them")
    return Made(target=target, arguments=arguments)


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether there are only values of JSON, no deep ones, and no name that Hydra would act on."""
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        return False
    if isinstance(value, dict):
        names_are = all(isinstance(name, str) and not name.startswith("_") for name in value)
        return names_are and all(_is_plain(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item, depth + 1) for item in value)
    return value is None or isinstance(value, bool | str) or is_number(value)


def is_number(value: object) -> bool:
    """Whether it is a finite number that a parameter may have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e38 < value < 1e38


def _state(found: Any, key: str, file: Path) -> dict[str, float]:
    if not isinstance(found, dict) or not all(map(is_number, found.values())):
        raise InputError(f"{file}: {key} is {found!r:.60}, but must be numbers by their names")
    return found


def head_named(name: object) -> Head:
    """The head with a name in a file; earlier versions used the name of BERT's class for every architecture.

    Raises:
        ValueError: there is none.
    """
    head = architecture_of("bert").head_of(str(name)) or next(
        (head for head in (*SUFFIXES, *OWN_HEADS) if head == name), None
    )
    if head is None:
        raise ValueError(f"there is no head {name!r:.60}")
    return head


def _head(content: Mapping[str, Any], file: Path) -> OwnHead:
    try:
        adaptation = Adaptation(**content["adaptation"])
        labels, problem_type = content["labels"], content["problem_type"]
        if not all(isinstance(text, str) for text in (problem_type or "", *labels)):
            raise TypeError("a name is not text")
        name = head_named(content["architecture"])
        head = OwnHead(adaptation=adaptation, name=name, labels=labels, problem_type=problem_type)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file, error) from error
    return head


def earlier_record(settings: Mapping[str, Any], file: Path, *, is_known: bool = True) -> Record:
    """From the keys of earlier versions, which recorded no arguments.

    Args:
        settings: of ``config.json``, or the values of a checkpoint.
        file: they are from.
        is_known: whether a file without the classes is one of cloze's own classes.

    Raises:
        InputError: a value is of another kind.
    """
    state, classes, shown = (settings.get(key) for key in EARLIER)
    if classes is not None and not (
        isinstance(classes, dict) and all(isinstance(path, str) for path in classes.values())
    ):
        raise InputError(f"{file}: {TASK_CLASSES} is {classes!r}, but must be import paths by their names")
    kinds = {"long": str, "max_length": int}
    if shown:
        if not isinstance(shown, dict) or any(type(value) is not kinds.get(key) for key, value in shown.items()):
            raise InputError(
                f'{file}: {TASK_FEATURES} is {shown!r}, but must be like {{"long": "windows", "max_length": 128}}'
            )
        if (long := shown.get("long", LONG[0])) not in LONG:
            raise InputError(f"{file}: long of {TASK_FEATURES} is {long!r}, but must be one of {', '.join(LONG)}")
    module, features = (_present((classes or {}).get(part)) for part in ("module", "features"))
    return Record(
        module=Made(target=module),
        features=Made(target=features, arguments=shown or None),
        state=_state(state or {}, TASK_STATE, file),
        is_known=is_known or classes is not None,
    )


def _present(path: str | None) -> str | None:
    return None if path is None else present_path(path)


def _earlier(settings: Mapping[str, Any], folder: Path) -> Record:
    """From ``config.json``; which classes it was, where it does not say, from the run that the folder lies in."""
    # No library but ours writes the one without the other.
    is_foreign = "transformers_version" in settings or "dtype" not in settings
    record = earlier_record(settings, folder / CONFIG, is_known=is_foreign)
    if record.is_known:
        return record
    try:
        task = parse_yaml(read_text(folder.parent / layout.CONFIG))["task"]
        module, features = (_present(str(task[name]["_target_"])) for name in ("module", "features"))
    except (OSError, ValueError, TypeError, LookupError):
        return record
    features_made = replace(record.features, target=features)
    return replace(record, module=Made(target=module), features=features_made, is_known=True)
