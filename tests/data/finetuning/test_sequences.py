"""What is shown of texts that are longer than a sequence; those that fit are looked at in test_classification."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from cloze.data.finetuning.items import Long, Sequences
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer

FIRST, LENGTHS = 10, st.integers(0, 60)
TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, *(f"w{number}" for number in range(200))])
CLS, SEP = (TOKENIZER.token_to_id(token) for token in ("[CLS]", "[SEP]"))


def shown(
    long: Long, most: int, first: int, second: int | None = None, share: float = 0.25
) -> tuple[Sequences, list[list[int]]]:
    """The ids of every sequence, of texts whose tokens all differ."""
    sequences = Sequences(TOKENIZER, most, long, share)
    ids = np.arange(FIRST, FIRST + first, dtype=np.int32)
    pair = None if second is None else np.arange(FIRST + 100, FIRST + 100 + second, dtype=np.int32)
    found = sequences.of(ids, pair)
    assert all(len(sequence.input_ids) == len(sequence.token_type_ids) <= most for sequence in found)
    return sequences, [sequence.input_ids.tolist() for sequence in found]


@given(LENGTHS, st.integers(5, 40), st.none() | LENGTHS)
def test_a_text_that_fits_is_shown_whole_once(first: int, most: int, second: int | None) -> None:
    total = first + 2 if second is None else first + second + 3
    ways: list[Long] = ["truncate", "head_tail", "windows"]
    for long in ways:
        sequences, found = shown(long, most, first, second)
        assert (len(found) == 1 and len(found[0]) == total and not sequences.cut) == (total <= most)
        assert bool(sequences.cut or sequences.in_windows) == (total > most)


@given(st.integers(4, 60), st.integers(6, 40), st.sampled_from([(0, 1), (1, 4), (1, 2)]))
def test_head_and_tail(first: int, most: int, share: tuple[int, int]) -> None:
    _, ((cls, *pieces, sep),) = shown("head_tail", most, first, share=share[0] / share[1])
    room = most - 2
    head = room * share[0] // share[1] if first > room else first
    assert (cls, sep) == (CLS, SEP)
    text = list(range(FIRST, FIRST + first))
    assert pieces == (text if first <= room else [*text[:head], *text[first - (room - head) :]])


@given(LENGTHS, st.integers(6, 40))
def test_windows_on_a_text_are_those_of_transformers(first: int, most: int) -> None:
    """Whose stride is what two windows share."""
    oracle = PreTrainedTokenizerFast(tokenizer_object=TOKENIZER)
    room = most - 2
    words = " ".join(f"w{number}" for number in range(FIRST - 5, FIRST - 5 + first))
    expected = oracle(words, truncation=True, max_length=most, stride=room - room // 2, return_overflowing_tokens=True)[
        "input_ids"
    ]
    assert shown("windows", most, first)[1] == expected


@given(LENGTHS, LENGTHS, st.integers(7, 40))
def test_of_a_pair_the_shorter_text_stands_in_every_window(first: int, second: int, most: int) -> None:
    sequences, found = shown("windows", most, first, second)
    half = (most - 3) // 2
    shorter, longer = sorted([range(FIRST, FIRST + first), range(FIRST + 100, FIRST + 100 + second)], key=len)
    fits = first + second + 3 <= most
    assert sequences.cut == (len(shorter) > half and not fits)
    whole = set(shorter if fits else shorter[:half])
    assert all(whole <= set(ids) for ids in found)
    assert {piece for ids in found for piece in ids} - {CLS, SEP} == whole | set(longer)
