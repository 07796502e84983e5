"""The loss of a model folder on held-out text, by ``transformers`` itself, for both sides alike."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, BertTokenizerFast, DataCollatorForLanguageModeling, set_seed
from transformers.utils import logging

logging.set_verbosity_error()  # what is in our folder next to its own head
logging.disable_progress_bar()

LENGTH = 128
SEQUENCES = 256  # 32,768 tokens, some 4,900 of them masked


def tokenizer(vocab: Path) -> BertTokenizerFast:
    """That of a ``vocab.txt``, lower case."""
    return BertTokenizerFast(vocab=str(vocab), do_lower_case=True)


def chunks(lines: list[str], words: BertTokenizerFast) -> list[list[int]]:
    """The text end to end, cut into full sequences with [CLS] and [SEP], as ``run_mlm.py`` groups its texts."""
    encoded = words(lines, add_special_tokens=False, verbose=False)["input_ids"] if lines else []
    ids = [token for line in encoded for token in line]
    wide = LENGTH - 2
    cut = (ids[start : start + wide] for start in range(0, len(ids) - wide + 1, wide))
    return [[words.cls_token_id, *piece, words.sep_token_id] for piece in cut]


def heldout(texts: Sequence[str], vocab: Path) -> list[dict[str, Tensor]]:
    """Batches with 15 % of the tokens to be guessed, the same at every call; as many sequences from each text.

    Headings, which WikiText writes between `` = ``, are left out.
    """
    words = tokenizer(vocab)
    set_seed(0)
    collate = DataCollatorForLanguageModeling(words, mlm_probability=0.15)
    lines = ([line for line in text.splitlines() if line.strip() and line[:2] != " ="] for text in texts)
    sequences = [ids for some in lines for ids in spread(chunks(some, words), SEQUENCES // len(texts))]
    return [collate([{"input_ids": ids} for ids in sequences[i : i + 32]]) for i in range(0, len(sequences), 32)]


def spread(sequences: list[list[int]], wanted: int) -> list[list[int]]:
    """So many of them at equal distances: a text's beginning, with its contents and prefaces, is not like the rest."""
    return sequences[:: max(1, len(sequences) // wanted)][:wanted]


@torch.no_grad()
def loss(folder: Path, batches: list[dict[str, Tensor]]) -> float:
    """Nats a masked token."""
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    total = counted = 0.0
    for batch in batches:
        masked = int((batch["labels"] != -100).sum())
        total += float(model(**batch).loss) * masked
        counted += masked
    return total / counted
