"""Windows of passages, and answers as tokens of them."""

import re
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from cloze.batch import IGNORED_LABEL
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.questions import QuestionFeatures, encode_passages
from cloze.data.finetuning.squad import UNKNOWN, QuestionFiles
from cloze.data.long_texts import windows
from cloze.data.tables.examples import Answer, QuestionExample
from cloze.errors import InputError
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, read_vocabulary

LETTERS = build_tokenizer([*SPECIAL_TOKENS, *"abcdefgh.中文", *(f"##{letter}" for letter in "abcdefgh")])


def example(
    context: str, *answers: tuple[str, int], question: str = "a b", impossible: bool = False
) -> QuestionExample:
    return QuestionExample(
        id="0",
        where="x, question 0",
        question=question,
        context=context,
        answers=tuple(Answer(*answer) for answer in answers),
        impossible=impossible,
    )


def features(max_length: int, stride: int = 2, max_question_length: int = 2) -> QuestionFeatures:
    return QuestionFeatures(max_length=max_length, stride=stride, max_question_length=max_question_length)


def labelled_text(context: str, item: Item) -> str:
    start, end = item.labels[0] - item.origin.row
    return context[item.origin.offsets[start, 0] : item.origin.offsets[end, 1]]


def test_sequences_and_labels() -> None:
    asked = example("c d e f g h", ("f g", 6), question="a b a")
    shape = features(max_length=8)
    found = shape.items([asked], LETTERS, [])
    pieces = [[LETTERS.id_to_token(piece) for piece in item.sequences[0].input_ids.tolist()] for item in found]
    beginning = ["[CLS]", "a", "b", "[SEP]"]
    assert pieces == [
        [*beginning, "c", "d", "e", "[SEP]"],
        [*beginning, "e", "f", "g", "[SEP]"],
        [*beginning, "g", "h", "[SEP]"],
    ]
    assert found[0].sequences[0].token_type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [item.labels.tolist() for item in found] == [[[0, 0]], [[5, 6]], [[0, 0]]]
    assert [(item.origin.row, item.origin.own) for item in found] == [(4, (0, 3)), (4, (1, 3)), (4, (1, 2))]
    assert shape.counts == {"questions truncated to 2 tokens": 1}


def test_labels_of_questions_without_answers() -> None:
    unlabelled = QuestionExample(id="0", where="x", question="a", context="b c", answers=None)
    shape = features(max_length=8)
    found = shape.items(
        [
            unlabelled,
            example("b c", impossible=True),
            example("b c", ("x", UNKNOWN)),
            example("b c", ("x", UNKNOWN), ("c", 2)),
            example("b \u0301 c", ("\u0301", 2)),
        ],
        LETTERS,
        [],
    )
    ignored = [IGNORED_LABEL] * 2
    assert [item.labels.tolist()[0] for item in found] == [ignored, [0, 0], ignored, [5, 5], ignored]
    assert shape.counts == {"answers that the tokenizer leaves nothing of, not taught": 1}


def test_empty_passages_and_questions_have_a_window() -> None:
    nothing = example("\u200b", question="\u200b", impossible=True)
    (item,) = features(max_length=8).items([nothing], LETTERS, [])
    assert len(item.sequences[0].input_ids) == 3
    assert item.origin.own == (0, 0)


