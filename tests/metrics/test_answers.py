"""Exact match and F1 of answers, against torchmetrics and against plain statements of the official rules."""

import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from cloze.metrics.answers import AnswerScore, answer_score, best_threshold, mean_score, normalized, segments

WORDS = st.sampled_from(
    ["the", "The", "a", "an", "cat", "cats", "été", "e\u0301", "U.S.", "--", "'", "x-y", "中文", "。", "3"]
)
TEXTS = st.lists(WORDS, max_size=5).map(" ".join) | st.text("ab中 .,'", max_size=8)


# Without a word that is left torchmetrics has the rule of SQuAD 2.0.
LEFT = st.tuples(TEXTS, st.sampled_from(["cat", "été", "U.S.", "x-y", "中文", "3"]), TEXTS).map(" ".join)


@given(LEFT, st.lists(LEFT, min_size=1, max_size=3))
def test_squad_1_is_torchmetrics(prediction: str, answers: list[str]) -> None:
    assert normalized(prediction)
    theirs = squad(
        [{"id": "1", "prediction_text": prediction}],
        [{"id": "1", "answers": {"text": answers, "answer_start": [0] * len(answers)}}],
    )
    ours = answer_score(prediction, answers)
    assert 100 * ours.exact_match == pytest.approx(float(theirs["exact_match"]))
    assert 100 * ours.f1 == pytest.approx(float(theirs["f1"]))


def official_tokens(text: str) -> list[str]:
    kept = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def official_f1(prediction: str, answer: str, *, version: int) -> float:
    ours, theirs = official_tokens(prediction), official_tokens(answer)
    if version == 2 and (not ours or not theirs):
        return float(ours == theirs)
    left = list(theirs)
    same = 0
    for token in ours:
        if token in left:
            left.remove(token)
            same += 1
    if same == 0:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


QUESTIONS = st.tuples(st.lists(TEXTS, min_size=1, max_size=3), st.just(1)) | st.tuples(
    st.lists(TEXTS, max_size=3), st.just(2)
)


@given(TEXTS, QUESTIONS)
def test_both_versions_of_squad(prediction: str, question: tuple[list[str], int]) -> None:
    answers, version = question
    right = answers
    if version == 2:
        right = [answer for answer in answers if official_tokens(answer)] or [""]
    ours = answer_score(prediction, answers, no_answer=version == 2)
    assert ours.exact_match == max(official_tokens(prediction) == official_tokens(answer) for answer in right)
    assert ours.f1 == pytest.approx(max(official_f1(prediction, answer, version=version) for answer in right))


def test_questions_without_an_answer() -> None:
    assert answer_score("", [], no_answer=True) == AnswerScore(1.0, 1.0)
    assert answer_score("x", [], no_answer=True) == AnswerScore(0.0, 0.0)
    assert answer_score("", ["x"], no_answer=True) == AnswerScore(0.0, 0.0)
    assert answer_score(".", ["the"]) == AnswerScore(1.0, 0.0)
    assert answer_score(".", ["the"], no_answer=True) == AnswerScore(1.0, 1.0)
    assert answer_score("", [], language="chinese") == AnswerScore(1.0, 1.0)
    assert answer_score("", []) == AnswerScore(0.0, 0.0)  # SQuAD 1.1 has no such question
    assert mean_score([]) == AnswerScore(0.0, 0.0)


CMRC_PUNCTUATION = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"  # noqa: RUF001


def cmrc_segments(text: str) -> list[str]:
    """The rule for text of Chinese characters, and letters and digits in words with spaces between them."""
    found: list[str] = []
    word = ""
    for character in text.lower().strip():
        if character in CMRC_PUNCTUATION:
            continue
        if "\u4e00" <= character <= "\u9fa5":
            found += [*word.split(), character]
            word = ""
        else:
            word += character
    return found + word.split()


def longest_common(first: list[str], second: list[str]) -> int:
    """Dynamic programming over the ends of common runs."""
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if one == other else 0
    return max(map(max, lengths))


CHINESE = st.text("中文国ab1 ，。-《A", max_size=12)  # noqa: RUF001


@given(CHINESE, st.lists(CHINESE, min_size=1, max_size=3))
def test_cmrc_2018(prediction: str, answers: list[str]) -> None:
    ours = answer_score(prediction, answers, language="chinese")
    f1, exact = 0.0, 0.0
    for answer in answers:
        tokens, right = cmrc_segments(prediction), cmrc_segments(answer)
        if common := longest_common(tokens, right):
            precision, recall = common / len(tokens), common / len(right)
            f1 = max(f1, 2 * precision * recall / (precision + recall))
        plain = ["".join(c for c in text.lower().strip() if c not in CMRC_PUNCTUATION) for text in (prediction, answer)]
        exact = max(exact, float(plain[0] == plain[1]))
    assert ours.exact_match == exact
    assert ours.f1 == pytest.approx(f1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2010年的gdp", ["2010", "年", "的", "gdp"]),
        ("约1,000.5元", ["约", "1,000.5", "元"]),
        ("henry a. walsh.", ["henry", "a.", "walsh", "."]),
        ('("hotshot")', ["(", '"', "hotshot", '"', ")"]),
        ("a,b; 50%", ["a", ",", "b", ";", "50", "%"]),
    ],
)
def test_words_between_chinese_characters_are_nltks(text: str, expected: list[str]) -> None:
    """As NLTK 3.10's ``NLTKWordTokenizer`` cuts them, but for the form of the quotes."""
    assert segments(text) == expected


ROWS = st.tuples(st.integers(0, 4).map(lambda n: n / 4), st.booleans(), st.integers(-3, 3).map(float))


@given(st.lists(ROWS, min_size=1, max_size=12))
def test_no_threshold_is_better(rows: list[tuple[float, bool, float]]) -> None:
    answered = np.array([0.0 if impossible else score for score, impossible, _ in rows])
    unanswered = np.array([float(impossible) for _, impossible, _ in rows])
    levels = np.array([level for *_, level in rows])

    def score(threshold: float) -> float:
        return float(np.where(levels > threshold, unanswered, answered).mean())

    best = best_threshold(answered, unanswered, levels)
    assert score(best.threshold) == pytest.approx(best.score)
    assert best.score == pytest.approx(max(map(score, [-9.0, *levels])))


@given(st.lists(ROWS, min_size=1, max_size=12, unique_by=lambda row: row[2]))
def test_the_threshold_is_that_of_squad_2(rows: list[tuple[float, bool, float]]) -> None:
    """The walk of evaluate-v2.0.py: all unanswered at first, then one question more at a time, by rising score."""
    current = best = float(sum(impossible for _, impossible, _ in rows))
    threshold = -9.0
    for score, impossible, level in sorted(rows, key=lambda row: row[2]):
        current += -1.0 if impossible else score
        if current > best:
            best, threshold = current, level
    levels = np.array([level for *_, level in rows])
    ours = best_threshold(
        np.array([0.0 if impossible else score for score, impossible, _ in rows]),
        np.array([float(impossible) for _, impossible, _ in rows]),
        levels,
    )
    assert ours.score == pytest.approx(best / len(rows))
    assert (levels > ours.threshold).tolist() == (levels > threshold).tolist()
