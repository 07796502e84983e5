"""Which columns of the input hold what; light, so that the configuration is checked before anything is imported."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The section `columns` of prediction: names of columns, by default those that the attributes have.

    Attributes:
        id: names the rows; without it they are numbered from 0.
        text: a text, or segment A of a pair.
        text_pair: segment B; without such a column, or in rows where it is empty, there is none.
        words: a list of words, or a text that is cut at its blanks; by default also `text`.
        question: on a passage; by default also `text`.
        context: the passage; by default also `text_pair`.
        choices: of multiple choice: a column with the list of them, or one column for each.
    """

    id: str | None = None
    text: str | None = None
    text_pair: str | None = None
    words: str | None = None
    question: str | None = None
    context: str | None = None
    choices: str | list[str] | None = None
