"""Where a prepared corpus lies: in the folder that holds what is asked for, else in one that is named after it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloze.errors import InputError
from cloze.text.journal import sha256
from cloze.text.manifest import MANIFEST, Manifest, Prepared, changed_preparation

DATA = Path("data")
"""The folder of prepared corpora that no folder was named for, from the working folder."""
HASH_DIGITS = 8


def folder_name(name: str, prepared: Prepared) -> str:
    """What the folder of a corpus is called that nobody has named."""
    return f"{name}-{sha256(prepared.identity())[:HASH_DIGITS]}"


def place(
    name: str,
    config: Mapping[str, Any],
    source: Mapping[str, Any] | None,
    *,
    parent: Path = DATA,
    check_tokenizer: Callable[[Path], None] | None = None,
) -> Path | None:
    """The folder of a corpus: ``NAME-HASH`` for a new one, with the hash of all that decides what is written.

    Args:
        name: of the corpus, with which the name of a new folder begins.
        config: of the preparation.
        source: fingerprint of the input; None where it is not at hand.
        parent: the folder of all of them.
        check_tokenizer: refuses a finished corpus for its tokenizer; None goes by the configuration of it.

    Returns:
        Of a finished corpus if there is one; else of the one to be prepared, and None where nothing can be.

    Raises:
        InputError: the input is not at hand, and there are several finished corpora of this configuration.
    """
    asked = Prepared(config, source)
    own = None if source is None else parent / folder_name(name, asked)
    found = []
    for folder in dict.fromkeys([*filter(None, [own]), *sorted(file.parent for file in parent.glob(f"*/{MANIFEST}"))]):
        try:
            manifest = Manifest.load(folder)
            before = Prepared(manifest.config, manifest.source)
            changed = changed_preparation(before, asked, vocabulary=check_tokenizer is None)
            if not changed and check_tokenizer is not None:
                check_tokenizer(folder)
        except InputError:  # none, damaged or of another version: not the one that is meant
            continue
        if not changed:
            found.append(folder)
    if source is None and len(found) > 1:
        names = ", ".join(map(str, found))
        raise InputError(
            f"the text is not at hand, and {names} were all prepared from such files: give one as corpus.prepared="
        )
    return found[0] if found else own
