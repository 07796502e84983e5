"""The losses of embeddings: sentence-transformers' values and gradients, and plain statements of their formulas."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.errors import InputError
from cloze.tasks.embedding_losses import (
    Compared,
    CoSENT,
    CosineRegression,
    Divergence,
    EmbeddingLoss,
    InfoNCE,
    MarginMSE,
    Matryoshka,
    Triplet,
)

CASES: dict[str, tuple[Callable[[], EmbeddingLoss], str, str | None]] = {
    "MNRL pairs scale 20": (lambda: InfoNCE(), "cosine", None),
    "MNRL one negative": (lambda: InfoNCE(), "cosine", None),
    "MNRL two negatives scale 50": (lambda: InfoNCE(temperature=0.02), "cosine", None),
    "MNRL symmetric (query_to_doc, doc_to_query; per_direction)": (lambda: InfoNCE(directions="both"), "cosine", None),
    "CoSENT scale 20": (lambda: CoSENT(), "cosine", "scores"),
    "CosineSimilarity MSE": (lambda: CosineRegression(), "cosine", "scores"),
    "MarginMSE dot, two negatives": (lambda: MarginMSE(), "dot", "margins"),
    "MarginMSE from scores": (lambda: MarginMSE(), "dot", "teacher"),
    "DistillKLDiv dot T=1": (lambda: Divergence(), "dot", "teacher"),
    "DistillKLDiv dot T=2": (lambda: Divergence(temperature=2.0), "dot", "teacher"),
    "Triplet euclidean margin 5": (lambda: Triplet(), "cosine", None),
    "Matryoshka(MNRL pairs) dims [8, 4, 2] weights [1, 1, 1]": (
        lambda: Matryoshka(loss=InfoNCE(), dimensions=[8, 4, 2]), "cosine", None,
    ),
    "Matryoshka(MNRL pairs) dims [8, 4, 2] weights [1, 0.5, 0.25]": (
        lambda: Matryoshka(loss=InfoNCE(), dimensions=[8, 4, 2], weights=[1, 0.5, 0.25]), "cosine", None,
    ),
}  # fmt: skip


def compared(columns: list[Tensor], scores: Tensor | None = None) -> Compared:
    """Columns (B, D) of texts, positives and negatives; scores (B,) or (B, columns - 1)."""
    count = len(columns[0])
    others = torch.cat(columns[1:])
    owners = torch.arange(count).repeat(len(columns) - 1)
    given = torch.zeros(len(others), dtype=others.dtype) if scores is None else scores.reshape(count, -1).T.flatten()
    return Compared(columns[0], others, owners, given, torch.zeros(count, len(others), dtype=torch.bool))


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_sentence_transformers(name: str, shared_data: Path) -> None:
    found: dict[str, Any] = json.loads((shared_data / "fixtures/losses.json").read_text())
    case, (make, similarity, kind) = found["cases"][name], CASES[name]
    names = list(found["embeddings"])
    columns = [
        torch.tensor(found["embeddings"][names[at]], dtype=torch.float64).requires_grad_() for at in case["columns"]
    ]
    scores = None if kind is None else torch.tensor(found[kind], dtype=torch.float64)
    if kind == "margins":  # of the negatives: the positive as the origin
        assert scores is not None
        scores = torch.cat([torch.zeros(len(scores), 1, dtype=torch.float64), -scores], dim=1)
    loss = make()(compared(columns, scores), similarity)
    assert loss.item() == pytest.approx(case["loss"], rel=1e-6)
    for mine, theirs in zip(torch.autograd.grad(loss, columns), case["grads"], strict=True):
        assert torch.allclose(mine, torch.tensor(theirs, dtype=torch.float64), rtol=1e-5, atol=1e-7)


def test_excluded_others_are_no_negatives() -> None:
    torch.manual_seed(0)
    texts, positives = torch.randn(3, 4), torch.randn(3, 4)
    found = compared([texts, positives])
    found.excluded[0, 2] = True
    cosines = F.normalize(texts, dim=-1) @ F.normalize(positives, dim=-1).T / 0.05
    rows = [cosines[0, :2], cosines[1], cosines[2]]
    wanted = sum(row.logsumexp(0) - cosines[at, at] for at, row in enumerate(rows)) / 3
    assert InfoNCE()(found, "cosine").item() == pytest.approx(float(wanted), rel=1e-5)


def test_texts_may_have_different_numbers_of_negatives() -> None:
    torch.manual_seed(0)
    texts, others = torch.randn(2, 4), torch.randn(5, 4)
    owners, scores = torch.tensor([0, 1, 1, 0, 1]), torch.randn(5)
    found = Compared(texts, others, owners, scores, torch.zeros(2, 5, dtype=torch.bool))
    dots = (texts[owners] * others).sum(-1)
    rows = [[0, 3], [1, 2, 4]]
    divergences = [F.kl_div(dots[row].log_softmax(0), scores[row].softmax(0), reduction="sum").item() for row in rows]
    assert Divergence()(found, "dot").item() == pytest.approx(sum(divergences) / 2, rel=1e-5)
    soft = [
        F.kl_div((dots[row] / 0.5).log_softmax(0), (scores[row] / 3.0).softmax(0), reduction="sum").item()
        for row in rows
    ]
    loss = Divergence(temperature=0.5, teacher_temperature=3.0)
    assert loss(found, "dot").item() == pytest.approx(0.25 * sum(soft) / 2, rel=1e-5)
    margins = [(dots[a] - dots[b] - scores[a] + scores[b]).item() ** 2 for a, b in ((1, 2), (0, 3), (1, 4))]
    assert MarginMSE()(found, "dot").item() == pytest.approx(sum(margins) / 3, rel=1e-5)


def test_a_learned_temperature_has_a_gradient_and_a_given_one_is_no_parameter() -> None:
    torch.manual_seed(0)
    loss = InfoNCE(learned=True, temperature=0.07)
    loss(compared([torch.randn(3, 4), torch.randn(3, 4)]), "cosine").backward()
    assert loss.log_scale.item() == pytest.approx(-math.log(0.07))
    assert loss.log_scale.grad is not None
    assert not [*InfoNCE().parameters()]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: InfoNCE(temperature=0.0), "task.module.loss.temperature=0.0: must be above 0"),
        (lambda: Matryoshka(loss=InfoNCE(), dimensions=[]), "dimensions"),
        (lambda: Matryoshka(loss=InfoNCE(), dimensions=[4], weights=[1, 2]), "a weight for each"),
    ],
)
def test_values_that_cannot_be_are_refused(make: Callable[[], EmbeddingLoss], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
