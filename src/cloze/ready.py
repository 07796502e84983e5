"""A model ready for use from Python: ``cloze.load``."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from cloze.batch import Packed
from cloze.checkpoint.modules import fine_tuned_model, pretraining_model
from cloze.checkpoint.pretrained import read_pretrained
from cloze.model.config import BertConfig
from cloze.model.encoder import Encoder
from cloze.model.heads import BertForPreTraining, Pooler
from cloze.model.task_heads import TaskModel


@dataclass(frozen=True, kw_only=True)
class Ready:
    """An encoder in evaluation mode, and what belongs to it.

    Attributes:
        encoder: from ``Packed`` tokens to their vectors, (N, D).
        tokenizer: its own, which neither cuts nor pads.
        config: the shape of the encoder.
        pooler: from the vectors to one vector a text, (B, D), where the folder has one.
        model: what the folder was saved for, on the same encoder: pre-training heads, or the head of a task. None for
            a bare encoder. A head that the folder does not hold raises an error where it is called.
        labels: the classes of a fine-tuned model in the order of its outputs.
        told: one line on what the folder holds and what it does not.
    """

    encoder: Encoder
    tokenizer: Tokenizer
    config: BertConfig
    pooler: Pooler | None
    model: BertForPreTraining | TaskModel | None
    labels: list[str] | None
    told: str

    def pack(self, texts: Sequence[str | tuple[str, str]]) -> Packed:
        """Texts, or pairs of texts, with their special tokens as one flat stream.

        A text that is longer than the model reaches is cut at its end, the longer one of a pair first; a warning says
        how many were.
        """
        encodings = self._cutter.encode_batch(list(texts))
        cut = sum(bool(encoding.overflowing) for encoding in encodings)
        if cut:
            longest = self.config.max_position_embeddings
            warnings.warn(
                f"{cut} of {len(encodings)} texts are longer than the {longest} tokens that this model reaches; "
                "their ends are cut off",
                stacklevel=2,
            )
        lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
        bounds = np.concatenate([[0], lengths.cumsum()])
        ids = [number for encoding in encodings for number in encoding.ids]
        segments = [number for encoding in encodings for number in encoding.type_ids]
        positions = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
        return Packed(
            input_ids=torch.tensor(ids, dtype=torch.long),
            token_type_ids=torch.tensor(segments, dtype=torch.long),
            position_ids=torch.from_numpy(positions),
            cu_seqlens=torch.from_numpy(bounds.astype(np.int32)),
            max_seqlen=int(lengths.max(initial=0)),
        )

    @cached_property
    def _cutter(self) -> Tokenizer:
        cutter = Tokenizer.from_str(self.tokenizer.to_str())
        cutter.enable_truncation(self.config.max_position_embeddings)
        return cutter


def load(folder: Path | str) -> Ready:
    """What ``cloze.load`` gives."""
    pretrained = read_pretrained(folder)
    task = fine_tuned_model(pretrained)
    model = task or pretraining_model(pretrained)
    pooler = model.pooler if isinstance(model.pooler, Pooler) else None
    has_head = task is not None or {"masked_lm_head", "next_sentence_head"} & {*pretrained.parts}
    return Ready(
        encoder=model.encoder,
        tokenizer=pretrained.tokenizer,
        config=pretrained.config,
        pooler=pooler,
        model=model if has_head else None,
        labels=pretrained.labels,
        told=pretrained.told(),
    )
