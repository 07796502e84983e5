"""Sample predictions for the masked tokens of fixed sentences."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from tokenizers import Tokenizer

from cloze.batch import Packed
from cloze.errors import InputError
from cloze.loggers.protocol import Table, dashboards
from cloze.text.report import REPORT, load_report
from cloze.text.shards import read_shard
from cloze.text.special_tokens import SpecialToken, SpecialTokens, special_tokens
from cloze.text.tokenizer import MASK
from cloze.text.word_boundaries import BLANK, shown, words_in

MOST_EVALUATIONS = 50
"""In a table, which is logged again at each of them."""
EXCERPTS, SENTENCES = 40, 40  # documents that are looked at, and the first sentences of each
SHORTEST, LONGEST = 8, 24  # tokens of a held-out sentence that makes a good sample


class SamplePredictions(pl.Callback):
    """At every evaluation, the likeliest tokens for each `[MASK]` of fixed sentences: printed, and kept in a file.

    Dashboards get them as the table `val/predictions`, with the evaluations so far as its rows. A module of the user's
    own has them where it has a method `masked_lm_logits`, as `cloze.tasks.masked_lm.MaskedLMPretraining`.

    Args:
        sentences: each with at least one `[MASK]`, whatever the model writes for it; None takes some held-out
            sentences and masks a word of each.
        file: to which the predictions are appended.
        top: tokens shown for each mask.
        heldout: how many sentences to take from the held-out text.
    """

    def __init__(self, *, sentences: list[str] | None = None, file: str, top: int = 5, heldout: int = 4) -> None:
        self.sentences = sentences
        self.file = Path(file)
        self.top = top
        self.heldout = heldout
        self._tokenizer: Tokenizer
        self._mask: SpecialToken
        self._samples: list[tuple[str, list[int]]] = []  # what is shown, and its ids
        self._rows: list[list[str | int]] = []  # of the table: step, sentence, likeliest tokens

    @property
    def state_key(self) -> str:
        """The name under which checkpoints of every version keep the state."""
        return "SampleFillings"

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rows = [[int(step), str(sentence), str(tokens)] for step, sentence, tokens in state_dict["rows"]]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not hasattr(pl_module, "masked_lm_logits"):
            if trainer.is_global_zero:
                print(
                    f"note: {type(pl_module).__name__} predicts no masked tokens: no samples are written",
                    file=sys.stderr,
                )
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self._tokenizer, special = data.tokenizer, special_tokens(data.tokenizer, data.tokenizer_files)
        self._mask = special.mask_of(data.folder)
        # The sentences of a corpus are for models with whatever token.
        sentences = [sentence.replace(MASK, self._mask.content) for sentence in self.sentences or ()]
        for sentence in sentences:
            if self._mask.content not in sentence:
                raise InputError(
                    f"callbacks.samples.sentences: {sentence!r:.60} has no {self._mask.content}: write it in"
                )
        if self.sentences is not None:
            self._samples = [(sentence, data.tokenizer.encode(sentence).ids) for sentence in sentences]
        else:
            self._samples = heldout_masked(heldout_texts(data), data.tokenizer, special, self.heldout)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not self._samples:
            return
        with trainer.precision_plugin.forward_context():
            predictions = self.predictions(pl_module)  # by all ranks: each may hold a part of the model
        if not trainer.is_global_zero:
            return
        lines = [f"step {trainer.global_step}", *predictions]
        print("\n".join(lines), flush=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n")
        self._rows += [[trainer.global_step, *line.strip().rsplit("  ", 1)] for line in lines[1:]]
        self._rows = _thinned(self._rows)
        for dashboard in dashboards(trainer.loggers):
            table = Table(("step", "sentence", "likeliest tokens"), self._rows)
            dashboard.log_table("val/predictions", table, trainer.global_step)

    @torch.no_grad()
    def predictions(self, pl_module: pl.LightningModule) -> list[str]:
        """One line for each mask: the sentence, and the most likely tokens with their probabilities."""
        tokenizer = self._tokenizer
        rows = [ids for _, ids in self._samples]
        ids = torch.tensor([token for row in rows for token in row])
        masked = torch.nonzero(ids == self._mask.id).squeeze(1)
        packed = Packed.of(rows)
        ends = packed.cu_seqlens.numpy()
        module: Any = pl_module
        logits = module.masked_lm_logits(packed.to(module.device), masked.to(module.device))
        probabilities, tokens = logits.float().softmax(-1).topk(self.top)
        owners = np.searchsorted(ends, masked.numpy(), side="right") - 1
        return [
            f"  {self._samples[owner][0]}  "
            + ", ".join(f"{t.strip()} {p:.2f}" for t, p in zip(shown(tokenizer, best), shares, strict=True))
            for owner, best, shares in zip(owners, tokens.tolist(), probabilities.tolist(), strict=True)
        ]


def _thinned(rows: list[list[str | int]]) -> list[list[str | int]]:
    """Every second evaluation, and the last, where there are more than a table should have."""
    steps = sorted({int(row[0]) for row in rows})
    if len(steps) <= MOST_EVALUATIONS:
        return rows
    kept = {*steps[::2], steps[-1]}
    return [row for row in rows if row[0] in kept]


def heldout_texts(data: Any) -> list[list[str]]:
    """Sentences of held-out documents, document by document, as they were written.

    Corpora that were prepared without excerpts have their tokens put together.

    Args:
        data: with ``folder``, ``manifest`` and ``tokenizer``.
    """
    if (data.folder / REPORT).exists() and (excerpts := load_report(data.folder).get("heldout_excerpts")):
        return [[" ".join(text.split()) for text in texts] for texts in excerpts]
    documents: list[list[str]] = []
    for path in data.heldout_paths[:1]:
        shard = read_shard(path)
        ends = shard.document_offsets
        for document in np.linspace(0, len(ends) - 2, min(EXCERPTS, len(ends) - 1)).astype(int):
            sentences = range(int(ends[document]), min(int(ends[document + 1]), int(ends[document]) + SENTENCES))
            bounds = [shard.sentence_offsets[sentence : sentence + 2] for sentence in sentences]
            documents.append([data.tokenizer.decode(shard.tokens[begin:end].tolist()) for begin, end in bounds])
    return documents


def heldout_masked(
    documents: Sequence[Sequence[str]], tokenizer: Tokenizer, special: SpecialTokens, count: int
) -> list[tuple[str, list[int]]]:
    """Sentences spread over the documents, the longest word of each masked where it stands; the word stands behind.

    Args:
        documents: of sentences.
        tokenizer: of the model.
        special: its special tokens, with one for masks.
        count: the maximum number of sentences.

    Returns:
        What is shown, and the ids with the special tokens.
    """
    found = [one for texts in documents for text in texts if (one := _masked(text, tokenizer, special)) is not None]
    chosen = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
    return [found[number] for number in chosen]


def _masked(text: str, tokenizer: Tokenizer, special: SpecialTokens) -> tuple[str, list[int]] | None:
    """Of a sentence of a good length: the longest of its words that are one token, in the middle where several are."""
    encoding, mask = tokenizer.encode(text, add_special_tokens=False), special.mask
    offsets, words = (places.tolist() for places in words_in(encoding, text))
    tokens = Counter(words)
    alone = [i for i, word in enumerate(words) if word != BLANK and tokens[word] == 1]
    if not alone or not SHORTEST <= len(words) <= LONGEST or mask is None or mask.content in text:
        return None
    lengths = {i: offsets[i][1] - offsets[i][0] for i in alone}
    longest = [i for i in alone if lengths[i] == max(lengths.values())]
    index = longest[len(longest) // 2]
    begin, end = offsets[index]
    ids = [special.cls.id, *encoding.ids[:index], mask.id, *encoding.ids[index + 1 :], special.sep.id]
    return f"{text[:begin]}{mask.content}{text[end:]} ({text[begin:end]})", ids
