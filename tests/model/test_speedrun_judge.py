"""The judge of the speedrun, next to the formulas of its page, word by word."""

import math
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

from benchmarks.speedrun import judge
from benchmarks.speedrun.judge import Judge

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "whale", "sea", "##s", "w", "##hale", "##ea", "s"]
TEXT = "The whale. The seas. Whales. " * 40


def folder(at: Path, tokens: list[str]) -> Path:
    """A random model with this vocabulary."""
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertForMaskedLM(shape).save_pretrained(at)
    (at / "vocab.txt").write_text("\n".join(tokens))
    BertTokenizerFast(vocab=str(at / "vocab.txt"), do_lower_case=True).save_pretrained(at)
    return at


@pytest.fixture
def held(tmp_path: Path) -> Judge:
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS))
    return Judge([TEXT], tmp_path / "vocab.txt")


def test_bits_are_those_of_the_masked_words_one_by_one(held: Judge, tmp_path: Path) -> None:
    at = folder(tmp_path / "model", TOKENS)
    model, words = BertForMaskedLM.from_pretrained(at).eval(), BertTokenizerFast.from_pretrained(at)
    nats, characters = 0.0, 0
    for passage, masked in zip(held.passages, held.masked, strict=True):
        ids, labels = [words.cls_token_id], [-100]
        for word, is_masked in zip(passage, masked, strict=True):
            tokens = words(word, add_special_tokens=False)["input_ids"]
            ids += [words.mask_token_id] * len(tokens) if is_masked else tokens
            labels += tokens if is_masked else [-100] * len(tokens)
            characters += len(word) if is_masked else 0
        ids, labels = [*ids, words.sep_token_id], [*labels, -100]
        logits = model(torch.tensor([ids])).logits[0].detach().log_softmax(-1)
        nats -= sum(float(logits[i, label]) for i, label in enumerate(labels) if label >= 0)
    assert characters > 20
    assert held.bits(at) == pytest.approx(nats / characters / math.log(2), rel=1e-4)


def test_another_vocabulary_has_bits_alone_and_one_that_cannot_spell_is_refused(held: Judge, tmp_path: Path) -> None:
    same, other = folder(tmp_path / "same", TOKENS), folder(tmp_path / "other", [*TOKENS, "##les"])
    assert held.loss(same) == pytest.approx(math.log(len(TOKENS)), abs=0.5)
    assert held.loss(other) is None
    assert held.bits(other) > 0
    with pytest.raises(ValueError, match="no tokens for a word"):
        held.bits(folder(tmp_path / "poor", [token for token in TOKENS if "ea" not in token]))


def test_only_words_of_letters_are_masked(held: Judge) -> None:
    assert held.passages[0][:6] == ["the", "whale", ".", "the", "seas", "."]
    pairs = [pair for both in zip(held.passages, held.masked, strict=True) for pair in zip(*both, strict=True)]
    masked = [word for word, is_masked in pairs if is_masked]
    assert "." not in masked
    assert all(map(judge.is_word, masked))
    assert 0.05 < len(masked) / sum(judge.is_word(word) for word, _ in pairs) < 0.3
