"""What a model folder has learned, as ``transformers`` itself says, for both sides alike."""

import math
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertTokenizerFast,
    DataCollatorForLanguageModeling,
    set_seed,
)
from transformers.utils import logging

logging.set_verbosity_error()  # what is in our folder next to its own head
logging.disable_progress_bar()

LENGTH = 128
SEQUENCES = 256  # 32,768 tokens, some 4,900 of them masked
WORDS = 64  # of a passage whose words are masked: it fits into the length with a vocabulary of 4,096, too
MASK_RATE = 0.15
BATCH = 32


class Judge:
    """A held-out text, masked once: the same at every call, and for every model.

    Args:
        texts: as many sequences of each. Headings, which WikiText writes between `` = ``, are left out.
        vocab: the ``vocab.txt`` of the fixed vocabulary.
    """

    def __init__(self, texts: Sequence[str], vocab: Path) -> None:
        self.tokenizer = tokenizer(vocab)
        lines = [[line for line in text.splitlines() if line.strip() and line[:2] != " ="] for text in texts]
        share = SEQUENCES // len(texts)
        sequences = [ids for some in lines for ids in spread(chunks(some, self.tokenizer), share)]
        set_seed(0)
        collate = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=MASK_RATE)
        self.batches: list[dict[str, Tensor]] = [
            collate([{"input_ids": ids} for ids in part]) for part in parts(sequences)
        ]
        numbers = random.Random(0)
        self.passages = [passage for some in lines for passage in spread(passages(some), share)]
        self.masked = [
            [is_word(word) and numbers.random() < MASK_RATE for word in passage] for passage in self.passages
        ]

    @torch.no_grad()
    def loss(self, folder: Path) -> float | None:
        """Nats a masked token; None with another vocabulary, whose tokens are others."""
        if self._own(folder).get_vocab() != self.tokenizer.get_vocab():
            return None
        model = AutoModelForMaskedLM.from_pretrained(folder).eval()
        total = counted = 0.0
        for batch in self.batches:
            masked = int((batch["labels"] != -100).sum())
            total += float(model(**batch).loss) * masked
            counted += masked
        return total / counted

    @torch.no_grad()
    def bits(self, folder: Path) -> float:
        """Bits a character of masked words, whatever the vocabulary: all tokens of a word are masked.

        Raises:
            ValueError: the vocabulary has no tokens for a word of letters.
        """
        own, model = self._own(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
        total, characters = 0.0, 0
        for some, masks in zip(parts(self.passages), parts(self.masked), strict=True):
            batch = own(
                [" ".join(words) for words in some], padding=True, return_tensors="pt", return_offsets_mapping=True
            )
            spans, labels = batch.pop("offset_mapping"), torch.full_like(batch["input_ids"], -100)
            for row, (words, is_masked) in enumerate(zip(some, masks, strict=True)):
                begin = 0
                for word, masked in zip(words, is_masked, strict=True):
                    end = begin + len(word)
                    if masked:
                        inside = (spans[row, :, 0] < end) & (spans[row, :, 1] > begin)
                        labels[row, inside] = batch["input_ids"][row, inside]
                        characters += len(word)
                    begin = end + 1
            if (labels == own.unk_token_id).any():
                raise ValueError(f"{folder}: its vocabulary has no tokens for a word of letters")
            batch["input_ids"][labels != -100] = own.mask_token_id
            total += float(model(**batch, labels=labels).loss) * int((labels != -100).sum())
        return total / characters / math.log(2)

    def _own(self, folder: Path) -> Any:
        """The tokenizer of the model; the fixed one where it was saved without."""
        return AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer.json").exists() else self.tokenizer


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


def passages(lines: list[str]) -> list[list[str]]:
    """The text end to end as words and signs, cut into passages of `WORDS`."""
    words = [word for line in lines for word in re.findall(r"\w+|[^\w\s]", line.lower())]
    return [words[start : start + WORDS] for start in range(0, len(words) - WORDS + 1, WORDS)]


def is_word(word: str) -> bool:
    """Whether it has only letters that every vocabulary has tokens for."""
    return re.fullmatch("[a-z]+", word) is not None


def parts(rows: list[Any]) -> list[list[Any]]:
    """Batches of rows."""
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def spread(sequences: list[Any], wanted: int) -> list[Any]:
    """So many of them at equal distances: a text's beginning, with its contents and prefaces, is not like the rest."""
    return sequences[:: max(1, len(sequences) // wanted)][:wanted]
