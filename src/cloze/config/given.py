"""The command of a run, or of a job in a sweep, quoted for the shell so that it can be repeated."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from cloze.config.arguments import CONTINUED, FOLDER_FLAGS, own_folders

PACKAGE = Path(__file__).resolve().parents[1]
_COMMAND: list[str] = []


def remember(words: Sequence[str]) -> None:
    """Note the command of this process, which a launcher may have started otherwise: its program and its words."""
    _COMMAND[:] = words


def remembered() -> list[str]:
    """The words of the command; nothing where the package is used without one."""
    return list(_COMMAND)


def program(file: str) -> list[str]:
    """How a shell starts the program again.

    Args:
        file: `sys.argv[0]`.
    """
    path = Path(file)
    if path.suffix != ".py":
        found = shutil.which(path.name)
        return [path.name if found and Path(found).resolve() == path.resolve() else file]
    if path.resolve().is_relative_to(PACKAGE):
        return ["python", "-m", ".".join(["cloze", *path.resolve().relative_to(PACKAGE).with_suffix("").parts])]
    return ["python", file]


def folder_flag(typed: Sequence[str]) -> list[str]:
    """The option that names the user's own groups, as Hydra takes it."""
    return [word for folder in own_folders(typed) for word in (FOLDER_FLAGS[0], str(folder))]


def words_of_job(overrides: Sequence[str], typed: Sequence[str]) -> list[str]:
    """The words that run one job of a sweep alone.

    Args:
        overrides: of the job, as Hydra hands them to it.
        typed: the words of the sweep.

    >>> words_of_job(["model=folder", "++model.folder=runs/a/model", "++seed=2"], ["-m", "seed=1,2"])
    ['model=runs/a/model', 'seed=2']
    """
    chosen = {word.partition("=")[0] for word in typed}
    words = []
    for word in overrides:
        key, sign, value = word.removeprefix("++").partition("=")
        if value == CONTINUED and key not in chosen:  # init=FOLDER chooses it again
            continue
        if word == "model=folder" and any(other.startswith("++model.folder=") for other in overrides):
            continue
        is_folder = key == "model.folder" and key not in chosen
        words.append(f"{'model' if is_folder else key}{sign}{value}")
    return [*folder_flag(typed), *words]
