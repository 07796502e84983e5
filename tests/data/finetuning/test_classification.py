"""Features of texts and pairs: the ids of transformers' tokenizer, and labels."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from cloze.data.finetuning.choice import ChoiceFeatures
from cloze.data.finetuning.classification import TextFeatures
from cloze.data.finetuning.tables import TextTables
from cloze.data.long_texts import kept
from cloze.data.tables.examples import ChoiceExample, TextExample
from cloze.errors import InputError
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, read_vocabulary

PIECES = [*SPECIAL_TOKENS, *"abcdefgh", "##a", "##b", "mask", "[", "]", "."]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return build_tokenizer(PIECES)


def text(text: str, pair: str | None = None, label: Any = None) -> TextExample:
    return TextExample(id="0", where="x.csv, line 7", text=text, text_pair=pair, label=label)


letters = st.lists(st.sampled_from("abcdefgh"), max_size=30).map(" ".join)


some_letters = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30).map(" ".join)


@given(letters, st.none() | some_letters, st.integers(5, 40))
def test_sequences_are_those_of_transformers(first: str, second: str | None, length: int) -> None:
    tokenizer = build_tokenizer(PIECES)
    oracle = PreTrainedTokenizerFast(tokenizer_object=build_tokenizer(PIECES))
    expected = oracle(first, second, truncation="longest_first", max_length=length, return_token_type_ids=True)
    features = TextFeatures(max_length=length)
    ((sequence,),) = [item.sequences for item in features.items([text(first, second)], tokenizer, [])]
    assert sequence.input_ids.tolist() == expected["input_ids"]
    assert sequence.token_type_ids.tolist() == expected["token_type_ids"]
    whole = oracle(first, second)["input_ids"]
    assert features.counts[f"texts truncated to {length} tokens"] == (len(whole) > length)


def test_truncation_is_that_of_the_tokenizers_library() -> None:
    oracle = build_tokenizer(PIECES)
    for room in range(2, 10):
        oracle.enable_truncation(room + 3, strategy="longest_first")
        for first in range(1, 12):
            pairs = [("a " * first, "b " * second) for second in range(1, 12)]
            for second, encoding in enumerate(oracle.encode_batch(pairs), start=1):
                counts = [encoding.tokens.count(piece) for piece in "ab"]
                assert kept(first, second, room) == tuple(counts)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 40))
def test_truncation_is_googles_but_for_the_odd_piece(first: int, second: int, room: int) -> None:
    a, b = first, second
    while a + b > room:  # create_pretraining_data.py and run_classifier.py: the longer one loses its last token
        if a > b:
            a -= 1
        else:
            b -= 1
    found = kept(first, second, room)
    assert found == (a, b) or (room % 2 and sorted(found) == sorted((a, b)) and min(first, second) > room // 2)


def test_special_tokens_in_a_text_are_special_as_in_transformers(tokenizer: Tokenizer) -> None:
    (item,) = TextFeatures().items([text("a [MASK] b")], tokenizer, [])
    pieces = [tokenizer.id_to_token(i) for i in item.sequences[0].input_ids]
    assert pieces == ["[CLS]", "a", "[MASK]", "b", "[SEP]"]


def test_many_texts_go_through_in_parts(tokenizer: Tokenizer) -> None:
    examples = [text("a " * (n % 500), "b") for n in range(2000)]
    items = TextFeatures(max_length=16).items(examples, tokenizer, [])
    assert [item.example for item in items] == list(range(2000))
    assert all(item.num_tokens == min(16, n % 500 + 4) for n, item in enumerate(items))


def test_labels_are_sorted_numbers_by_value() -> None:
    features = TextFeatures()
    assert features.labels([text("a", label=label) for label in ("10", "9", "-1", "9")]) == ["-1", "9", "10"]
    assert features.labels([text("a", label=label) for label in ("b", "10", "9")]) == ["10", "9", "b"]
    several = TextFeatures(problem="multi_label")
    assert several.labels([text("a", label=label) for label in ((), ("c", "a"), ("b",))]) == ["a", "b", "c"]
    assert TextFeatures(problem="regression").labels([text("a", label=1.0)]) == []


def test_label_arrays(tokenizer: Tokenizer) -> None:
    classes = TextFeatures().items([text("a", label="y"), text("a")], tokenizer, ["x", "y"])
    assert [item.labels.tolist() for item in classes] == [[1], [-100]]
    assert classes[0].labels.dtype == np.int64
    scores = TextFeatures(problem="regression").items([text("a", label=2.5), text("a")], tokenizer, [])
    assert scores[0].labels.tolist() == [2.5]
    assert math.isnan(scores[1].labels[0])
    assert scores[0].labels.dtype == np.float32
    several = TextFeatures(problem="multi_label")
    rows = several.items([text("a", label=("z", "x")), text("a", label=()), text("a")], tokenizer, ["x", "y", "z"])
    assert rows[0].labels.tolist() == [[1, 0, 1]]
    assert rows[1].labels.tolist() == [[0, 0, 0]]
    assert np.isnan(rows[2].labels).all()
    assert rows[2].labels.shape == (1, 3)


def test_several_scores_and_probabilities(tokenizer: Tokenizer) -> None:
    scores = TextFeatures(problem="regression")
    found = [text("a", label={"v": 1.0, "a": 2.0}), text("a", label={"a": 3.0, "v": 4.0}), text("a")]
    assert scores.labels(found) == ["v", "a"]
    rows = [item.labels.tolist() for item in scores.items(found, tokenizer, ["v", "a"])]
    assert rows[:2] == [[[1.0, 2.0]], [[4.0, 3.0]]]
    assert np.isnan(rows[2]).all()
    for label, labels in (({"v": 1.0}, ["v", "a"]), ({"v": 1.0, "a": 1.0}, []), (1.0, ["v", "a"])):
        with pytest.raises(
            InputError, match=r"x.csv, line 7: has the scores .*, but the model gives .*; name those col"
        ):
            scores.items([text("a", label=label)], tokenizer, labels)
    soft = TextFeatures()
    found = [text("a", label={"x": 0.25, "y": 0.75}), text("a", label={"y": 1.0}), text("a")]
    assert soft.labels(found) == ["x", "y"]
    rows = [item.labels.tolist() for item in soft.items(found, tokenizer, ["x", "y"])]
    assert rows[:2] == [[[0.25, 0.75]], [[0.0, 1.0]]]
    assert np.isnan(rows[2]).all()


def test_labels_that_training_does_not_know(tokenizer: Tokenizer) -> None:
    with pytest.raises(
        InputError, match=r"x.csv, line 7: has the label 'z', but the training examples have only 'x', 'y'"
    ):
        TextFeatures().items([text("a", label="z")], tokenizer, ["x", "y"])
    with pytest.raises(InputError, match=r"x.csv: all examples have '1'; there must be two classes"):
        TextFeatures().labels([text("a", label="1")])
    with pytest.raises(InputError, match=r"task.max_length=4: must be at least 5"):
        TextFeatures(max_length=4)


def choice(*choices: str, label: int | None = 0) -> ChoiceExample:
    return ChoiceExample(id="0", where="c.csv, line 3", text="a b", choices=choices, label=label)


def test_choices_are_sequences_of_one_item(tokenizer: Tokenizer) -> None:
    features = ChoiceFeatures(max_length=7)
    items = features.items([choice("c", "d e f g", label=1), choice("e", "f", label=None)], tokenizer, [])
    assert [[s.input_ids.tolist() for s in item.sequences] for item in items] == [
        [[2, 5, 6, 3, 7, 3], [2, 5, 6, 3, 8, 9, 3]],
        [[2, 5, 6, 3, 9, 3], [2, 5, 6, 3, 10, 3]],
    ]
    assert items[0].sequences[1].token_type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert [item.labels.tolist() for item in items] == [[1], [-100]]
    assert features.counts == {"sequences truncated to 7 tokens": 1}
    assert features.labels([choice("c", "d")]) == []
    ends = ChoiceFeatures(max_length=7, long="head_tail", head_share=0.5)
    assert ends.items([choice("c", "d e f g")], tokenizer, [])[0].sequences[1].input_ids.tolist() == [
        2,
        5,
        6,
        3,
        8,
        11,
        3,
    ]
    assert ends.counts == {"sequences truncated to 7 tokens, of the beginning and of the end of the longer text": 1}


def test_every_example_has_choices(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"c.csv, line 3: must have two choices at least"):
        ChoiceFeatures().items([choice("a")], tokenizer, [])


def test_real_pairs(shared_data: Path) -> None:
    vocab = read_vocabulary(shared_data / "vocab" / "bert-base-uncased-vocab.txt")
    oracle = PreTrainedTokenizerFast(tokenizer_object=build_tokenizer(vocab))
    file = str(shared_data / "glue" / "RTE" / "dev.tsv")
    examples = TextTables(dev=file, text="sentence1", text_pair="sentence2", label="label").read("dev")
    items = TextFeatures(max_length=64).items(examples, build_tokenizer(vocab), ["entailment", "not_entailment"])
    expected = oracle(
        [e.text for e in examples], [e.text_pair for e in examples], truncation="longest_first", max_length=64
    )
    assert [item.sequences[0].input_ids.tolist() for item in items] == expected["input_ids"]
