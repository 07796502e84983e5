"""`cloze-predict`: predict masked tokens, next sentences or the task of a fine-tuned model, for any number of rows."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from cloze.cli import command
from cloze.config.schema import Predicting
from cloze.runtime.spinner import waiting


class Words(NamedTuple):
    """Words of the command line that Hydra must not see.

    Attributes:
        task: the last value of `task`, which Hydra would take for a group of `conf/`.
        texts: of `text`, in which brackets and commas are text.
        pairs: of `text_pair`.
        targets: of `targets`, which may be any words; None where it is not given.
        others: all the other words.
    """

    task: str | None
    texts: list[str]
    pairs: list[str]
    targets: list[str] | None
    others: list[str]


def main() -> int:
    """Predict as the command line says; returns the exit status."""
    words = own_words(sys.argv[1:])
    sys.argv[1:] = words.others

    def predict(config: Predicting) -> None:
        with waiting("loading libraries"):
            from cloze.inference import predict as prediction

        targets = config.targets if words.targets is None else words.targets
        config = replace(config, task=words.task or config.task, targets=targets)
        prediction.predict(config, words.texts, words.pairs)

    resumes = "with an output=FILE.jsonl or .csv the same command resumes where it stopped"
    return command.run(predict, name="predict", schema=Predicting, interrupted=resumes)


def own_words(words: Sequence[str]) -> Words:
    """The words of the command line by who reads them."""
    values, others = command.values_of(["task", "text", "text_pair", "targets"], words)
    task = next((value for value in reversed(values["task"]) if value not in ("", "null")), None)
    targets = comma_separated(values["targets"][-1]) if values["targets"] else None
    return Words(task, values["text"], values["text_pair"], targets, others)


def comma_separated(value: str) -> list[str]:
    """The words between commas; one in quotes may hold a comma.

    >>> comma_separated("[good,1.50, 'a,b', don't, 好]")
    ['good', '1.50', 'a,b', "don't", '好']
    """
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not inner.strip() or value == "null":
        return []
    return ["".join(found) for found in re.findall(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,]*?))\s*,""", f"{inner},")]


if __name__ == "__main__":
    sys.exit(main())
