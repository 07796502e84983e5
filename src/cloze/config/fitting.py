"""Which options of a group a command accepts; all commands share one folder of options."""

import re
from collections.abc import Iterator

from cloze.config.arguments import CONTINUED
from cloze.config.keys import join
from cloze.config.nodes import HYDRA_KEYS
from cloze.config.outline import Outline
from cloze.config.stated import defaults, read, values
from cloze.errors import InputError

GLOBAL = "# @package _global_"
REFERENCE = re.compile(r"\$\{(?P<key>\w+(?:\.\w+)*)\}")


def fitting(found: Outline, group: str) -> list[str]:
    """The options of a group that the command can take."""
    return [option for option in found.options.get(group, ()) if _fits(found, group, option)]


def _fits(found: Outline, group: str, option: str) -> bool:
    try:
        return not misfit(found, group, option)
    except InputError:  # a file of the user's that is no YAML: reported when it is chosen
        return False


def misfit(found: Outline, group: str, option: str) -> str:
    """What the command lacks for an option, as the end of a sentence on it; nothing where the option fits.

    Args:
        found: the outline of the command.
        group: of its groups.
        option: of the group.
    """
    if option == CONTINUED:
        return "init=FOLDER chooses it by itself" if "init" in found.schema.arguments else _lacks(found, "init")
    if group == "model" and option == "folder":
        folder = found.default.get("model") == "folder"
        return "" if folder else f"cloze-{found.name} takes a size; init=FOLDER starts from a model"
    if group == "model" and "tokenizer" not in found.groups:
        return f"cloze-{found.name} needs a trained model: give model=FOLDER"
    if (
        group == "callbacks" and option == "default" and "corpus" not in found.groups
    ):  # predict the masked tokens of its sentences
        return _lacks(found, "corpus")
    if group == "experiment":
        return next(_of_experiment(found.plain or found, option), "")
    file = found.file(group, option)
    if file is None:
        return ""
    text = read(file)
    if group == "hardware" and "model" in found.groups and "trainer" not in found.schema.arguments:
        stated = {key: value.text for key, value in values(text)}
        if "strategy" in stated or "launcher" in stated:
            return f"cloze-{found.name} works on one device"
    keys = (key for key in REFERENCE.findall(text) if key.partition(".")[0] not in found.groups)
    return next((_lacks(found, unknown) for key in keys if (unknown := unknown_part(found, key))), "")


def _of_experiment(found: Outline, option: str) -> Iterator[str]:
    for text in found.experiments(option):
        if GLOBAL not in text.partition("\ndefaults:")[0].splitlines():
            yield f"the first line of its file must be '{GLOBAL}'"
        for group, _, _ in defaults(text):
            if group is not None and group not in found.groups:
                yield _lacks(found, group)
        for key, _ in values(text):
            if key.partition(".")[0] not in {"hydra", *found.groups} and (unknown := unknown_part(found, key)):
                yield _lacks(found, unknown)  # what stands below a group follows from the option that is chosen


def unknown_part(found: Outline, key: str) -> str:
    """The beginning of a dotted key that no signature and no file has; nothing where the key may be set."""
    section = ""
    for name in key.split("."):
        signature = found.signature(section)
        if signature is None:
            return ""
        whole = join(section, name)
        if not signature.takes(name) and name not in HYDRA_KEYS and whole not in {*found.stated, *found.groups}:
            return whole
        section = whole
    return ""


def _lacks(found: Outline, name: str) -> str:
    return f"cloze-{found.name} has no '{name}'"