def test_answers_that_no_window_holds_are_counted() -> None:
    shape = features(max_length=8)
    found = shape.items([example("a b c d e f", ("b c d e", 2))], LETTERS, [])
    assert {tuple(item.labels[0]) for item in found} == {(0, 0)}
    assert shape.counts == {"answers longer than every window, taught as none": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 67}, "task.max_length=67: has no room for passages next to questions of 64 tokens"),
        ({"stride": 0}, "task.features.stride=0: must be at least 1"),
        ({"max_question_length": 0}, "task.features.max_question_length=0"),
    ],
)
def test_lengths_that_cannot_be(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        QuestionFeatures(**settings)


def googles_windows(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """The spans of run_squad.py, from its description: steps of the stride until a window reaches the end."""
    found, start = [], 0
    while True:
        size = min(room, length - start)
        found.append((start, start + size))
        if start + size == length:
            return found
        start += min(size, stride)


def googles_owner(bounds: Sequence[tuple[int, int]], token: int) -> int:
    """The window with the highest score for a token, the first of equal ones."""
    scores = []
    for number, (start, end) in enumerate(bounds):
        if start <= token < end:
            scores.append((min(token - start, end - 1 - token) + 0.01 * (end - start), -number))
    return -max(scores)[1]


@given(st.integers(0, 120), st.integers(1, 40), st.integers(1, 50))
def test_windows_are_googles(length: int, room: int, stride: int) -> None:
    found = windows(length, room, stride)
    bounds = [(first, end) for first, end, _ in found]
    assert bounds == googles_windows(length, room, stride)
    for token in range(length):
        owners = [number for number, (_, _, (first, end)) in enumerate(found) if first <= token < end]
        assert owners == [googles_owner(bounds, token)]


WORDS = ["ab", "é", "e\u0301", "ée\u0301a", "中文", "a中b", "👍🏽", "👨\u200d👩\u200d👧", "a\u200bb", "\u0301"]
WORDS += ["İ", "ﬁ", "d.", "한"]  # one character that becomes two, or three


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12), st.data())
def test_words_come_back_as_they_are_written(words: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(words) - 1))
    answer = " ".join(words[first : data.draw(st.integers(first, len(words) - 1)) + 1])
    context = " ".join(words)
    start = len(" ".join([*words[:first], ""])) if first else 0
    (item,) = features(max_length=200).items([example(context, (answer, start))], LETTERS, [])
    text = labelled_text(context, item) if item.labels[0, 0] > 0 else ""
    lone = re.compile("^\u0301( \u0301)*$|^(\u0301 )+|( \u0301)+$")  # an accent by itself is no token
    assert lone.sub("", text) == lone.sub("", answer)


@pytest.fixture(scope="module")
def uncased(shared_data: Path) -> Tokenizer:
    return build_tokenizer(read_vocabulary(shared_data / "vocab" / "bert-base-uncased-vocab.txt"))


@pytest.fixture(scope="module")
def chinese(shared_data: Path) -> Tokenizer:
    return build_tokenizer(read_vocabulary(shared_data / "vocab" / "bert-base-chinese-vocab.txt"))


def squad_normal(text: str) -> str:
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


@pytest.mark.parametrize(
    ("file", "vocabulary", "share"),
    [
        ("squad_dev-v1.1.json.zip", "uncased", 0.995),
        ("squad_v2_dev_half_cs224n.json", "uncased", 0.995),
        ("squadshifts_reddit_v1.0.json", "uncased", 0.99),
        ("squadshifts_amazon_reviews_v1.0.json", "uncased", 0.99),
        ("cmrc2018_dev.json", "chinese", 0.99),
    ],
)
def test_labels_of_published_sets_are_the_answers(
    shared_data: Path, file: str, vocabulary: str, share: float, request: pytest.FixtureRequest
) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(vocabulary)
    examples = QuestionFiles(dev=str(shared_data / "qa" / file), no_answer=True).read("dev")[::4]
    found = QuestionFeatures().items(examples, tokenizer, [])
    same, asked = 0, set()
    for item in found:
        if item.labels[0, 0] > 0:
            asked.add(item.example)
            answers = [answer for answer in examples[item.example].answers or () if answer.start != UNKNOWN]
            text = labelled_text(examples[item.example].context, item)
            same += squad_normal(text) == squad_normal(answers[0].text)
    shown = sum((item.labels[0] > 0).all() for item in found)
    assert same >= share * shown
    answerable = {n for n, e in enumerate(examples) if any(answer.start != UNKNOWN for answer in e.answers or ())}
    assert len(asked) >= 0.99 * len(answerable)


def test_as_many_windows_as_google_makes(shared_data: Path, uncased: Tokenizer) -> None:
    """run_squad.py tells "Num split examples = 10833" of SQuAD 1.1's dev set; this many has MLPerf's benchmark, too."""
    examples = QuestionFiles(dev=str(shared_data / "qa" / "squad_dev-v1.1.json.zip")).read("dev")
    assert len(QuestionFeatures().items(examples, uncased, [])) == 10_833


def test_passages_that_many_questions_share_are_encoded_once(uncased: Tokenizer) -> None:
    found = features(max_length=20).items([example("a b"), example("a b"), example("c d")], uncased, [])
    assert np.shares_memory(found[0].origin.offsets, found[1].origin.offsets)
    assert not np.shares_memory(found[0].origin.offsets, found[2].origin.offsets)
    assert encode_passages(["[MASK]"], uncased)["[MASK]"].ids.tolist() == [uncased.token_to_id("[MASK]")]
