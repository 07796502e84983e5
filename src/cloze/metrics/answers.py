"""Exact match and F1 of extracted answers by the official rules of SQuAD 1.1, SQuAD 2.0 and CMRC 2018.

SQuAD: Rajpurkar et al. 2016, section 6.1, and evaluate-v1.1.py; Rajpurkar et al. 2018, and evaluate-v2.0.py. CMRC 2018:
Cui et al. 2019, section 4, and cmrc2018_evaluate.py.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

Language = Literal["english", "chinese"]

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
CHINESE_PUNCTUATION = str.maketrans("", "", r"-:_*^/\~`+=，。：？！“”；’《》·、「」（）－～『』")  # noqa: RUF001
CHINESE_CHARACTER = re.compile("([\u4e00-\u9fa5])")
SIGNS = r"()[\]{}<>" + r'"–—;@#$%&?!'  # noqa: RUF001 - each a token of its own
WORD = re.compile(rf"[{SIGNS}]|\.{{2,}}|,(?!\d)|\.(?=\W*$)|(?:[^\s{SIGNS},.]|,(?=\d)|\.(?!\W*$))+")
"""A token between Chinese characters. CMRC 2018 splits there with NLTK's ``word_tokenize``; this is what matters of it
in answers: all 603 different such pieces in the answers of its dev set are split alike, but ``don't`` is one token
here.
"""


class AnswerScore(NamedTuple):
    """Of one prediction, or the mean over many; in [0, 1]."""

    exact_match: float
    f1: float


class Threshold(NamedTuple):
    """The best mean score, and the score for "no answer" above which questions are left unanswered for it."""

    score: float
    threshold: float


def answer_score(
    prediction: str, answers: Sequence[str], *, language: Language = "english", no_answer: bool = False
) -> AnswerScore:
    """How well a prediction fits the best of the right answers; both measures take their own best.

    Args:
        prediction: a text; empty for "no answer".
        answers: the right ones; none for a question without an answer.
        language: chinese takes the rules of CMRC 2018.
        no_answer: questions may have no answer: the rules of SQuAD 2.0, not those of 1.1. They differ in answers that
            are nothing when normalised, such as "the" or ".".
    """
    if language == "chinese":
        if not answers:
            return AnswerScore(float(not prediction), float(not prediction))
        return _best([_chinese_score(prediction, answer) for answer in answers])
    if no_answer:
        answers = [answer for answer in answers if normalized(answer)] or [""]
    return _best([_english_score(prediction, answer, no_answer) for answer in answers])


def mean_score(scores: Sequence[AnswerScore]) -> AnswerScore:
    """The means of both measures; 0 over nothing."""
    exact_match, f1 = np.mean(scores, axis=0).tolist() if scores else (0.0, 0.0)
    return AnswerScore(exact_match, f1)


def _best(scores: Sequence[AnswerScore]) -> AnswerScore:
    exact_match = max((score.exact_match for score in scores), default=0.0)
    return AnswerScore(exact_match, max((score.f1 for score in scores), default=0.0))


@lru_cache(maxsize=1 << 16)
def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous white space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def _english_score(prediction: str, answer: str, no_answer: bool) -> AnswerScore:
    prediction, answer = normalized(prediction), normalized(answer)
    if no_answer and not (prediction and answer):
        f1 = float(prediction == answer)
    else:
        tokens, right = prediction.split(), answer.split()
        f1 = _f1((Counter(tokens) & Counter(right)).total(), len(tokens), len(right))
    return AnswerScore(float(prediction == answer), f1)


def _chinese_score(prediction: str, answer: str) -> AnswerScore:
    prediction, answer = (text.lower().strip().translate(CHINESE_PUNCTUATION) for text in (prediction, answer))
    tokens, right = segments(prediction), segments(answer)
    # CMRC 2018's "longest common subsequence" is one without gaps.
    common = SequenceMatcher(None, tokens, right, autojunk=False).find_longest_match().size
    return AnswerScore(float(prediction == answer), _f1(common, len(tokens), len(right)))


def segments(text: str) -> list[str]:
    """Chinese characters one by one, words of other scripts in between."""
    pieces = CHINESE_CHARACTER.split(text)  # every second one is a Chinese character
    return [token for place, piece in enumerate(pieces) for token in ([piece] if place % 2 else WORD.findall(piece))]


def _f1(common: int, predicted: int, right: int) -> float:
    # The harmonic mean of common / predicted and common / right.
    return 2 * common / (predicted + right) if common else 0.0


def best_threshold(answered: np.ndarray, unanswered: np.ndarray, no_answer_scores: np.ndarray) -> Threshold:
    """From which score for "no answer" on a question is best left unanswered (evaluate-v2.0.py, ``find_best_thresh``).

    Unlike there, questions with the same score stay together, since no threshold can part them, and the threshold is
    halfway between two scores, so that rounding changes nothing.

    Args:
        answered: (n,) what each question scores with its best answer.
        unanswered: (n,) what it scores without any.
        no_answer_scores: (n,) how sure it is that there is none, in any unit.
    """
    order = np.argsort(no_answer_scores, kind="stable")
    levels = no_answer_scores[order]
    ends = np.flatnonzero(np.append(levels[1:] != levels[:-1], True))  # the last question of each level
    gains = np.append(0.0, np.cumsum((answered - unanswered)[order])[ends])  # of answering no level, one, two, ...
    best = int(gains.argmax())
    edges = np.concatenate([levels[:1] - 2, levels[ends], levels[-1:] + 2])
    return Threshold(float((unanswered.sum() + gains[best]) / len(order)), float(edges[best : best + 2].mean()))
