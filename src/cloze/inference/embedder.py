"""An embedding model on texts: ours, one of sentence-transformers, or the mean of any encoder's hidden states."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from tokenizers import Tokenizer

from cloze.batch import TaskBatch
from cloze.checkpoint.modules import refuse_drawn
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.task_models import task_model
from cloze.data.extraction.partial import PartialPart
from cloze.data.finetuning.embedding import TRUNCATED
from cloze.data.finetuning.items import Item, Sequences, TokenSequence, encode
from cloze.errors import InputError
from cloze.inference.predictor import Inference
from cloze.model.adaptation import Adaptation
from cloze.model.task_heads import EmbeddingModel
from cloze.tasks.embedding_batches import unit
from cloze.tasks.embedding_losses import Similarity

SHORTEST = 3  # [CLS], a token, [SEP]
VECTORS = "vectors"
"""The name of what is kept of a part that is not finished."""


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """Texts to vectors.

    Attributes:
        model: on the device, in evaluation mode.
        tokenizer: its own.
        inference: how it is applied.
        folder: where it was read.
        max_length: tokens of the longest sequence, special ones and prompt included.
        dimension: of the vectors that are given out.
        similarity: by which they are compared.
        query_prompt: for texts that look for others, before them.
        passage_prompt: for the others.
        include_prompt: whether the pooling reads the tokens of a prompt.
        counts: texts that were truncated.
    """

    model: EmbeddingModel
    tokenizer: Tokenizer
    inference: Inference
    folder: Path
    max_length: int
    dimension: int
    similarity: Similarity = "cosine"
    query_prompt: str = ""
    passage_prompt: str = ""
    include_prompt: bool = True
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(
        cls,
        folder: Path | str,
        inference: Inference,
        *,
        max_length: int | None = None,
        dimension: int | None = None,
    ) -> Self:
        """The model of a folder; of an encoder without a word on embeddings the mean of its hidden states.

        Args:
            folder: of cloze, of sentence-transformers, or of an encoder.
            inference: how it is applied.
            max_length: in place of the folder's.
            dimension: vectors are truncated to this many numbers; None for as many as the folder says.

        Raises:
            InputError: the folder cannot be read, has another head, or a number does not fit it.
        """
        return cls.of(read_pretrained(folder), inference, max_length=max_length, dimension=dimension)

    @classmethod
    def of(
        cls, found: Pretrained, inference: Inference, *, max_length: int | None = None, dimension: int | None = None
    ) -> Self:
        """The same of a folder that has been read."""
        model = _model(found)
        model.encoder.pack()
        positions = found.config.max_position_embeddings
        said = {**(found.record.features.arguments or {}), **(found.record.module.arguments or {})}
        length = max_length or min(positions, said.get("max_length") or positions)
        if not SHORTEST <= length <= positions:
            raise InputError(f"max_length={length}: must be from {SHORTEST} to {positions}, the positions of the model")
        width = dimension or said.get("dimension") or model.width
        if not 1 <= width <= model.width:
            raise InputError(f"dimension={width}: must be from 1 to {model.width}, that of the model's vectors")
        return cls(
            model=model.to(inference.device),
            tokenizer=found.tokenizer,
            inference=inference,
            folder=found.folder or Path(),
            max_length=length,
            dimension=width,
            similarity=said.get("similarity") or "cosine",
            query_prompt=said.get("query_prompt") or "",
            passage_prompt=said.get("passage_prompt") or "",
            include_prompt=said.get("include_prompt", True) is not False,
        )

    def embed(self, texts: Sequence[str], *, prompt: str = "") -> np.ndarray:
        """The vectors of texts, (texts, dimension) float32, as ``SentenceTransformer.encode`` gives them.

        Args:
            texts: in any order; batches are of similar lengths.
            prompt: before each of them, as ``query_prompt``.
        """
        sequences = Sequences(self.tokenizer, self.max_length)
        encoded = encode(self.tokenizer, [prompt + text for text in texts]) if texts else []
        found = [sequences.of(ids)[0] for ids in encoded]
        if sequences.cut:
            self.counts[TRUNCATED.format(self.max_length)] += sequences.cut
        return self.embed_sequences(found, prompt=prompt)

    def embed_sequences(
        self, sequences: Sequence[TokenSequence], *, prompt: str = "", begun: PartialPart | None = None
    ) -> np.ndarray:
        """The same of texts whose tokens are known, which begin with the prompt.

        Args:
            sequences: in any order.
            prompt: before each of them.
            begun: knows what has been computed before, and keeps it.
        """
        begun, nothing = begun or PartialPart(), np.zeros(1, np.float32)
        items = [Item(number, (sequence,), nothing) for number, sequence in enumerate(sequences)]
        vectors = np.zeros((len(items), self.dimension), np.float32)
        before, batches, finished = begun.restore({VECTORS: vectors}), 0, 0
        skipped = 0
        if prompt and not self.include_prompt:
            skipped = 1 + len(encode(self.tokenizer, [prompt])[0])

        def step(batch: TaskBatch) -> dict[int, np.ndarray]:
            nonlocal batches, finished
            batches, finished = batches + 1, finished + len(batch.items)
            if batches > before:
                found = self.model(batch, _skipped(batch, skipped)).float()[:, : self.dimension].cpu().numpy()
                vectors[batch.items.cpu().numpy()] = found
                begun.after(batches, finished / len(items), {VECTORS: vectors})
            return {number: vectors[number] for number in batch.items.tolist()}

        self.inference.outputs(items, step)
        return vectors

    def comparable(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors whose dot product is the similarity: for cosines of length 1."""
        return vectors if self.similarity == "dot" else unit(vectors)


def _skipped(batch: TaskBatch, tokens: int) -> torch.Tensor | None:
    """(B,) this many tokens of each sequence, but never all."""
    if not tokens:
        return None
    return (batch.packed.cu_seqlens.diff().long() - 1).clamp(max=tokens)


def _model(found: Pretrained) -> EmbeddingModel:
    """The model that a folder holds, ready for use.

    Raises:
        InputError: it holds the head of another task, or lacks a part.
    """
    if found.head not in (None, "encoder", "pretraining", "masked_lm", "next_sentence", "embedding"):
        raise InputError(
            f"{found.folder} holds a {found.title}, which gives no embeddings: give an embedding model, or an encoder"
        )
    is_one = found.head == "embedding"
    adaptation = found.adaptation if is_one else Adaptation(normalize=False)
    bare = found if is_one else replace(found, head=None)
    model = task_model("embedding", bare, labels=[], adaptation=adaptation)
    refuse_drawn(model, found)
    return cast(EmbeddingModel, model.eval())
