"""The losses of re-ranking by a plain statement of each formula, and of teachers by sentence-transformers' values."""

import json
import math
from pathlib import Path

import pytest
import torch

from cloze.errors import InputError
from cloze.tasks.reranking_losses import BinaryCrossEntropy, Divergence, ListwiseSoftmax, MarginMSE, RankingLoss

SCORES = [[2.0, -1.0, 0.5], [0.3, 0.7], [-1.5], [40.0, -60.0, 1.0]]
TEACHER = [[3.0, 1.0, 2.5], [0.9, 0.1], [1.0], [-2.0, 0.0, 4.0]]


def padded(rows: list[list[float]], filler: float) -> torch.Tensor:
    return torch.tensor([[*row, *[filler] * (3 - len(row))] for row in rows])


def found(loss: RankingLoss, teacher: list[list[float]] = TEACHER) -> float:
    """Of the four queries, with a filler behind them; the gradient must be finite and 0 where there is no passage."""
    scores = torch.cat([padded(SCORES, float("-inf")), torch.zeros(1, 3)]).requires_grad_()
    targets = torch.cat([padded(teacher, math.nan), torch.full((1, 3), math.nan)])
    value = loss(scores, targets)
    (gradient,) = torch.autograd.grad(value, scores)
    assert torch.isfinite(gradient).all()
    assert not gradient[targets.isnan()].any()
    return value.item()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(x - max(row)) for x in row]
    return [p / sum(powers) for p in powers]


def test_binary_cross_entropy() -> None:
    rows = [[-math.log(sigmoid(row[0])), *(-math.log(sigmoid(-x)) for x in row[1:])] for row in SCORES]
    assert found(BinaryCrossEntropy()) == pytest.approx(sum(sum(row) / len(row) for row in rows), rel=1e-5)
    weighted = [[3 * row[0], *row[1:]] for row in rows]
    assert found(BinaryCrossEntropy(positive_weight=3.0)) == pytest.approx(
        sum(sum(row) / len(row) for row in weighted), rel=1e-5
    )


def test_softmax_over_the_passages_of_a_query() -> None:
    assert found(ListwiseSoftmax()) == pytest.approx(sum(-math.log(softmax(row)[0]) for row in SCORES), rel=1e-5)


def test_margin_mse() -> None:
    expected = 0.0
    for row, teacher in zip(SCORES, TEACHER, strict=True):
        errors = [((row[0] - x) - (teacher[0] - t)) ** 2 for x, t in zip(row[1:], teacher[1:], strict=True)]
        expected += sum(errors) / max(1, len(errors))
    assert found(MarginMSE()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_divergence_from_a_teacher(temperature: float) -> None:
    expected = 0.0
    for row, teacher in zip(SCORES, TEACHER, strict=True):
        said, wanted = (softmax([x / temperature for x in values]) for values in (row, teacher))
        expected += temperature**2 * sum(w * math.log(w / s) for w, s in zip(wanted, said, strict=True))
    assert found(Divergence(temperature=temperature)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("case", "loss"),
    [
        ("MarginMSE dot, two negatives", MarginMSE()),
        ("DistillKLDiv dot T=1", Divergence()),
        ("DistillKLDiv dot T=2", Divergence(temperature=2.0)),
    ],
)
def test_losses_of_a_teacher_are_those_of_sentence_transformers(
    case: str, loss: RankingLoss, shared_data: Path
) -> None:
    known = json.loads((shared_data / "fixtures/losses.json").read_text())
    columns = [torch.tensor(column) for column in known["embeddings"].values()]
    query, *passages = (columns[number] for number in known["cases"][case]["columns"])
    scores = torch.stack([(query * passage).sum(-1) for passage in passages], dim=1)
    teacher = torch.tensor(known["teacher"])
    if isinstance(loss, MarginMSE):  # there it is given the margins
        teacher = torch.cat([torch.zeros(len(scores), 1), -torch.tensor(known["margins"])], dim=1)
    assert loss(scores, teacher).item() / len(scores) == pytest.approx(known["cases"][case]["loss"], rel=1e-5)


def test_numbers_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match=r"task\.module\.loss\.temperature=0\.0: must be above 0"):
        Divergence(temperature=0.0)
    with pytest.raises(InputError, match=r"positive_weight=-1: must be above 0"):
        BinaryCrossEntropy(positive_weight=-1)
