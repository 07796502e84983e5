"""The manifest of a prepared corpus: its contents, its inputs, and its files."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from tokenizers import Tokenizer

from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.partial_output import differences
from cloze.files.remote import Location
from cloze.text.shards import FORMAT
from cloze.text.tokenizer import load_tokenizer, tokenizer_sha256, vocabulary

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """A shard of the folder, its counts, and what tells whether a copy of it is whole.

    Manifests of earlier versions have no the size and the checksum; their folders are read where they lie.
    """

    file: str
    documents: int
    sentences: int
    tokens: int
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What makes a folder a prepared corpus; it is written last, so that a folder without it is unfinished."""

    tokenizer_sha256: str
    vocab_size: int
    config_sha256: str
    config: dict[str, Any]
    source: dict[str, Any]
    train: tuple[ShardInfo, ...]
    heldout: tuple[ShardInfo, ...]
    unigram_entropy: float | None
    """Entropy of the training tokens' frequencies, in nats: the loss of a model that knows only those; None where
    corpora are mixed."""

    @classmethod
    def load(cls, folder: Location) -> Self:
        """Reads the manifest of `folder`.

        Raises:
            InputError: there is none, it is not valid, or it is of another version.
        """
        path = folder / MANIFEST
        try:
            content = read_json(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"{folder}: not a prepared corpus (no {MANIFEST}); run cloze-prepare first") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); prepare the corpus again") from error
        version = content.pop("format", None) if isinstance(content, dict) else None
        if version != FORMAT:
            raise InputError(f"{path}: expected version {FORMAT}, found {version}; prepare the corpus again")
        try:
            train, heldout = (tuple(ShardInfo(**info) for info in content.pop(part)) for part in ("train", "heldout"))
            words = content["config"].get("tokenizer") or {}
            if "max_input_chars_per_word" not in words and words.get("alphabet_size") == 1000:
                words["alphabet_size"] = None  # of earlier versions, where this was the default
            return cls(**content, train=train, heldout=heldout)
        except (AttributeError, TypeError, KeyError) as error:
            raise InputError(f"{path}: not a valid manifest ({error}); prepare the corpus again") from error

    def save(self, folder: Location) -> None:
        """Writes the manifest into `folder`, atomically."""
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)
        write_atomically(folder / MANIFEST, content.encode())

    def check_tokenizer(self, tokenizer: Tokenizer, *, name: str, folder: Location) -> None:
        """Refuses a tokenizer that would give other ids than the one that prepared `folder`.

        Raises:
            InputError: names what differs: the size, the first differing token, or the normalisation.
        """
        if tokenizer_sha256(tokenizer) == self.tokenizer_sha256:
            return
        raise InputError(
            f"{folder} was prepared with another tokenizer than {name}: {self._difference(tokenizer, folder)}; "
            f"use {folder / 'tokenizer'}, or prepare the corpus with this tokenizer into another folder"
        )

    def _difference(self, tokenizer: Tokenizer, folder: Location) -> str:
        size = tokenizer.get_vocab_size()
        if size != self.vocab_size:
            return f"{self.vocab_size} tokens there, {size} here"
        own = load_tokenizer(folder / "tokenizer")
        for index, (there, here) in enumerate(zip(vocabulary(own), vocabulary(tokenizer), strict=True)):
            if there != here:
                return f"token {index} is {there!r} there, {here!r} here"
        return "the same vocabulary, another normalisation (lowercase, accents or Chinese characters)"


class Prepared(NamedTuple):
    """What decides a prepared corpus.

    Attributes:
        config: of the preparation, as JSON.
        source: fingerprint of the input; None where it is not at hand.
    """

    config: Mapping[str, Any]
    source: Mapping[str, Any] | None

    def identity(self) -> dict[str, Any]:
        """As JSON, without the paths of the files where their content is known.

        What is null is left out, so that a key that is new in a later version changes nothing.
        """
        source, config = _placeless(self.source or {}), dict(self.config)
        if "files" not in source:
            config["source"] = {key: value for key, value in config["source"].items() if key != "files"}
        if "heldout" in source:
            source["heldout"] = _placeless(source["heldout"])
            del config["heldout_files"]
        found: dict[str, Any] = _stated({"config": config, "input": source})
        return found


def _placeless(source: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key != "files" or "content" not in source}


def _stated(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _stated(item) for key, item in value.items() if item is not None}
    return [_stated(item) for item in value] if isinstance(value, list | tuple) else value


def changed_preparation(before: Prepared, now: Prepared, *, vocabulary: bool = True) -> list[str]:
    """In what a corpus differs from what is asked for; files that were only moved or touched are no difference.

    Args:
        before: of the corpus.
        now: what is asked for; without its input the configuration alone decides.
        vocabulary: whether the settings of the tokenizer count.
    """
    if not vocabulary:
        before, now = (one._replace(config={**one.config, "tokenizer": None}) for one in (before, now))
    if now.source is None:
        return differences(before.config, now.config)
    there, here = before.source or {}, now.source
    comparable = "content" in there and "content" in here  # what an earlier version prepared has none
    if comparable and before.identity() == now.identity():
        return []
    changed = differences(there, here, "input ")
    told = [change for change in changed if not change.startswith("input content")]
    return differences(before.config, now.config) + (told or (changed if comparable else []))


DATA = Path("data")
"""The folder of prepared corpora that no folder was named for, from the working folder."""
HASH_DIGITS = 8


def sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
