"""What an objective cannot learn from a corpus is said, and only that."""

import numpy as np
import pytest

from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.plan import BatchSize, make_plan
from cloze.text.shards import Shard
from tests.data.corpora import WikiText, prose, shard_of, vocabulary


def said(shard: Shard, objective: MaskedLM, continues: bool | None = None) -> str:
    words = vocabulary()
    if continues is not None:
        words.continues[:] = continues
    plan = make_plan(shard, objective, BatchSize(sequences=8), seed=1, epoch=0, shard_index=0)
    return "\n".join(objective.warnings(shard, plan, words))


@pytest.mark.parametrize("pairs", ["next_sentence", "sentence_order", "none"])
def test_of_running_text_nothing_is_said(pairs: str, wikitext: WikiText) -> None:
    assert said(shard_of(prose(100)), MaskedLM(pairs=pairs)) == ""
    objective = MaskedLM(pairs=pairs, masking="whole_word")
    plan = make_plan(wikitext.articles, objective, BatchSize(sequences=8), seed=1, epoch=0, shard_index=0)
    assert objective.warnings(wikitext.articles, plan, wikitext.vocabulary) == []


@pytest.mark.parametrize(("others", "share"), [([], "100.0%"), ([[9] * 20] * 100, "75.0%")])
def test_documents_of_one_sentence(others: list[list[int]], share: str) -> None:
    shard = shard_of([[9]] * 300 + others)
    told = said(shard, MaskedLM())
    assert told.startswith("warning: objective.pairs=next_sentence has little to teach:")
    assert f"since {share} of the documents have one sentence; take objective=mlm, or objective=mlm_sop" in told
    told = said(shard, MaskedLM(pairs="sentence_order"))
    assert f"since {share} of the documents have one sentence; take objective=mlm, or check" in told
    assert said(shard, MaskedLM(pairs="none")) == ""


def test_sentences_that_fill_a_sequence() -> None:
    shard = shard_of([[200] * 10] * 30)
    for pairs in ("next_sentence", "sentence_order"):
        told = said(shard, MaskedLM(pairs=pairs))
        assert "a document has 10.0 sentences, and a sentence 200 tokens where a sequence has 128" in told
    assert said(shard, MaskedLM(max_length=512)) == ""


def test_words_that_whole_words_are_no_help_for() -> None:
    shard, objective = shard_of(prose(50)), MaskedLM(masking="whole_word")
    assert "whole_word does what objective.masking=token does: 100.0% of the tokens" in said(shard, objective, False)
    span = MaskedLM(masking="span")
    assert said(shard, span, False) == ""
    long = shard_of([[60] * 9] * 30)  # each sentence is one word
    assert "100.0% of the tokens stand in words of more than 19 tokens" in said(long, objective, True)
    assert "objective.masking=span masks at their beginnings only" in said(long, span, True)
    assert said(long, MaskedLM(), True) == ""
    words = vocabulary()
    assert 0.3 < np.mean(words.continues) < 0.4
    assert said(shard, objective) == ""
