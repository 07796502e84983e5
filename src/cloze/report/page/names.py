"""Names of runs on a page: their folders, or the values that vary in a sweep."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloze.report.page.differences import differences
from cloze.report.page.run import Run

OWN = ("run", "folder")
"""Keys of a command that are every run's own."""


def named(runs: Sequence[Run]) -> list[Run]:
    """The runs, each with a name that no other one has.

    A sweep numbers its folders, which tells nobody anything: its runs are called by the words of the command in which
    they differ, as `lr=0.001, mask_rate=0.4`, after the name of the sweep where there are others next to it.
    """
    names = shortest([run.folder.resolve().parts for run in runs])
    sweeps: dict[Path, list[int]] = {}
    for place, run in enumerate(runs):
        if run.folder.resolve().name.isdigit():
            sweeps.setdefault(run.folder.resolve().parent, []).append(place)
    if len(runs) == 1 and sweeps:
        names = ["/".join(runs[0].folder.resolve().parts[-2:])]
    heads = dict(zip(sweeps, shortest([sweep.parts for sweep in sweeps]), strict=True))
    for sweep, places in sweeps.items():
        varied = _varied([runs[place] for place in places])
        for place, name in zip(places, varied, strict=True):
            if name:
                names[place] = name if len(places) == len(runs) else f"{heads[sweep]}: {name}"
    return [run._replace(name=name) for run, name in zip(runs, names, strict=True)]


def title_of(runs: Sequence[Run]) -> str:
    """Of their page."""
    if len(runs) == 1:
        return runs[0].name
    folders = [run.folder.resolve() for run in runs]
    one_sweep = len({folder.parent for folder in folders}) == 1 and all(folder.name.isdigit() for folder in folders)
    return f"{folders[0].parent.name}: {len(runs)} runs" if one_sweep else f"{len(runs)} runs"


def shortest(paths: Sequence[Sequence[str]]) -> list[str]:
    """The last parts of paths, as many as tell them apart."""
    names: list[str] = []
    for count in range(1, max(map(len, paths), default=0) + 1):
        names = ["/".join(path[-count:]) for path in paths]
        if len(set(names)) == len(set(map(tuple, paths))):
            break
    return names


def _varied(runs: Sequence[Run]) -> list[str]:
    """Of each run what tells it from the others, empty where nothing does."""
    commands = [_words(run.origin.get("command", "")) for run in runs]
    keys = list(dict.fromkeys(key for words in commands for key in words if key not in OWN))
    rows = {key: [words.get(key, "") for words in commands] for key in keys}
    tried = {key: values for key, values in rows.items() if len(set(values)) > 1}
    if not _tells_apart(tried, len(runs)):  # made by a program, or by hand
        tried = {entry.key: list(entry.values) for entry in differences(runs)}
    if not _tells_apart(tried, len(runs)):
        return [""] * len(runs)
    shown = {name: _short(values) for name, values in zip(_leaves(list(tried)), tried.values(), strict=True)}
    return [", ".join(f"{key}={values[place]}" for key, values in shown.items()) for place in range(len(runs))]


def _words(command: str) -> dict[str, str]:
    """The `key=value` of a command; `model=FOLDER` is recorded as `model=folder model.folder=FOLDER`."""
    try:
        words = shlex.split(command)
    except ValueError:
        return {}
    pairs = (word.lstrip("+~").partition("=") for word in words if "=" in word and not word.startswith("-"))
    found = {key: value for key, _, value in pairs}
    if found.get("model") == "folder" and "model.folder" in found:
        found["model"] = found.pop("model.folder")
    return found


def _tells_apart(tried: Mapping[str, Sequence[str]], count: int) -> bool:
    return len(set(zip(*tried.values(), strict=True))) == count if tried else False


def _leaves(keys: Sequence[str]) -> list[str]:
    """`optimizer.lr` as `lr` where no other key ends so."""
    ends = [key.rpartition(".")[2] for key in keys]
    return [end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)]


def _short(values: Sequence[str]) -> Sequence[str]:
    """Paths by their last parts."""
    return shortest([value.split("/") for value in values]) if any("/" in value for value in values) else values
