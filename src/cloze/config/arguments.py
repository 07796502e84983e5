"""Parse the command line with Hydra's syntax, extended so that `key=value` can set any constructor argument.

The YAML states only deviations from the defaults in the constructors' signatures. To Hydra a key that no YAML states is
new, and it asks for `+key=value`; here `optimizer.eps=1e-8` is enough, because `cloze.config.validation` knows the
signatures and refuses what is in none.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloze.errors import InputError
from cloze.runtime.distribution import installation

FLAGS = {  # Hydra's, and whether a word follows
    "--help": False, "-h": False, "--hydra-help": False, "--version": False, "--multirun": False, "-m": False,
    "--cfg": True, "-c": True, "--resolve": False, "--run": False, "-r": False, "--info": False, "-i": False,
    "--config-dir": True, "-cd": True, "--config-name": True, "-cn": True, "--config-path": True, "-cp": True,
    "--package": True, "-p": True, "--experimental-rerun": True, "--shell-completion": False, "-sc": False,
}  # fmt: skip
PRINTING = ("--cfg", "-c")
AS_PRINTED = ("--resolve", "--package", "-p", "-m", "--multirun")
MULTIRUN = ("-m", "--multirun")
FOLDER_FLAGS = ("--config-dir", "-cd")  # Hydra's
CONTINUED = "continued"  # the option of what init=FOLDER decides
ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.DOTALL)


def conf_folder() -> Path:
    """The `conf/` that goes with this package: inside the installed wheel, else at the top of the repository."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise InputError(f"no conf/train.yaml next to {package}: the installation is incomplete: {installation()}")


def own_folders(words: Sequence[str]) -> list[Path]:
    """The folder of the user's own groups and options that the words of a command line name; of several the last."""
    named = [
        name if sign else behind
        for word, behind in itertools.pairwise([*words, ""])
        for flag, sign, name in [word.partition("=")]
        if flag in FOLDER_FLAGS
    ]
    return [folder for name in named[-1:] if name and (folder := Path(name).expanduser()).is_dir()]


def groups(*folders: Path) -> dict[str, list[str]]:
    """The groups below folders as `conf/`, but Hydra's own, and their options, both sorted; nested as `glue/sst2`."""
    found: dict[str, set[str]] = {}
    for folder in (group for conf in folders for group in conf.iterdir() if group.is_dir() and group.name != "hydra"):
        files = itertools.chain(folder.glob("*.yaml"), folder.glob("*/*.yaml"))  # not all of a large folder
        options = (str(file.relative_to(folder).with_suffix("")) for file in files)
        found.setdefault(folder.name, set()).update(options)
    return {group: sorted(options) for group, options in sorted(found.items()) if options}


def forced(words: Sequence[str], options: Mapping[str, Sequence[str]]) -> list[str]:
    """`key=value` becomes Hydra's `++key=value`, add or override; choices of a group and options stay as they are.

    >>> forced(["model=mini", "optimizer.eps=1e-8", "-m"], {"model": ["mini"], "optimizer": ["adamw"]})
    ['-m', 'model=mini', '++optimizer.eps=1e-8']

    `model=FOLDER` becomes the option `folder` with its value; `init=FOLDER` chooses the options that take the shape and
    the tokenizer from it, unless others are chosen.

    Raises:
        InputError: for a group without a choice.
    """
    flags, others = parted(words)
    result = [*flags]  # argparse takes no further values after an option that stands among them
    for word in others:
        match = ASSIGNMENT.fullmatch(word)
        if match is not None and _names_folder(match, options):
            result += ["model=folder", f"++model.folder={match['value']}"]
        elif match is not None and match["key"] == "init" and match["value"] not in ("", "null"):
            taken = [group for group in ("model", "tokenizer") if CONTINUED in options.get(group, ())]
            chosen = [f"{group}={CONTINUED}" for group in taken if not any(w.startswith(f"{group}=") for w in words)]
            result += [*chosen, f"++{word}"]
        elif match is None or match["key"].startswith("hydra."):
            result.append(word)
        elif match["key"] not in options:
            result.append(f"++{word}")
        elif match["value"] not in ("", "null"):
            result.append(word)
        elif match["key"] != "experiment":  # the one group that may be left out, and is by default
            raise InputError(f"'{word}' chooses nothing; valid here: {', '.join(options[match['key']])}")
    return result


def parted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of a command line, each with the word behind it where one belongs to it; and the other words.

    >>> parted(["seed=1", "--config-dir", "mine", "-m", "run=x"])
    (['--config-dir', 'mine', '-m'], ['seed=1', 'run=x'])
    """
    flags: list[str] = []
    others: list[str] = []
    takes = False
    for word in words:
        is_flag = takes or (word.startswith("-") and word != "-")
        (flags if is_flag else others).append(word)
        takes = not takes and FLAGS.get(word, False)
    return flags, others


def without_printing(words: Sequence[str]) -> list[str]:
    """The words without those that have Hydra print the configuration, and how.

    >>> without_printing(["--cfg", "job", "--resolve", "--config-dir", "mine", "seed=1"])
    ['--config-dir', 'mine', 'seed=1']
    """
    if not any(word.partition("=")[0] in PRINTING for word in words):
        return [*words]
    kept, takes = [], False
    for word in words:
        flag, sign, _ = word.partition("=")
        if flag in {*PRINTING, *AS_PRINTED}:
            takes = FLAGS[flag] and not sign
        elif not takes:
            kept.append(word)
        else:
            takes = False
    return kept


def _names_folder(word: re.Match[str], options: Mapping[str, Sequence[str]]) -> bool:
    """Whether a word is `model=FOLDER`: what is no size and looks like a path or a hub name, or several with commas."""
    if word["key"] != "model" or "folder" not in options.get("model", ()):
        return False
    whole = Path(word["value"]).expanduser().is_dir()  # with commas in its name
    values = [word["value"]] if whole else word["value"].split(",")
    return all(value not in options["model"] and looks_like_folder(value) for value in values)


def looks_like_folder(value: str) -> bool:
    """Whether a value of `model` is a folder or a name on the hub instead of a size."""
    return "/" in value or value.startswith("hub:") or Path(value).is_dir()
