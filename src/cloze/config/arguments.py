"""The command line: words as Hydra takes them, except that a plain `key=value` may name any key of a constructor.

The YAML states only deviations from the defaults in the constructors' signatures. To Hydra a key that no YAML states is
new, and it asks for `+key=value`; here `optimizer.eps=1e-8` is enough, because `cloze.config.validation` knows the
signatures and refuses what is in none.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloze.distribution import installation
from cloze.errors import InputError

MULTIRUN = ("-m", "--multirun")
CONTINUED = "continued"  # the option of what init=FOLDER decides
ASSIGNMENT = re.compile(r"(?P<key>[A-Za-z_][\w.]*)=(?P<value>.*)", re.DOTALL)
SIGNS = re.compile(r"(?P<key>\+{0,2}([\w.]+\.)?(delimiter|separator))=(?P<signs>[^\w'\"\\]+)")


def conf_folder() -> Path:
    """The `conf/` that goes with this package: inside the installed wheel, else at the top of the repository."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise InputError(f"no conf/train.yaml beside {package}: the installation is incomplete: {installation()}")


def groups(conf: Path) -> dict[str, list[str]]:
    """The config groups below `conf` and the options of each, both sorted; nested options as `glue/sst2`."""
    return {
        folder.name: sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))
        for folder in sorted(conf.iterdir())
        if folder.is_dir()
    }


def with_signs(words: Sequence[str]) -> list[str]:
    """The words with quotes around what stands between cells or labels: there `;`, `,` and a blank are no grammar.

    >>> with_signs(["task.data.separator=;", "seed=1"])
    ["task.data.separator=';'", 'seed=1']
    """
    return [f"{match['key']}='{match['signs']}'" if (match := SIGNS.fullmatch(word)) else word for word in words]


def forced(words: Sequence[str], options: Mapping[str, Sequence[str]]) -> list[str]:
    """`key=value` becomes Hydra's `++key=value`, add or override; choices of a group and options stay as they are.

    >>> forced(["model=mini", "optimizer.eps=1e-8", "-m"], {"model": ["mini"], "optimizer": ["adamw"]})
    ['-m', 'model=mini', '++optimizer.eps=1e-8']

    `model=FOLDER` becomes the option `folder` with its value; `init=FOLDER` chooses the options that take the shape and
    the tokenizer from it, unless others are chosen.

    Raises:
        InputError: for a group without a choice.
    """
    # argparse takes no further values after an option that stands among them.
    result = [word for word in words if word in MULTIRUN]
    for word in words:
        if word in MULTIRUN:
            continue
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


def _names_folder(word: re.Match[str], options: Mapping[str, Sequence[str]]) -> bool:
    """Whether a word is `model=FOLDER`: what is no size and looks like a path or a hub name, or several with commas."""
    if word["key"] != "model" or "folder" not in options.get("model", ()):
        return False
    values = word["value"].split(",")
    return all(
        value not in options["model"] and ("/" in value or value.startswith("hub:") or Path(value).is_dir())
        for value in values
    )
