"""Another tokenizer for a model than its own: that of the corpus, trained on it or given."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from cloze.files.remote import Location
from cloze.text.folder_tokenizer import FolderTokenizer
from cloze.text.prepare import Preparation
from cloze.text.progress import ReportsProgress


@dataclass(frozen=True, kw_only=True)
class AnotherTokenizer:
    """The tokenizer of a corpus, to which a model moves.

    Attributes:
        name: of the model, for messages.
        learned: its own tokenizer, as it was trained with.
        planned: how many tokens the other one is to have.
    """

    name: str
    learned: FolderTokenizer
    planned: int

    def prepare(self, preparation: Preparation, folder: Location, progress: ReportsProgress) -> None:
        """Prepare the corpus as for a new model, if that has not been done.

        Raises:
            InputError: as of `Preparation.ensure`.
        """
        preparation.ensure(folder, progress)

    def place(self, preparation: Preparation, name: str) -> Path:
        """The folder of the corpus, as `Preparation.place` finds it."""
        return preparation.place(name)

    def check(self, tokenizer: Tokenizer, folder: Location) -> None:
        """Nothing: the configuration of the corpus has been compared."""

    def rows(self, before: int, tokens: int) -> int:
        """How many the model has with a number of tokens: as many, however many it had before."""
        return tokens
