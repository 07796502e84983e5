"""The prepared corpora of a folder."""

from pathlib import Path
from typing import Any, NamedTuple

from cloze.errors import InputError
from cloze.text.journal import UNFINISHED
from cloze.text.manifest import MANIFEST, Manifest


class PreparedCorpus(NamedTuple):
    """What a prepared corpus is, for readers.

    Attributes:
        folder: where it lies.
        tokenizer: its kind and its number of tokens; of an unfinished or damaged corpus, that it is one.
        text: the files or the data set that it was made of.
        tokens: of training, as a number with commas.
        bytes: on the disk.
    """

    folder: Path
    tokenizer: str
    text: str
    tokens: str
    bytes: int


def corpora(folder: Path) -> list[PreparedCorpus]:
    """The corpora in a folder, also those that were stopped, by name."""
    found = {file.parent for name in (MANIFEST, UNFINISHED) for file in folder.glob(f"*/{name}")}
    return [_described(corpus) for corpus in sorted(found)]


def _described(folder: Path) -> PreparedCorpus:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if not (folder / MANIFEST).exists():
        return PreparedCorpus(folder, "not finished", "", "", size)
    try:
        manifest = Manifest.load(folder)
    except InputError:
        return PreparedCorpus(folder, "damaged, or of another version", "", "", size)
    kind = _kind(manifest.config.get("tokenizer"))
    tokens = sum(shard.tokens for shard in manifest.train)
    return PreparedCorpus(folder, f"{kind}, {manifest.vocab_size:,}", _text(manifest), f"{tokens:,}", size)


def _text(manifest: Manifest) -> str:
    source = manifest.config.get("source") or {}
    files = source.get("files") or source.get("dataset") or _kind(source)
    return ", ".join(map(str, files)) if isinstance(files, list) else str(files)


def _kind(described: dict[str, Any] | None) -> str:
    """The name of a class, without its module."""
    return str((described or {}).get("class", "tokenizer")).rpartition(".")[2]
