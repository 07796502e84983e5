"""More tokens and positions: what was learned stays bit for bit, what is new begins as the mean of its parts."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.batches import random_batch
from cloze.checkpoint.growth import grow_positions, grow_vocabulary
from cloze.model.bert import BertForPreTraining
from cloze.model.config import BertConfig
from cloze.model.families.bert import BERT
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, vocabulary
from tests.tiny import tiny_config

LETTERS = "abcd"
SYLLABLES = st.text(LETTERS, min_size=1, max_size=4)
(WORDS, DECODER_BIAS), (POSITIONS,) = BERT.vocabulary, BERT.positions
OLD = [*SPECIAL_TOKENS, "z", *"abc", *(f"##{c}" for c in "abc"), "ab", "##ab", "##bca"]
CONFIG = tiny_config(len(OLD), max_position_embeddings=24)


def model_of(config: BertConfig, state: dict[str, Tensor] | None = None) -> BertForPreTraining:
    torch.manual_seed(0)
    model = BertForPreTraining(config).eval()
    if state is None:
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    else:
        model.load_state_dict(state)
    return model


def spread(pieces: set[str]) -> list[str]:
    return sorted(f"##{piece}" for piece in pieces) + sorted(pieces)


@given(learned=st.sets(SYLLABLES, max_size=8), new=st.sets(SYLLABLES, min_size=1, max_size=8), spare=st.integers(0, 9))
def test_new_rows_are_the_mean_of_the_pieces_of_the_old_tokenizer(learned: set[str], new: set[str], spare: int) -> None:
    old = list(dict.fromkeys([*SPECIAL_TOKENS, "z", *LETTERS[:3], *(f"##{c}" for c in LETTERS[:3]), *spread(learned)]))
    added = [piece for piece in spread(new) if piece not in old]
    state = {
        WORDS: torch.randn(len(old) + spare, 5),
        DECODER_BIAS: torch.randn(len(old) + spare),
        "other": torch.ones(1),
    }
    grown = grow_vocabulary(state, BERT.vocabulary, old, added)

    tokenizer = build_tokenizer(old)
    for name in (WORDS, DECODER_BIAS):
        assert len(grown[name]) == max(len(old) + spare, len(old) + len(added))
        assert torch.equal(grown[name][: len(old)], state[name][: len(old)])
        for row, piece in enumerate(added, start=len(old)):
            # No token is longer than "z" where a word begins with it: what follows it is cut as a continuation.
            word = f"z{piece[2:]}" if piece.startswith("##") else piece
            ids = tokenizer.encode(word, add_special_tokens=False).ids
            if piece.startswith("##"):
                ids = ids[1:] or [old.index("[UNK]")]
            torch.testing.assert_close(grown[name][row], state[name][ids].mean(0))
    assert grown["other"] is state["other"]
    untouched = range(len(old) + len(added), len(old) + spare)
    assert all(torch.equal(grown[WORDS][row], state[WORDS][row]) for row in untouched)


def test_a_new_piece_begins_with_the_mean_logit_of_its_parts_and_no_other_logit_changes() -> None:
    model = model_of(CONFIG)
    new = ["abbca", "##cab"]
    state = grow_vocabulary(model.state_dict(), BERT.vocabulary, OLD, new)
    grown = model_of(dataclasses.replace(CONFIG, vocab_size=len(OLD) + 2), state)
    batch = random_batch([5, 20, 7], len(OLD))
    with torch.no_grad():
        before, after = (each(batch.packed, batch.masked_positions).masked_lm for each in (model, grown))
    torch.testing.assert_close(after[:, : len(OLD)], before)
    parts = [[OLD.index("ab"), OLD.index("##bca")], [OLD.index("##c"), OLD.index("##ab")]]
    expected = torch.stack([before[:, ids].mean(1) for ids in parts], dim=1)
    torch.testing.assert_close(after[:, len(OLD) :], expected)


def test_an_encoder_without_a_head_grows_too() -> None:
    grown = grow_vocabulary({WORDS: torch.randn(len(OLD), 3)}, BERT.vocabulary, OLD, ["abc"])
    assert list(grown) == [WORDS]
    assert grown[WORDS].shape == (len(OLD) + 1, 3)


@pytest.mark.parametrize("how", ["repeat", "random"])
def test_more_positions_change_nothing_within_the_learned_ones(how: str) -> None:
    model = model_of(CONFIG)
    learned = model.state_dict()[POSITIONS]
    state = grow_positions(model.state_dict(), BERT.positions, 60, how, std=0.02)  # type: ignore[arg-type]
    grown = model_of(dataclasses.replace(CONFIG, max_position_embeddings=60), state)
    batch = random_batch([24, 3], len(OLD))
    with torch.no_grad():
        before, after = (each(batch.packed, batch.masked_positions) for each in (model, grown))
    assert torch.equal(before.masked_lm, after.masked_lm)
    assert torch.equal(before.next_sentence, after.next_sentence)
    if how == "repeat":
        assert torch.equal(state[POSITIONS], torch.cat([learned, learned, learned[:12]]))
    else:
        drawn = state[POSITIONS][24:]
        assert 0 < drawn.abs().max() <= 0.04


def test_the_tokenizer_of_the_grown_vocabulary_keeps_every_id() -> None:
    grown = build_tokenizer([*OLD, "abbca"])
    assert vocabulary(grown)[: len(OLD)] == OLD
    assert grown.encode("abbca abb", add_special_tokens=False).tokens == ["abbca", "ab", "##b"]
