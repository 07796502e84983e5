"""Exact search by inner products, a block of documents at a time."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cloze.errors import InputError

SCORES_AT_ONCE = 1 << 24
"""Products that are held at once, 64 MiB: more are computed in several parts."""

DOCUMENTS_AT_ONCE = 1 << 16


class Found(NamedTuple):
    """The best documents of each query, best first.

    Attributes:
        scores: (Q, k) float32 inner products; -inf where there are fewer than k documents.
        places: (Q, k) int64, of documents in the order of the blocks, from 0; -1 where there are fewer.
    """

    scores: np.ndarray
    places: np.ndarray


def top_k(queries: np.ndarray, blocks: Iterable[np.ndarray], k: int, *, device: str | torch.device = "cpu") -> Found:
    """The k documents with the highest inner product with each query; of equal ones those of the lower place.

    Memory holds the queries, a block, ``SCORES_AT_ONCE`` products, and what has been found. Blocks are read once.

    Args:
        queries: (Q, D).
        blocks: (B, D) each, documents in their order; B may change.
        k: at least 1.
        device: where the products are computed, in fp32.

    Raises:
        InputError: the embedding of a document or a query is not finite, so that it has no rank.
    """
    asked = _finite(queries, "query", 0).to(device)
    scores = torch.full((len(asked), k), -torch.inf, device=device)
    places = torch.full((len(asked), k), -1, dtype=torch.int64, device=device)
    before = 0
    for block in blocks:
        for start in range(0, len(block), DOCUMENTS_AT_ONCE):
            documents = _finite(block[start : start + DOCUMENTS_AT_ONCE], "document", before).to(device)
            numbers = torch.arange(before, before + len(documents), device=device)
            some = max(1, SCORES_AT_ONCE // len(documents))
            for first in range(0, len(asked), some):
                rows = slice(first, first + some)
                products = asked[rows] @ documents.T  # (some, B)
                best, where = _best(products, k)
                scores[rows], places[rows] = _merged(scores[rows], places[rows], best, numbers[where], k)
            before += len(documents)
    return Found(scores.cpu().numpy(), places.cpu().numpy())


def _finite(vectors: np.ndarray, kind: str, before: int) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
    finite = tensor.isfinite().all(dim=1)
    if not finite.all():
        place = before + int(finite.logical_not().nonzero()[0])
        raise InputError(
            f"{kind} {place} (from 0): its embedding holds a value that is infinite or no number, so it has no rank; "
            "check the model that made it, or take hardware.precision=32-true"
        )
    return tensor


def _best(products: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of each row (Q, B), or all B, and their columns; of equal ones the lower columns."""
    if products.shape[1] <= k:
        columns = torch.arange(products.shape[1], device=products.device).expand_as(products)
        return products, columns
    scores, columns = products.topk(k, sorted=True)
    # Which of the documents that tie with the last one topk takes is left to the device.
    tied = ((products >= scores[:, -1:]).sum(dim=1) > k).nonzero()[:, 0]
    if len(tied):
        ordered, order = products[tied].sort(dim=1, descending=True, stable=True)
        scores[tied], columns[tied] = ordered[:, :k], order[:, :k]
    return scores, columns


def _merged(scores: Tensor, places: Tensor, more: Tensor, more_places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of what was found before and of later documents, by score, then by place."""
    more_places, order = more_places.sort(dim=1)
    scores = torch.cat([scores, more.gather(1, order)], dim=1)
    places = torch.cat([places, more_places], dim=1)  # what was found before has lower places, and -1 only with -inf
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return scores[:, :k], places.gather(1, order)[:, :k]
