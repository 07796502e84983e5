import pytest

from cloze.runtime.wording import counted, duration, with_article


@pytest.mark.parametrize(
    ("number", "things", "expected"),
    [
        (1, "texts", "1 text"),
        (0, "texts", "0 texts"),
        (1, "labelled examples", "1 labelled example"),
        (1, "texts truncated to 512 tokens", "1 text truncated to 512 tokens"),
        (1, "rows left out: rows without text", "1 row left out: rows without text"),
        (2_000, "entries", "2,000 entries"),
        (1, "classes", "1 class"),
    ],
)
def test_one_is_singular(number: int, things: str, expected: str) -> None:
    assert counted(number, things) == expected


def test_articles_follow_the_sound() -> None:
    expected = ["a BERT", "an ELECTRA", "a EuroBERT", "an own model"]
    assert [with_article(noun) for noun in ("BERT", "ELECTRA", "EuroBERT", "own model")] == expected


def test_durations_have_their_two_largest_units() -> None:
    assert [duration(seconds) for seconds in (0.25, 45, 480, 11_220)] == ["0.25 s", "45 s", "8 min 0 s", "3 h 7 min"]
    assert duration(200_000) == "2 d 7 h"
