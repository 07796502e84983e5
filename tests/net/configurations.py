"""Every command's configuration as text: the default, and what each option of each group changes in it."""

import json
import keyword
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf

from cloze.cli.roots import SCHEMAS
from cloze.config.arguments import conf_folder, groups
from cloze.config.nodes import Node
from cloze.config.validation import check
from cloze.errors import InputError

EXPECTED = Path(__file__).parent / "expected"
CONTINUING = ("continue_modernbert", "retromae")
"""Recipes for a model to start from."""
REQUIRED = {
    "convert": ["++from=a", "++to=b"],
    "features": ["++output=vectors.npy"],
    "mine": ["++pairs=a.jsonl", "++output=c.jsonl"],
    "search": ["++index=x.parquet"],
    "corpus=text": ["++corpus.files=x"],
    "corpus=wikitext": ["++corpus.files=x"],
    "corpus=hub": ["++corpus.dataset=x"],
    "corpus=mixture": ["++corpus.parts=[{prepared: x}]"],
    "engine=dask": ["++engine.address=x"],
    "model=continued": ["++init=x"],
    "tokenizer=continued": ["++init=x", "model=continued"],
    **{f"experiment={name}": ["++init=x"] for name in CONTINUING},
}
"""Words without which a root or an option is not complete."""
OF_HYDRA = ("run", "sweep", "output_subdir", "callbacks", "sweeper.params", "job.chdir")
"""The settings of Hydra that conf/ decides."""

Flat = dict[str, Any]
"""Values by their dotted keys."""


def text_of(root: str) -> str:
    """The default configuration of a root, and the differences of each option from it: YAML, a key a line.

    ``composed`` is what ``--cfg job`` prints, without resolving anything, and what Hydra itself is told; ``checked`` is
    what else differs once interpolations are resolved and the configuration has passed the check. ``~key`` is gone.
    """
    environment = {name: value for name, value in os.environ.items() if name != "CLOZE_DATA"}
    with patch.dict(os.environ, environment, clear=True), initialize_config_dir(str(conf_folder()), version_base="1.3"):
        composed, checked = _composed_and_checked(root, REQUIRED.get(root, []))
        sections = {"default": (composed, _changed(checked, composed))}
        for option in _options(root):
            words = [*REQUIRED.get(root, []), option, *REQUIRED.get(option, [])]
            try:
                other, other_checked = _composed_and_checked(root, words)
            except ConfigCompositionException:  # a recipe for another root
                sections[option] = ({"refused": True}, {})
                continue
            changed = _changed(other, composed)
            sections[option] = (
                changed,
                {key: value for key, value in _changed(other_checked, checked).items() if changed.get(key) != value},
            )
    return "".join(_lines(sections))


def _options(root: str) -> Iterator[str]:
    """Each option of each group that the root has, as a word."""
    defaults = OmegaConf.select(OmegaConf.load(conf_folder() / f"{root}.yaml"), "defaults")
    own = {str(name) for item in defaults if isinstance(item, DictConfig) for name in item}
    for group, options in groups(conf_folder()).items():
        if group in own:
            yield from (f"{group}={option}" for option in options)


def _composed_and_checked(root: str, words: list[str]) -> tuple[Flat, Flat]:
    config = compose(root, words, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    settings = {f"hydra.{name}": OmegaConf.select(config, f"hydra.{name}") for name in OF_HYDRA}
    hydra = flat({key: _plain(value) for key, value in settings.items()})
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    try:
        checked = flat(
            _counterpart(resolved, check({str(key): value for key, value in resolved.items()}, SCHEMAS[root]))
        )
    except InputError:  # how that is told stands in the tests of bad input
        checked = {"refused": True}
    return {**flat(_plain(config)), **hydra}, {**checked, **hydra}


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value


def _counterpart(stated: Any, checked: Any) -> Any:
    """What the checked configuration has of the stated keys; its sections are objects, which have defaults besides."""
    if not isinstance(stated, Mapping):
        return checked
    if isinstance(checked, Node):
        checked = checked.plain
    if isinstance(checked, Mapping):
        return {key: _counterpart(value, checked[key]) for key, value in stated.items()}
    names = {key: f"{key}_" if keyword.iskeyword(key) else key for key in stated}
    return {key: _counterpart(value, getattr(checked, names[key])) for key, value in stated.items()}


def flat(value: Mapping[str, Any], place: str = "") -> Flat:
    """The values of nested sections by their dotted keys; an empty section is a value."""
    found: Flat = {}
    for name, part in value.items():
        found |= flat(part, f"{place}{name}.") if isinstance(part, Mapping) and part else {f"{place}{name}": part}
    return found


def _changed(one: Flat, other: Flat) -> Flat:
    """The values of one that the other does not have, and the keys that only the other has."""
    new = {key: value for key, value in one.items() if key not in other or _written(other[key]) != _written(value)}
    return new | {f"~{key}": None for key in other if key not in one}


def _lines(sections: Mapping[str, tuple[Flat, Flat]]) -> Iterator[str]:
    for name, parts in sections.items():
        yield f"{name}:\n"
        for title, values in zip(("composed", "checked"), parts, strict=True):
            if values:
                yield f"  {title}:\n"
                yield from (f"    {key}: {_written(_named(key, value))}\n" for key, value in values.items())


def _named(key: str, value: Any) -> Any:
    """A class of ours by its name alone: where it lies may change, and the check has found it."""
    is_ours = key.endswith("._target_") and isinstance(value, str) and value.startswith("cloze.")
    return value.rpartition(".")[2] if is_ours else value


def _written(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
