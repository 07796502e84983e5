"""A prepared corpus as training reads it: its manifest, its tokenizer, its shards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from cloze.data.cache import ShardCache
from cloze.data.pretraining.dataset import Order, Windows
from cloze.data.pretraining.objective import B
from cloze.errors import InputError
from cloze.files.remote import Location, RemotePath, location
from cloze.text.manifest import Manifest, ShardInfo
from cloze.text.tokenizer import read_tokenizer

DEFAULT_CACHE = Path("data/cache")
"""Where shards of a store are kept, from the working folder."""


@dataclass(kw_only=True)
class CorpusFolder:
    """One prepared corpus; what has been read of it is there after ``read``.

    Attributes:
        folder: where it lies.
        cache: of its shards on this machine; None reads them where they lie.
        manifest: what it holds.
        tokenizer: of its text.
        tokenizer_files: all of that.
    """

    folder: Location
    cache: ShardCache | None = None
    manifest: Manifest
    tokenizer: Tokenizer
    tokenizer_files: Mapping[str, bytes]

    @classmethod
    def read(cls, folder: Location, cache: ShardCache | None, at_once: int) -> "CorpusFolder":
        """Read the manifest and the tokenizer.

        Args:
            folder: of the corpus.
            cache: see ``cache_for``.
            at_once: how many shards are in use together.

        Raises:
            InputError: the folder is not a prepared corpus, or its parts do not belong together.
        """
        manifest = Manifest.load(folder)
        if cache is not None:
            cache.check((*manifest.train, *manifest.heldout), at_once)
        tokenizer, files = read_tokenizer(folder / "tokenizer")
        manifest.check_tokenizer(tokenizer, name=str(folder / "tokenizer"), folder=folder)
        return cls(folder=folder, cache=cache, manifest=manifest, tokenizer=tokenizer, tokenizer_files=files)

    @property
    def train_tokens(self) -> int:
        """Of the text to train on."""
        return sum(info.tokens for info in self.manifest.train)

    def check_documents(self, at_once: int, *, heldout: bool) -> None:
        """Refuse a corpus without random next sentences.

        Args:
            at_once: how many shards are read together.
            heldout: of the held-out text, else of that to train on.

        Raises:
            InputError: no two documents are read together.
        """
        used = self.manifest.heldout if heldout else self.manifest.train
        if sum(sorted(info.documents for info in used)[-at_once:]) < 2:
            raise InputError(
                f"{self.folder}: no two documents are read together, so there is no random next sentence; "
                "check how documents are separated, or use objective=mlm or objective=mlm_sop"
            )

    def windows(self, order: Order[B], *, heldout: bool = False) -> Windows[B]:
        """Its shards in an order that says all but which they are."""
        infos = self.manifest.heldout if heldout else self.manifest.train
        return Windows(replace(order, shards=self.paths(infos)), self.cache, infos)

    def paths(self, shards: Sequence[ShardInfo]) -> tuple[Location, ...]:
        """Where shards lie."""
        return tuple(self.folder / info.file for info in shards)


def cache_for(folder: Location, cache: str | Path | None, gigabytes: float) -> ShardCache | None:
    """Copies of the shards on this machine; None where they are read where they lie.

    Args:
        folder: of the corpus.
        cache: the folder of the copies; None for one where the corpus lies in a store, else none.
        gigabytes: what the copies may take.
    """
    if cache is None and isinstance(folder, RemotePath):
        cache = DEFAULT_CACHE
    return None if cache is None else ShardCache(folder, Path(cache).absolute(), gigabytes)


def check_alike(corpora: Sequence[CorpusFolder]) -> None:
    """Compare the corpora of a mixture.

    Raises:
        InputError: they have other tokenizers, only some have words of a segmenter, or one has no text to train on.
    """
    first = corpora[0]
    for other in corpora[1:]:
        first.manifest.check_tokenizer(other.tokenizer, name=f"{other.folder}", folder=first.folder)
        words = [one.manifest.config.get("words") for one in (first, other)]
        if words[0] != words[1]:
            raise InputError(
                f"corpus.parts: {first.folder} and {other.folder} were prepared with preparation.words="
                f"{words[0] or 'tokenizer'} and {words[1] or 'tokenizer'}: prepare both in one way"
            )
    if len(corpora) > 1 and (empty := next((one for one in corpora if not one.train_tokens), None)):
        raise InputError(f"corpus.parts: all text of {empty.folder} is held out: leave it out, or prepare it otherwise")


def together(corpora: Sequence[CorpusFolder]) -> Manifest:
    """What a mixture holds in all; of one corpus its own manifest."""
    first, *others = (one.manifest for one in corpora)
    if not others:
        return first
    found: dict[str, Any] = {"parts": [str(one.folder) for one in corpora], "words": first.config.get("words")}
    return replace(
        first,
        config=found,
        source={},
        unigram_entropy=None,
        train=sum((one.manifest.train for one in corpora), ()),
        heldout=sum((one.manifest.heldout for one in corpora), ()),
    )


def folders(folder: str | Path, mixed: Sequence[str] | None) -> tuple[Location, ...]:
    """Of the corpora: one, or those of a mixture."""
    return tuple(location(one) for one in mixed or (folder,))
