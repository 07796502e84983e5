"""The settings of a preparation and their checks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cloze.errors import InputError
from cloze.text.documents import SentenceSplitter, Source
from cloze.text.near_duplicates.signatures import check_near_duplicates
from cloze.text.quality.rules import QualityRules
from cloze.text.segmenters import Words, check_words
from cloze.text.sources.files import HeldoutFiles, TextFiles
from cloze.text.sources.mixture import Mixture
from cloze.text.tokenizer import ContinuedWordPiece, WordPiece
from cloze.text.tokenizer_source import TokenizerSource

DEFAULT_HELDOUT = 0.01
"""Share of the documents."""


@dataclass(frozen=True, kw_only=True)
class PreparationSettings:
    """How raw text becomes a prepared corpus.

    Attributes:
        source: where the documents come from.
        sentences: splits their lines into sentences.
        tokenizer: which vocabulary, or how to train one.
        quality: which documents and lines are left out, of what is held out as well.
        duplicates: ``count`` exact duplicates in the report, or also ``remove`` every line that occurred before, and
            the documents of which nothing is left.
        near_duplicates: Jaccard similarity, as 0.8, from which on a document is dropped that is nearly the same as an
            earlier or a held-out one; None drops none.
        shingle: words that are compared together for that, of scripts without spaces characters.
        heldout_fraction: share of the documents that is held out from training, chosen by their hash; at least one
            when there are two different ones, none with 0. 1 holds out all, to evaluate a model on them. None takes
            0.01, and 0 with `heldout_files`.
        heldout_files: paths and patterns of files that are held out in place of a share, read as those of the source.
            Training leaves out these files, and documents of others that are the same as one in them.
        words: who says where words begin, for masks of whole words and of spans: the ``tokenizer`` by its tokens, as
            ``##`` and the space; or a segmenter, for text without spaces: ``jieba`` for Chinese, ``icu`` for Chinese,
            Japanese, Thai, Lao, Khmer and Burmese. Its words are kept in the shards, a bit a token.
        shard_tokens: size of the shards; `data.shuffle_shards` of them are shuffled together.
        task_megabytes: size of the pieces of work, as the source estimates it; when killed, a preparation loses one a
            worker.
        workers: processes; None for one a core, 0 to work in the calling process. Never changes what is written.
    """

    source: Source
    sentences: SentenceSplitter
    tokenizer: TokenizerSource
    quality: QualityRules = field(default_factory=QualityRules)
    duplicates: Literal["count", "remove"] = "count"
    near_duplicates: float | None = None
    shingle: int = 5
    heldout_fraction: float | None = None
    heldout_files: str | Sequence[str] | None = None
    words: Words = "tokenizer"
    shard_tokens: int = 4_000_000
    task_megabytes: float = 1.0
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.duplicates not in ("count", "remove"):
            raise InputError(f"preparation.duplicates={self.duplicates}: expected count or remove")
        check_words(self.words)
        if self.near_duplicates is not None:
            check_near_duplicates(self.near_duplicates, self.shingle)
        if not (0 <= self.fraction <= 0.5 or self.fraction == 1):
            raise InputError(f"preparation.heldout_fraction={self.heldout_fraction}: expected 0 to 0.5, or 1 for all")
        if self.heldout_files is not None and self.fraction:
            raise InputError(
                f"corpus.heldout_files and corpus.heldout_fraction={self.heldout_fraction} exclude each other: "
                "leave one of them out"
            )
        for key in ("shard_tokens", "task_megabytes"):
            if getattr(self, key) <= 0:
                raise InputError(f"preparation.{key}={getattr(self, key)}: expected a positive number")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"preparation.workers={self.workers}: expected 0 or more, or null for one a core")
        if isinstance(self.source, Mixture):
            self._check_unprepared()

    def _check_unprepared(self) -> None:
        """Refuse what would say nothing of a mixture, whose text has been prepared."""
        stated = {
            "corpus.duplicates": self.duplicates != "count",
            "corpus.near_duplicates": self.near_duplicates is not None,
            "corpus.heldout_fraction": self.heldout_fraction is not None,
            "corpus.heldout_files": self.heldout_files is not None,
            "preparation.words": self.words != "tokenizer",
            "quality": bool(self.quality.limits()),
            "tokenizer": self.tokenizer.is_given or type(self.tokenizer) not in (WordPiece, ContinuedWordPiece),
        }
        if keys := [key for key, said in stated.items() if said]:
            raise InputError(
                f"{keys[0]} is for a text that is to be prepared, but corpus=mixture takes corpora as they are: leave "
                "it out, or give it to cloze-prepare of each"
            )

    @property
    def fraction(self) -> float:
        """The share of the documents that is held out."""
        if self.heldout_fraction is None:
            return DEFAULT_HELDOUT if self.heldout_files is None else 0.0
        return self.heldout_fraction

    @property
    def heldout_source(self) -> Source | None:
        """What is held out as a whole."""
        if self.heldout_files is None:
            return self.source if self.fraction == 1 else None
        settings = vars(self.source) if isinstance(self.source, TextFiles) else {}
        return HeldoutFiles(**{**settings, "files": self.heldout_files})

    @property
    def training_source(self) -> Source | None:
        """The rest, of which a share may be held out."""
        if self.heldout_files is not None and isinstance(self.source, TextFiles):
            return replace(self.source, excluded=self.heldout_files)
        return None if self.fraction == 1 else self.source
