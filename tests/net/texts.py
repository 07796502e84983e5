"""What the runs of the net learn from: the words of `tests.small_text`, in the files of every kind of task."""

import json
import random
from pathlib import Path
from typing import Any

from tests.small_text import WORDS, small_text

ROWS = {"train": 96, "dev": 24}


def write_texts(folder: Path) -> None:
    """`small.txt` for pre-training, and of each kind of rows `KIND-train.jsonl` and `KIND-dev.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.txt").write_text(small_text(), encoding="utf-8")
    numbers = random.Random(2)
    for kind, row in (("texts", _text), ("words", _tagged), ("questions", _question)):
        for split, count in ROWS.items():
            lines = (json.dumps(row(numbers)) + "\n" for _ in range(count))
            (folder / f"{kind}-{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def _words(numbers: random.Random) -> list[str]:
    start = numbers.randrange(len(WORDS))
    return [WORDS[(start + i) % len(WORDS)] for i in range(numbers.randint(4, 24))]


def _text(numbers: random.Random) -> dict[str, Any]:
    """A text, a second one, four endings, and what can be asked about them."""
    words, others = _words(numbers), _words(numbers)
    share = numbers.random()
    return {
        "text": " ".join(words),
        "other": " ".join(others),
        "first": words[0],
        "follows": "yes" if others[0] == WORDS[(WORDS.index(words[-1]) + 1) % len(WORDS)] else "no",
        "score": len(words) / 8,
        "other_score": len(others) / 8,
        "named": ",".join(sorted({"list", "object", "file"} & set(words))),
        "even": share,
        "odd": 1 - share,
        "endings": numbers.sample(WORDS, 4),
        "ending": numbers.randrange(4),
    }


def _tagged(numbers: random.Random) -> dict[str, Any]:
    words = _words(numbers)
    tags = {"quick": "B-A", "file": "I-A", "list": "B-B"}
    return {"words": words, "tags": [tags.get(word, "O") for word in words]}


def _question(numbers: random.Random) -> dict[str, Any]:
    """What follows a word: the passage answers it, or where it does not have the word, it does not."""
    words, asked = _words(numbers), numbers.choice(WORDS)
    context = " ".join(words)
    answered = asked in words[:-1]
    answer = words[words.index(asked) + 1] if answered else ""
    starts = [len(" ".join(words[: words.index(asked) + 1])) + 1] if answered else []
    return {
        "question": f"then {asked}",
        "context": context,
        "answers": {"text": [answer] if answered else [], "answer_start": starts},
    }
