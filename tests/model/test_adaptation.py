"""What an adaptation refuses, and which layers it reads."""

import pytest

from cloze.model.adaptation import Adaptation
from cloze.model.config import BertConfig


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"frozen_layers": -1}, "frozen_layers=-1: it must be a number of blocks, or all"),
        ({"reinitialized_layers": -2}, "reinitialized_layers=-2: it must be a number of blocks"),
        ({"frozen_layers": "all", "reinitialized_layers": 1}, "must be trained, but frozen_layers=all"),
        ({"lstm_layers": 0}, "lstm_layers=0: it must be at least 1"),
        ({"lstm_hidden_size": 0}, "lstm_hidden_size=0: it must be at least 1"),
        ({"classifier_dropout": 1.0}, "classifier_dropout=1.0: it must be at least 0 and below 1"),
        ({"hidden_dropout_prob": -0.1}, "hidden_dropout_prob=-0.1: it must be at least 0 and below 1"),
    ],
)
def test_values_that_cannot_be_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        Adaptation(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "numbers"),
    [
        ("embeddings", (0,)),
        ("second_to_last", (11,)),
        ("last", (12,)),
        ("sum_last_4", (9, 10, 11, 12)),
        ("concat_last_4", (9, 10, 11, 12)),
        ("weighted_sum_last_4", (9, 10, 11, 12)),
        ("weighted_sum", tuple(range(1, 13))),
    ],
)
def test_layers_of_bert_base(layers: str, numbers: tuple[int, ...]) -> None:
    assert Adaptation(layers=layers).numbers(12) == numbers  # type: ignore[arg-type]


@pytest.mark.parametrize(("layers", "blocks"), [("second_to_last", 1), ("concat_last_4", 3), ("sum_last_4", 2)])
def test_too_few_blocks_are_refused(layers: str, blocks: int) -> None:
    with pytest.raises(ValueError, match=f"layers={layers}: the model has only num_hidden_layers={blocks}"):
        Adaptation(layers=layers).numbers(blocks)  # type: ignore[arg-type]


def test_more_blocks_than_there_are_cannot_be_frozen_and_begun_anew() -> None:
    config = BertConfig(vocab_size=9, num_hidden_layers=4)
    assert Adaptation(frozen_layers=3, reinitialized_layers=1).configured(config) == config
    with pytest.raises(ValueError, match="together more than the model's num_hidden_layers=4"):
        Adaptation(frozen_layers=3, reinitialized_layers=2).configured(config)
