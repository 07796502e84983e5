"""Models of the Hugging Face hub as local folders, in the hub's own cache."""

import re
from pathlib import Path

from cloze.checkpoint.weights import CONFIG, FORMATS
from cloze.errors import InputError
from cloze.runtime.distribution import installation
from cloze.text.tokenizer_files import FILES

PREFIX = "hub:"
NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
SMALL_FILES = (CONFIG, "bert_config.json", *FILES, "cloze.json")
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors", "head.safetensors")
OTHER_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin", "*.ckpt*")
"""Older ones, asked for only where the repository has no safetensors."""


def local_folder(model: Path | str) -> Path:
    """The folder of a model: the very one that is given, or for a name of the hub the one that it was downloaded to.

    Args:
        model: a folder, ``hub:NAME``, or ``OWNER/NAME`` where there is neither such a folder nor a folder OWNER that
            could have held it. ``@REVISION`` behind the name takes a branch, a tag or a commit.

    Raises:
        InputError: there is no such model, or it cannot be downloaded.
    """
    name = str(model)
    if name.startswith(PREFIX):
        return _downloaded(name.removeprefix(PREFIX))
    folder = Path(model)
    if NAME.fullmatch(name) and not folder.exists() and not folder.parent.exists():
        return _downloaded(name)
    return folder


def _downloaded(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise InputError(
            f"{name} is no folder, and models of the hub need another package: {installation('hub')}"
        ) from error
    repository, _, revision = name.partition("@")

    def fetch(*patterns: str) -> Path:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(patterns)))

    try:
        folder = fetch(*SMALL_FILES, *SAFETENSORS)
        if not any((folder / weights).is_file() for weights in FORMATS):
            folder = fetch(*SMALL_FILES, *OTHER_WEIGHTS)
    except GatedRepoError as error:
        raise InputError(f"{name}: the hub gives this model to registered users only: run `hf auth login`") from error
    except RevisionNotFoundError as error:
        raise InputError(f"{name}: the hub has this model, but no revision {revision!r}") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(f"{name} is neither a folder nor a model of the hub: fix the name") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise InputError(
            f"{name} is no folder, and as a model of the hub it is not in this machine's cache and cannot be "
            "downloaded now: go online, or give the folder of a model"
        ) from error
    return folder
