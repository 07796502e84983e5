"""The objective: published defaults, refused values, the schedule of the mask rate."""

from dataclasses import replace

import pytest

from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.errors import InputError


@pytest.mark.parametrize(("max_length", "expected"), [(128, 20), (512, 80)])
def test_most_predictions_are_the_published_ones(max_length: int, expected: int) -> None:
    assert MaskedLM(max_length=max_length).most_predictions == expected


def test_most_predictions_follow_the_rate_and_can_be_given() -> None:
    assert MaskedLM(mask_rate=0.3).most_predictions == 40
    assert MaskedLM(mask_rate=0.15, final_mask_rate=0.3).most_predictions == 40
    assert MaskedLM(max_predictions=7).most_predictions == 7
    assert replace(MaskedLM(), max_length=512).most_predictions == 80


def test_the_mask_rate_goes_in_a_straight_line() -> None:
    objective = MaskedLM(mask_rate=0.3, final_mask_rate=0.1)
    assert [objective.mask_rate_at(position) for position in (0.0, 0.5, 1.0, 2.0)] == pytest.approx(
        [0.3, 0.2, 0.1, 0.1]
    )
    assert MaskedLM().mask_rate_at(0.7) == 0.15


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pairs", "nsp"),
        ("masking", "wwm"),
        ("max_length", 7),
        ("short_sequence_rate", 1.5),
        ("mask_rate", 0.0),
        ("mask_rate", 15),
        ("final_mask_rate", 1.0),
        ("mask_token_share", 0.95),
        ("random_token_share", -0.1),
        ("max_predictions", 0),
    ],
)
def test_bad_values_are_named(key: str, value: object) -> None:
    with pytest.raises(InputError, match=f"objective.{key}="):
        MaskedLM(**{key: value})  # type: ignore[arg-type]
