"""From a node of the checked configuration to the object that it describes."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from cloze.errors import InputError


def build(section: Mapping[str, Any], name: str, **arguments: Any) -> Any:
    """The object that a node with `_target_` describes, with plain containers inside.

    Args:
        section: holds the node.
        name: of the node in it.
        arguments: what only the program knows; for a node with `_partial_`.

    Raises:
        InputError: a constructor refuses a value.
    """
    try:
        built = instantiate(section[name], _convert_="all")
        return built(**arguments) if arguments else built
    except (InstantiationException, ValueError, TypeError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, ValueError):
            raise InputError(f"{name}: {cause}") from error
        raise
