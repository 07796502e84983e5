"""Text that users read says it in the field's words: documentation, comments of options, messages and docstrings."""

import io
import re
import tokenize
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PRIVATE = {
    r"\bword pieces?\b": "token",
    r"\b(likeliest|new|of each|every) pieces?\b": "token",
    r"\b(token|hidden|position|mean|frozen) vectors?\b": "hidden state, embedding",
    r"\bvectors? of (the|a|each|every|all)\b": "hidden state, embedding",
    r"\b(begins?|starts?|begun|drawn) anew\b": "start from scratch, newly initialised",
    r"\bcommand (goes|can go) on\b": "the same command resumes",
    r"\b(goes|go|going|went) on from\b": "resume, start from",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\b(is|are) told\b": "report, print",
    r"\bthe model says\b": "the model predicts",
    r"\b(each|every|fills?|of the) gaps?\b|\bgaps filled\b|\bfillings\b": "masked token, prediction",
    r"\bthe commoner\b": "majority class",
    r"\b(is|are|was|were|texts|pairs|sequences|questions) cut\b|\bcuts? (into|at|short|off|long)\b": "split, truncate",
    r"(?<!\{)\bbeside\b": "next to, besides, compared with",
    r"\bplaces? in (training|the order)\b": "position",
    r"\bso many (tokens|sequences|texts|steps)\b": "this many, n",
    r"\bgoes on\b": "continues",
    r"\b(made|compiled|computed|trained) anew\b": "again, from scratch",
    r"\bwho looks at whom\b": "attention weights",
    r"\b(who is taken for whom|what (is|was) taken for what)\b": "confusion matrix",
    r"\b(a|the) loss (that )?is no number\b": "not a number",
    r"\bnothing to over-?fit\b": "no overfitting",
    r"\bnothing half-written\b|\bnothing is torn\b": "no partial output, no file is corrupted",
    r"\b(a|the) process(es)? that makes? batches\b": "data-loading worker",
    r"\bwhat there is to see\b|\bwhat (is|was) looked at\b": "what is logged, check",
    r"\bof ours is one of theirs\b|\bone run of theirs\b": "a W&B run for each run of cloze",
    r"\bhow (the|a) run came about\b": "the origin of the run",
    r"\bpackages of your own that are imported\b": "your own packages to import",
    r"\bwho tries its model\b|\bwhat a stranger's text\b": "security, examples for the demo",
}
"""What the code base once called things, and what the field calls them."""


def prose(file: Path) -> str:
    """What of a file is read by people: of Python the strings and comments, of YAML the comments."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        kinds = (tokenize.STRING, tokenize.COMMENT)
        return "\n".join(t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type in kinds)
    if file.suffix == ".yaml":
        return "\n".join(line.partition("#")[2] for line in text.splitlines())
    return text


FILES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "conf").rglob("*.yaml")),
    *sorted((REPOSITORY / "src").rglob("*.py")),
]


@pytest.mark.parametrize("words", PRIVATE)
def test_private_words_do_not_come_back(words: str) -> None:
    private = re.compile(words, re.IGNORECASE)
    found = [
        f"{file.relative_to(REPOSITORY)}: {match[0]!r}; say {PRIVATE[words]}"
        for file in FILES
        for match in private.finditer(" ".join(prose(file).split()))
    ]
    assert found == []
