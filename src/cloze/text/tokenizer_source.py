"""Where the tokenizer of a corpus comes from: it is given, or trained on the text."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from cloze.errors import InputError
from cloze.text.bert_rules import check_own_tokens
from cloze.text.folder_tokenizer import FolderTokenizer, read_tokenizer
from cloze.text.tokenizer_files import WHOLE

Lines = Callable[[], Iterable[str]]
"""Gives the lines of a text, in a fair order, each time anew."""


class Learned(NamedTuple):
    """A tokenizer that a text has taught.

    Attributes:
        tokenizer: the same for the same text, in any process.
        source: what was asked, with what the text has decided.
        notes: what to say of it.
    """

    tokenizer: FolderTokenizer
    source: "TokenizerSource"
    notes: list[str]


class TokenizerSource(ABC):
    """The config node ``tokenizer``.

    Attributes:
        special_tokens: tokens of the user's own.
        sample_megabytes: text that training takes into account at most.
    """

    special_tokens: Sequence[str]
    sample_megabytes: float

    @property
    def is_given(self) -> bool:
        """Whether there is a tokenizer; else one is trained."""
        return False

    @abstractmethod
    def planned_size(self) -> int:
        """How many ids the tokenizer is to have."""

    def given(self) -> FolderTokenizer:
        """The tokenizer that is given.

        Raises:
            InputError: it cannot be read, or is not as it is asked for; none is given.
        """
        raise InputError(f"a {type(self).__name__} is trained, and none is given")

    def learn(self, lines: Lines) -> Learned:
        """The tokenizer that a text teaches.

        Raises:
            InputError: the lines hold no text; it is given, and not trained.
        """
        raise InputError(f"a {type(self).__name__} is given, and not trained")

    def notes(self, tokenizer: FolderTokenizer) -> list[str]:
        """What to say of the tokenizer that is given."""
        return []

    def remedy(self) -> str:
        """What to do where a text has many characters for which there is no token."""
        return "take a tokenizer that knows the characters of this text"

    def remedy_of_altered(self) -> str:
        """What to do where normalisation alters many letters of a text."""
        return "take a tokenizer that keeps them"


@dataclass(frozen=True, kw_only=True)
class GivenTokenizer(TokenizerSource):
    """Any tokenizer of Hugging Face's: BPE, Unigram, WordPiece, WordLevel. It is used and saved as it is.

    Attributes:
        vocab: the folder of a tokenizer or of a model, or a ``tokenizer.json``.
        special_tokens: tokens of your own to add to it, as ``<user>``: each is one token wherever it stands in a text,
            exactly as it is written.
    """

    vocab: str
    special_tokens: Sequence[str] = ()
    sample_megabytes = 0.0

    def __post_init__(self) -> None:
        check_own_tokens(self.special_tokens)

    @property
    def is_given(self) -> bool:
        return True

    def planned_size(self) -> int:
        """That of the tokenizer."""
        return int(self.given().tokenizer.get_vocab_size())

    def given(self) -> FolderTokenizer:
        """The tokenizer of `vocab`, with the special tokens.

        Raises:
            InputError: it cannot be read, or has ids that no token has.
        """
        place = Path(self.vocab)
        if not place.exists():
            raise InputError(f"tokenizer.vocab={self.vocab}: is not there; give a folder with a {WHOLE}, or that file")
        if place.is_dir():
            found = read_tokenizer(place)
        else:
            with TemporaryDirectory() as folder:
                (Path(folder) / WHOLE).write_bytes(place.read_bytes())
                try:
                    found = read_tokenizer(folder)
                except InputError as error:
                    said = str(error).replace(str(Path(folder) / WHOLE), self.vocab)
                    raise InputError(said.replace(folder, self.vocab)) from None
        if not found.is_dense:
            raise InputError(f"{place}: its tokenizer has ids that no token has, so that rows of a model would be idle")
        return found.with_tokens(self.special_tokens) if self.special_tokens else found
