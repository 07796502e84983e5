"""The tutorials as the tests see them: their blocks, and the words that make a command small."""

import re

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "docs" / "tutorials"
SMALL = {
    "train.py": (
        "model=tiny model.num_hidden_layers=4 model.hidden_size=32 model.intermediate_size=64 tokenizer.vocab_size=300 "
        "trainer.max_steps=10 trainer.validate_every=10 data.batch_tokens=512 preparation.workers=0 "
        "corpus.heldout_fraction=0.1"
    ),
    "cloze-prepare": "tokenizer.vocab_size=300 preparation.workers=0 corpus.heldout_fraction=0.1",
    "finetune.py": "trainer.max_epochs=1",
}
SHAPE = ("model", "tokenizer")  # what init=FOLDER brings


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """The blocks of a page with their languages, in their order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", (FOLDER / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [(language, text) for language, text in found if language in languages]


def small(words: list[str]) -> list[str]:
    """The words of a command with the small ones in the place of those on the same key.

    >>> small(["finetune.py", "task=swag", "trainer.max_epochs=4"])
    ['finetune.py', 'task=swag', 'trainer.max_epochs=1']
    """
    keys = {word.partition("=")[0] for word in words}
    added = SMALL.get(words[0], "").split()
    if "--config-dir" in words:  # with models of its own
        added.remove("model=tiny") if "model=tiny" in added else None
    lengths = [int(word.partition("=")[2]) for word in words if word.startswith("objective.max_length=")]
    if max(lengths, default=0) > 512:  # a global batch has one sequence at least
        long = {
            "data.batch_tokens=512": f"data.batch_tokens={max(lengths)}",
            "trainer.max_steps=10": "trainer.max_steps=5",
        }
        added = [long.get(word, word) for word in added]
    if "tokenizer=kmer" in words:  # whose vocabulary has a size of its own
        added.remove("tokenizer.vocab_size=300")
    if "init" in keys:
        added = [word for word in added if re.split("[.=]", word)[0] not in SHAPE]
    replaced = {word.partition("=")[0] for word in added}
    return [*(word for word in words if word.partition("=")[0] not in replaced), *added]
