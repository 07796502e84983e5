"""What the model would write into gaps: the quickest look at what it has learned."""

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch

from cloze.batch import Packed
from cloze.text.tokenizer import load_tokenizer


class SampleFillings(pl.Callback):
    """At every evaluation, the likeliest pieces for each `[MASK]` of fixed sentences: printed, and kept in a file.

    Args:
        sentences: each with at least one `[MASK]`.
        tokenizer: the folder of the tokenizer.
        file: where the fillings are added.
        top: pieces shown for each gap.
    """

    def __init__(self, *, sentences: list[str], tokenizer: str, file: str, top: int = 5) -> None:
        self.sentences = sentences
        self.tokenizer = Path(tokenizer)
        self.file = Path(file)
        self.top = top

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        lines = [f"step {trainer.global_step}", *self.fillings(pl_module)]
        print("\n".join(lines), flush=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n")

    @torch.no_grad()
    def fillings(self, pl_module: pl.LightningModule) -> list[str]:
        """One line a gap: the sentence, and its likeliest pieces with their probabilities."""
        tokenizer = load_tokenizer(self.tokenizer)
        rows = [tokenizer.encode(sentence).ids for sentence in self.sentences]
        ids = torch.tensor([token for row in rows for token in row])
        gaps = torch.nonzero(ids == tokenizer.get_vocab()["[MASK]"]).squeeze(1)
        ends = np.cumsum([0, *map(len, rows)])
        device = pl_module.device
        packed = Packed(
            input_ids=ids.to(device),
            token_type_ids=torch.zeros_like(ids, device=device),
            position_ids=torch.cat([torch.arange(len(row), device=device) for row in rows]),
            cu_seqlens=torch.tensor(ends, dtype=torch.int32, device=device),
            max_seqlen=max(map(len, rows)),
        )
        logits = pl_module.model(packed, gaps.to(device)).masked_lm  # type: ignore[operator]
        probabilities, pieces = logits.float().softmax(-1).topk(self.top)
        owners = np.searchsorted(ends, gaps.numpy(), side="right") - 1
        return [
            f"  {self.sentences[owner]}  "
            + ", ".join(f"{tokenizer.id_to_token(i)} {p:.2f}" for i, p in zip(best, shares, strict=True))
            for owner, best, shares in zip(owners, pieces.tolist(), probabilities.tolist(), strict=True)
        ]
