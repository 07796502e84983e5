"""What of a batch of embeddings is compared with what. Legend for shapes: see `cloze.tasks.embedding_losses`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cloze.batch import Packed, TaskBatch
from cloze.data.finetuning.embedding import Origin
from cloze.data.finetuning.items import Item
from cloze.tasks.embedding_losses import Compared

AT_ONCE = 1024
"""Texts that are compared with all others at once, in evaluation."""
NEIGHBOURS = 5
"""That vote for the label of a text, as in MTEB (Muennighoff et al. 2023)."""


def compare(
    vectors: Tensor, numbers: Sequence[int], items: Sequence[Item], positives: Mapping[int, np.ndarray]
) -> Compared:
    """The vectors of items, in the order of their numbers, whatever rank and chunk they come from.

    Args:
        vectors: (n, D), of an item after the other.
        numbers: of the items in the split; -1 for one that only fills a rank's part.
        items: of the split.
        positives: `several_positives` of it.
    """
    counts = np.array([len(items[max(0, number)].sequences) for number in numbers])
    starts = np.cumsum(counts) - counts
    order = [place for place in np.argsort(numbers, kind="stable") if numbers[place] >= 0]  # without fillers
    chosen = [items[numbers[place]] for place in order]
    origins: list[Origin] = [item.origin for item in chosen]
    negatives = [np.arange(starts[place] + 2, starts[place] + counts[place]) for place in order]
    rows = np.concatenate([starts[order] + 1, *negatives])
    owners = np.concatenate([np.arange(len(order)), np.repeat(np.arange(len(order)), counts[order] - 2)])
    texts = np.concatenate([[each.texts[1] for each in origins], *(each.texts[2:] for each in origins)])
    scores = np.concatenate([[item.labels[0, 0] for item in chosen], *(_known(item)[1:] for item in chosen)])
    device = vectors.device

    def there(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    return Compared(
        texts=vectors[there(starts[order])],
        others=vectors[there(rows)],
        owners=there(owners),
        scores=there(scores.astype(np.float32)),
        excluded=there(_excluded(origins, texts.astype(np.int64), owners, positives)),
    )


def _excluded(
    origins: Sequence[Origin], others: np.ndarray, owners: np.ndarray, positives: Mapping[int, np.ndarray]
) -> np.ndarray:
    """(B, C) bool: no negatives of a text are itself, all that is known to belong to it, and texts of its group."""
    own, right = (np.array([each.texts[at] for each in origins])[:, None] for at in (0, 1))
    groups = np.array([each.group for each in origins])
    found: np.ndarray = (
        (others == right) | (others == own) | ((groups[:, None] == groups[owners]) & (groups[:, None] >= 0))
    )
    for row, origin in enumerate(origins):
        if (more := positives.get(int(origin.texts[0]))) is not None:
            found[row] |= np.isin(others, more)
    found[np.arange(len(origins)), np.arange(len(origins))] = False
    return found


def several_positives(items: Sequence[Item]) -> dict[int, np.ndarray]:
    """Of each text of a split that has several positives, the numbers of these."""
    pairs = np.unique(np.array([item.origin.texts[:2] for item in items]), axis=0)
    texts, starts, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    several = counts > 1
    return {
        int(text): pairs[start : start + count, 1]
        for text, start, count in zip(texts[several], starts[several], counts[several], strict=True)
    }


def _known(item: Item) -> np.ndarray:
    """(n,) the scores of the positive and the negatives."""
    scores: np.ndarray = item.labels[0, : len(item.sequences) - 1]
    return scores


def ranks_of(origins: Sequence[Origin], vectors: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The place, from 1, of each text's positive among all positives and negatives of a split, and its nearest rival.

    Equal texts count once, and a text is not compared with itself nor with its other positives. Of equal similarities
    the positive comes last, so that a model for which all texts are alike has the worst rank.

    Args:
        origins: what the texts of each example are.
        vectors: of each, (n, D), such that dot products are similarities.

    Returns:
        (examples,) int64 twice: the ranks, and the numbers of the texts that are nearest of all but the positives.
    """
    numbers = np.concatenate([origin.texts[1:] for origin in origins])
    distinct, first = np.unique(numbers, return_index=True)
    others = np.concatenate([each[1:] for each in vectors])[first]
    texts = np.stack([each[0] for each in vectors])
    own = np.array([origin.texts[0] for origin in origins])
    right = np.searchsorted(distinct, [origin.texts[1] for origin in origins])
    positives: dict[int, list[int]] = {}
    for place, text in zip(right.tolist(), own.tolist(), strict=True):
        positives.setdefault(text, []).append(place)
    ranks, nearest = np.empty((2, len(texts)), np.int64)
    for start in range(0, len(texts), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found = texts[part] @ others.T
        mine = found[np.arange(len(found)), right[part]].copy()
        found[own[part, None] == distinct] = -np.inf
        for row, text in enumerate(own[part].tolist()):
            found[row, positives[text]] = -np.inf
        ranks[part] = 1 + (found >= mine[:, None]).sum(1)
        nearest[part] = distinct[found.argmax(1)]
    return ranks, nearest


def voted(vectors: np.ndarray, labels: Sequence[str]) -> list[str]:
    """The label that most of the nearest other texts have; of equally many that of the nearest.

    Args:
        vectors: (n, D), such that dot products are similarities.
        labels: of the texts.
    """
    found: list[str] = []
    for start in range(0, len(vectors), AT_ONCE):
        near = vectors[start : start + AT_ONCE] @ vectors.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -np.inf
        nearest = np.argsort(-near, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(vectors) - 1)]
        found += [Counter(labels[place] for place in row).most_common(1)[0][0] for row in nearest.tolist()]
    return found


def places(values: Sequence[float]) -> np.ndarray:
    """Where each value stands in their order, (n,) from 0 to 1; equal ones at their middle."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle: np.ndarray = (ends - (counts + 1) / 2) / max(1, len(values) - 1)
    return middle[inverse]


def chunks(batch: TaskBatch, tokens: int) -> Iterator[TaskBatch]:
    """The sequences of a batch in parts of at most about this many tokens."""
    bounds = batch.packed.cu_seqlens.tolist()
    if bounds[-1] <= tokens:
        yield batch
        return
    start = 0
    while start < len(bounds) - 1:
        end = start + 1
        while end < len(bounds) - 1 and bounds[end + 1] - bounds[start] <= tokens:
            end += 1
        inside = slice(bounds[start], bounds[end])
        packed = Packed(
            input_ids=batch.packed.input_ids[inside],
            token_type_ids=batch.packed.token_type_ids[inside],
            position_ids=batch.packed.position_ids[inside],
            cu_seqlens=batch.packed.cu_seqlens[start : end + 1] - bounds[start],
            max_seqlen=max(b - a for a, b in zip(bounds[start:end], bounds[start + 1 : end + 1], strict=True)),
        )
        yield batch._replace(packed=packed, features=None if batch.features is None else batch.features[inside])
        start = end


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) of length 1, float32."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    found: np.ndarray = (vectors / lengths).astype(np.float32, copy=False)
    return found
