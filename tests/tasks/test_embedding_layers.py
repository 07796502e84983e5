"""A loss over layers: a plain statement of its formula, and which layers a step reads."""

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from cloze.errors import InputError
from cloze.tasks.embedding_layers import AdaptiveLayers
from cloze.tasks.embedding_losses import Compared, CosineRegression, EmbeddingLoss, InfoNCE, Matryoshka


def cosine(one: list[float], other: list[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths


def softmax(values: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in values]
    return [power / sum(powers) for power in powers]


def plain(
    texts: list[Tensor], others: list[Tensor], numbers: list[int], widths: list[int], weight: Any, temperature: float
) -> float:
    """The loss of the last layer (B, D), the first of each list, and of shallower ones, in loops over numbers."""

    def infonce(mine: list[list[float]], theirs: list[list[float]]) -> float:
        rows = [[math.exp(cosine(text, other) / 0.05) for other in theirs] for text in mine]
        return -sum(math.log(row[at] / sum(row)) for at, row in enumerate(rows)) / len(rows)

    def matryoshka(mine: Tensor, theirs: Tensor) -> float:
        return sum(infonce(mine[:, :width].tolist(), theirs[:, :width].tolist()) for width in widths)

    total = matryoshka(texts[0], others[0])
    last = [softmax(row, temperature) for row in (*texts[0].tolist(), *others[0].tolist())]
    for number, mine, theirs in zip(numbers, texts[1:], others[1:], strict=True):
        total += matryoshka(mine, theirs) * weight(number) / len(numbers)
        found = [softmax(row, temperature) for row in (*mine.tolist(), *theirs.tolist())]
        apart = [
            sum(p * math.log(p / q) for p, q in zip(row, other, strict=True))
            for row, other in zip(last, found, strict=True)
        ]
        total += temperature * sum(apart) / len(apart)
    return total


@pytest.mark.parametrize("weighting", ["uniform", "log", "linear"])
@pytest.mark.parametrize("widths", [[6], [6, 2]])
def test_the_loss_is_the_formula(weighting: Any, widths: list[int]) -> None:
    torch.manual_seed(0)
    texts, others = ([torch.randn(count, 6) for _ in range(3)] for count in (3, 4))
    numbers = [2, 5]
    inner: EmbeddingLoss = InfoNCE() if widths == [6] else Matryoshka(loss=InfoNCE(), dimensions=widths)
    loss = AdaptiveLayers(loss=inner, weighting=weighting, divergence_temperature=0.5)
    found = Compared(
        torch.cat(texts, 1), torch.cat(others, 1), torch.tensor([0, 1, 2, 0]), torch.zeros(4),
        torch.zeros(3, 4, dtype=torch.bool), (2, 5),
    )  # fmt: skip
    weights = {"uniform": lambda _: 1, "log": lambda n: 1 / (1 + math.log(1 + n)), "linear": lambda n: 1 / (1 + n)}
    wanted = plain(texts, others, numbers, widths, weights[weighting], 0.5)
    assert loss(found, "cosine").item() == pytest.approx(wanted, rel=1e-5)


def test_the_last_layer_is_not_drawn_towards_the_others() -> None:
    torch.manual_seed(0)
    texts, others = (torch.randn(2, 8, requires_grad=True) for _ in range(2))
    loss = AdaptiveLayers(loss=InfoNCE(), last_weight=0.0, layers_weight=0.0)
    found = Compared(texts, others, torch.arange(2), torch.zeros(2), torch.zeros(2, 2, dtype=torch.bool), (1,))
    loss(found, "cosine").backward()
    for each in (texts, others):
        assert each.grad is not None
        assert not each.grad[:, :4].any()
        assert each.grad[:, 4:].any()


def test_each_step_draws_layers_by_its_number_alone() -> None:
    first, second = (AdaptiveLayers(loss=InfoNCE(), layers_per_step=2) for _ in range(2))
    for loss in (first, second):
        loss.choose_from(range(2, 6))
    drawn = [first.layers(step) for step in range(60)]
    assert [second.layers(step) for step in reversed(range(60))] == drawn[::-1]
    assert {*drawn} == {*combinations((2, 3, 4, 5), 2)}
    every = AdaptiveLayers(loss=InfoNCE(), layers=[3, 1], layers_per_step=None)
    every.choose_from(range(1, 6))
    assert every.layers(7) == (1, 3)
    assert InfoNCE().layers(7) == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"layers_per_step": 0}, "layers_per_step=0: must be at least 1"),
        ({"divergence_temperature": 0.0}, "divergence_temperature=0.0: must be above 0"),
        ({"divergence": -1.0}, "divergence=-1.0: must be at least 0"),
        ({"loss": AdaptiveLayers(loss=InfoNCE())}, "AdaptiveLayers stands within itself"),
    ],
)
def test_values_that_cannot_be_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AdaptiveLayers(**{"loss": InfoNCE(), **arguments})


def test_layers_that_are_not_there_and_the_wrong_order_of_losses_are_refused() -> None:
    for layers, trained in (([6], range(1, 6)), ([1], range(2, 6)), (None, range(1, 1))):
        with pytest.raises(InputError, match="expected layers below the last that are trained"):
            AdaptiveLayers(loss=InfoNCE(), layers=layers).choose_from(trained)
    with pytest.raises(InputError, match="Matryoshka stands within AdaptiveLayers, not around it"):
        Matryoshka(loss=AdaptiveLayers(loss=InfoNCE()), dimensions=[4])
    assert AdaptiveLayers(loss=CosineRegression()).needs == "scores"
