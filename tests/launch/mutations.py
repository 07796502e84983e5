"""Every part of a checkpoint made wrong in turn, and held against a run that could be resumed from it."""

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cloze.checkpoint.saves import PARTS, read_checkpoint
from cloze.launch.checking import checkpoint_fault

Place = tuple[Any, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Of all parts in a nesting of containers."""
    if place:
        yield place
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*place, key))


def changed(content: Any, place: Place, change: Callable[[Any], Any] | None) -> Any:
    """The same containers with one part that is another, or is gone."""
    key, *rest = place
    content = copy.copy(content)
    if rest:
        content[key] = changed(content[key], tuple(rest), change)
    elif change is None:
        del content[key]
    else:
        content[key] = change(content[key])
    return content


def wrong(value: Any) -> list[Callable[[Any], Any] | None]:
    """Ways to make a part wrong: of another type, of another size, with numbers that cannot be, or gone."""
    ways: list[Callable[[Any], Any] | None] = [None, lambda _: object]
    if not isinstance(value, dict):
        ways.append(lambda _: {"odd": 1})
    if not isinstance(value, list | tuple):
        ways.append(lambda _: [1, 2, 3])
    if isinstance(value, dict | list) and value:
        ways.append(lambda part: type(part)())
    if isinstance(value, dict):
        ways.append(lambda part: {**part, "odd": 1})
    if isinstance(value, list) and value:
        ways += [lambda part: part[:-1], lambda part: [*part, part[0]]]
    if isinstance(value, Tensor):
        ways += [
            lambda part: torch.cat([part.flatten(), part.flatten()]),
            lambda part: part.flatten()[:-1],
            lambda part: part * float("nan"),
            lambda part: part.long(),
            lambda part: part.to(torch.complex64),
            lambda part: part.reshape(1, *part.shape).to_sparse(),
            lambda part: part.tolist(),
        ]
    if isinstance(value, int) and not isinstance(value, bool):
        ways += [lambda _: -3, lambda _: 0.5, str]
    if isinstance(value, str):
        ways += [lambda _: 7]
    return ways


def is_free(place: Place, content: dict[str, Any]) -> bool:
    """Whether nothing is believed of what stands there."""
    if place[0] not in (*PARTS, "callbacks", "lr_schedulers", "since_last_row", "model_folder", "configuration"):
        return True
    if place[0] == "configuration":  # is told, and decides nothing
        return True
    if place[0] == "model_folder" and place[1:2] != ():
        return True  # compared as a whole: see the places of the model themselves
    if "param_groups" in place and place[-1] not in ("params", "param_groups"):  # settings, but for these
        return True
    value: Any = content
    for key in place:
        value = value[key]
    names = ("since_last_row", "optimizer"), ("callbacks", "SampleFillings", "rows")
    if place == ("callbacks",):
        return True  # others than those that are here
    if any(place[: len(name)] == name for name in names):
        return True  # what was to be logged
    return value is None or (isinstance(value, dict | list) and not value) or "lr_lambdas" in place


class Mutations(pl.Callback):
    """Makes every part of a checkpoint wrong in some ways, and tells what a run that begins would have taken.

    Args:
        file: the checkpoint, of a run like this one.
        seed: of the way in which each part is made wrong.
    """

    def __init__(self, *, file: str, seed: int = 1) -> None:
        self.file, self.seed = Path(file), seed

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        content, data, numbers = read_checkpoint(self.file), trainer.datamodule, random.Random(self.seed)  # type: ignore[attr-defined]
        assert (found := checkpoint_fault(content, trainer, pl_module, data)) is None, found  # type: ignore[arg-type]
        tried = 0
        for place in places(content):
            value: Any = content
            for key in place:
                value = value[key]
            for way in numbers.sample(wrong(value), 1):
                mutant = changed(content, place, way)
                if not all(isinstance(mutant.get(name), kind) for name, kind in PARTS.items()):
                    continue  # not even read
                tried += 1
                fault = checkpoint_fault(mutant, trainer, pl_module, data)  # type: ignore[arg-type]
                if fault is None and not is_free(place, content):
                    print("passed:", ".".join(map(str, place)), None if way is None else way(value), flush=True)
        print("tried:", tried, flush=True)
