"""The tokenizer for continued pre-training: that of the model, with added tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from tokenizers import Tokenizer

from cloze.errors import InputError
from cloze.files.remote import Location
from cloze.runtime.wording import counted
from cloze.text.added_words import read_words, with_words
from cloze.text.bert_rules import own_tokens
from cloze.text.documents import Source
from cloze.text.journal import describe
from cloze.text.manifest import MANIFEST, sha256
from cloze.text.new_tokens import read_new_tokens, sample_lines, useful_tokens
from cloze.text.prepare import Preparation
from cloze.text.progress import ReportsProgress
from cloze.text.tokenizer import (
    FolderTokenizer,
    GivenTokenizer,
    WordPiece,
    load_tokenizer,
    save_tokenizer,
    tokenizer_sha256,
    vocabulary,
)
from cloze.text.tokenizer_adaptation import check_apart, own_words


@dataclass(frozen=True, kw_only=True)
class ContinuedTokenizer:
    """A model's tokenizer, and how it grows.

    Attributes:
        name: of the model, for messages.
        words: the normalisation of the tokenizer, and how new tokens are chosen; of another than BERT's only where it
            is, and it grows by whole words that are named.
        learned: the model's tokenizer, as it was trained with.
        own: it with the special tokens of `tokenizer.special_tokens`.
        added: tokens from a file.
        vocab_size: to which the tokens grow by those that the corpus needs; None where they do not.
    """

    name: str
    words: WordPiece | GivenTokenizer
    learned: Tokenizer
    own: FolderTokenizer
    added: list[str] = field(default_factory=list)
    vocab_size: int | None = None

    @classmethod
    def of(
        cls,
        learned: FolderTokenizer,
        words: WordPiece,
        *,
        stated: Mapping[str, Any],
        name: str,
        file: str | None,
        vocab_size: int | None,
    ) -> Self:
        """The tokenizer of a model with what a configuration adds to it.

        Args:
            learned: the model's.
            words: built from the node `tokenizer`, with the special tokens to add.
            stated: the arguments of that node.
            name: of the model.
            file: with more tokens, one a line.
            vocab_size: to which the tokens grow by those that the corpus needs.

        Raises:
            InputError: the configuration contradicts the tokenizer, or it cannot grow so.
        """
        own = learned.with_tokens(words.special_tokens) if words.special_tokens else learned
        settings, known = own_words(stated, words, learned.tokenizer, name), vocabulary(own.tokenizer)
        if isinstance(settings, WordPiece) and (file is not None or vocab_size is not None):
            check_apart(own_tokens(learned.tokenizer), settings, name)
        elif vocab_size is not None:
            raise InputError(
                f"grow.vocab_size chooses tokens for BERT's tokenizers, but that of {name} has other rules: name words "
                "as grow.vocab=FILE, or give the model a tokenizer of this text as tokenizer=bpe"
            )
        if vocab_size is not None and vocab_size <= len(known):
            raise InputError(
                f"grow.vocab_size={vocab_size}: must be above the {counted(len(known), 'tokens')} of {name}"
            )
        added = []
        if file is not None and isinstance(settings, WordPiece):
            added = read_new_tokens(file, known, settings)
        elif file is not None:
            added = read_words(file, own.tokenizer)
        return cls(name=name, words=settings, learned=learned.tokenizer, own=own, added=added, vocab_size=vocab_size)

    @property
    def own_size(self) -> int:
        """How many ids the tokenizer has before it grows by tokens."""
        return int(self.own.tokenizer.get_vocab_size())

    @property
    def known(self) -> list[str]:
        """The tokens of the tokenizer and those that are added to it, in the order of their ids."""
        return [*vocabulary(self.own.tokenizer), *self.added]

    @property
    def planned(self) -> int:
        """How many tokens the tokenizer is to have."""
        return self.vocab_size or len(self.known)

    def rows(self, before: int, tokens: int) -> int:
        """How many the model has with a number of tokens; some have more rows than tokens, which stay."""
        return max(before, tokens)

    def grown(self, new: Sequence[str]) -> FolderTokenizer:
        """The tokenizer with more tokens behind its own."""
        if not new:
            return self.own
        if not isinstance(self.words, WordPiece):
            return self.own.replaced(with_words(self.own.tokenizer, new))
        tokenizer = self.words.build([*vocabulary(self.own.tokenizer), *new])
        tokenizer.add_tokens(own_tokens(self.own.tokenizer))
        return self.own.replaced(tokenizer)

    def prepare(self, preparation: Preparation, folder: Location, progress: ReportsProgress) -> None:
        """Prepare the corpus with this tokenizer, if that has not been done.

        Raises:
            InputError: it has been prepared with another one, or cannot be prepared.
        """
        if (folder / MANIFEST).is_file():
            self.check(load_tokenizer(folder / "tokenizer"), folder)
            preparation.check(folder, vocabulary=False)  # where it came from does not matter
            return
        tokenizer, files = self.grown(self._planned(preparation.training_source or preparation.source, progress))
        with TemporaryDirectory() as given:  # a preparation takes its tokenizer from files, and keeps its own
            save_tokenizer(tokenizer, given, files)
            words = replace(self.words, vocab=given)
            replace(preparation, tokenizer=words).run(folder, progress)

    def _planned(self, source: Source, progress: ReportsProgress) -> list[str]:
        """The new tokens with which the corpus is prepared."""
        if self.vocab_size is None or not isinstance(self.words, WordPiece):
            return self.added
        progress("choosing new tokens", 0, 1)
        lines = list(sample_lines(source, self.words.sample_megabytes))
        words = replace(self.words, special_tokens=[token.content for token in own_tokens(self.own.tokenizer)])
        new = useful_tokens(lines, self.known, words, self.vocab_size - len(self.known))
        progress("choosing new tokens", 1, 1)
        return [*self.added, *new]

    def place(self, preparation: Preparation, name: str) -> Path:
        """The folder of the corpus that is prepared with this tokenizer, as `Preparation.place` finds it."""
        content: dict[str, Any] = {"pieces": self.known}
        if own := own_tokens(self.own.tokenizer):
            content["tokens"] = list(map(repr, own))
        if isinstance(self.words, GivenTokenizer):
            content["tokenizer"] = tokenizer_sha256(self.own.tokenizer)
        words = {**describe(self.words), "vocab": sha256(content), "vocab_size": self.vocab_size}
        del words["special_tokens"]  # as in earlier versions
        return preparation.place(
            name,
            vocabulary=words,
            check_tokenizer=lambda folder: self.check(load_tokenizer(folder / "tokenizer"), folder),
        )

    def check(self, tokenizer: Tokenizer, folder: Location) -> None:
        """Refuse a corpus that another tokenizer has prepared.

        Raises:
            InputError: with what to do.
        """
        found, expected = vocabulary(tokenizer), self.known
        count = self.vocab_size or len(expected)
        if found[: len(expected)] != expected or len(found) != count:
            why = f"{counted(len(found), 'tokens')} there, {count:,} here" if len(found) != count else "other tokens"
        elif tokenizer_sha256(tokenizer) != tokenizer_sha256(self.grown(found[self.own_size :]).tokenizer):
            why = "another treatment of capitals, accents or Chinese characters, or of tokens of its own"
        else:
            return
        raise InputError(
            f"{folder} was prepared with another tokenizer than that of {self.name} ({why}): give another folder as "
            "corpus.prepared=, and the corpus is prepared there with this one"
        )
