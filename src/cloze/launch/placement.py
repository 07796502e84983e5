"""Find the corpus of a run: named by the user, used by the run before, or found by `cloze.text.manifest`."""

import re
from dataclasses import replace
from pathlib import Path

from cloze.config.schema import Pretraining as Config
from cloze.errors import InputError
from cloze.files.bounded import parse_yaml, read_text
from cloze.files.layout import CONFIG
from cloze.files.remote import location
from cloze.launch.continuation import Beginning
from cloze.launch.ranks import Ranks
from cloze.run.folder import holds_run, note
from cloze.text.manifest import HASH_DIGITS, MANIFEST, Manifest, Prepared, folder_name


def with_known_corpus(config: Config) -> Config:
    """The configuration with the folder of the corpus, as far as the user, the run or that of its checkpoint names it.

    Args:
        config: the root.
    """
    if config.corpus.parts:
        return config.with_(data=config.data.with_(folder=config.corpus.parts[0].prepared))
    stated = config.data.arguments.get("folder") or config.corpus.prepared
    folder, resume = Path(config.folder), config.resume
    if stated is None and holds_run(folder):
        stated = _recorded(folder)
    elif stated is None and resume not in ("auto", "never"):
        stated = _recorded(Path(resume).parent.parent)
    return config if stated is None else at_place(config, str(stated))


def with_corpus(config: Config, named: Config, start: Beginning | None, ranks: Ranks) -> Config:
    """The configuration with the folder of the corpus, whether or not it exists.

    Args:
        config: as the user gave it.
        named: of `with_known_corpus`.
        start: what continued pre-training begins with.
        ranks: of which the first one decides.

    Raises:
        InputError: nobody has named a folder, and no corpus is there nor can be prepared; or the run has had another.
    """
    known = named.data.arguments.get("folder")
    if config.corpus.parts:
        return named
    stated = config.data.arguments.get("folder") or config.corpus.prepared
    if stated is not None or (known is not None and (location(known) / MANIFEST).exists()):
        return named
    folder = ranks.decide("corpus", lambda: _place(config, start, known))
    assert folder is not None
    return at_place(named, str(folder))


def _place(config: Config, start: Beginning | None, known: str | None) -> Path:
    """The folder that holds the corpus, or is to hold it.

    Args:
        config: the root.
        start: what continued pre-training begins with.
        known: where the run had it, which is no longer there.
    """
    preparation, name = config.preparation.build(), config.corpus.name
    try:
        folder = preparation.place(name) if start is None else start.tokenizer.place(preparation, name)
    except InputError as error:
        if known is None:
            raise
        raise InputError(f"{known}, the corpus of this run, is gone and cannot be prepared again: {error}") from error
    prepared = (folder / MANIFEST).exists()
    if known is not None and start is None and _is_another(Path(known).name, folder, name):
        raise InputError(
            f"{known}, the corpus of this run, is gone, and the text that it was prepared from has changed: put the "
            "folder back, or begin another run=NAME"
        )
    note(f"the corpus is {'in' if prepared else 'prepared into'} {folder}")
    return folder


def _is_another(before: str, folder: Path, name: str) -> bool:
    """Whether a folder, where it was named after what is in it, had something else than this one."""
    if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{{HASH_DIGITS}}}", before) is None:
        return False
    if not (folder / MANIFEST).exists():
        return folder.name != before
    manifest = Manifest.load(folder)
    return folder_name(name, Prepared(manifest.config, manifest.source)) != before


def _recorded(run: Path) -> str | None:
    """The folder of the corpus in the configuration of a run; None where that tells none."""
    try:
        config = parse_yaml(read_text(run / CONFIG))
        return str(config["corpus"]["prepared"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def at_place(config: Config, folder: str) -> Config:
    """The configuration with the folder of the corpus."""
    return config.with_(corpus=replace(config.corpus, prepared=folder), data=config.data.with_(folder=folder))
