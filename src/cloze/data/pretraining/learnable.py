"""Warnings before training if an objective cannot learn from a corpus."""

import numpy as np

from cloze.batch import IGNORED_LABEL
from cloze.data.pretraining.masking import Vocabulary
from cloze.data.pretraining.pairs import B_LENGTH, LABEL, Segments
from cloze.data.pretraining.plan import Plan
from cloze.text.shards import Shard

MOST_RANDOM = 0.8
"""Share of random second segments from which on it is a warning; running text has 0.5 to 0.6, documents of two short
sentences 0.67."""

LEAST_ASKED = 0.5
"""Share of sequences whose order is asked below which it is a warning."""

MOST_SINGLE_DOCUMENTS = 0.5
"""Share of documents of one sentence from which on it is a warning, whatever the others give."""

MOST_SINGLE = 0.98
"""Share of tokens that are words by themselves from which on whole words are no more than tokens; in Chinese 0.99, in
English 0.85."""

MOST_OVERLONG = 0.02
"""Share of tokens in words that cannot be masked as one from which on it is a warning; in English 0.0001."""

TOKENS_LOOKED_AT = 1_000_000


def unlearnable_pairs(shard: Shard, plan: Plan, segments: Segments) -> list[str]:
    """Warnings about pairs that this text gives nothing to learn.

    Args:
        shard: the text of a window.
        plan: its sequences.
        segments: which pairs.
    """
    labels = plan.rows[:, LABEL]
    asked = labels != IGNORED_LABEL
    if segments.pairs == "none" or not len(labels):
        return []
    single = float((np.diff(shard.document_offsets) == 1).mean())
    mostly_single = single >= MOST_SINGLE_DOCUMENTS
    if segments.pairs == "next_sentence":
        share = float(labels[asked].mean()) if asked.any() else 0.0
        if share < MOST_RANDOM and not mostly_single:
            return []
        said = f"{share:.1%} of the second segments come from another document, as a model may predict without looking"
        remedy = "objective=mlm, or objective=mlm_sop, which asks only where one sentence follows another"
    else:
        share = float((asked & (plan.rows[:, B_LENGTH] > 0)).mean())
        if share >= LEAST_ASKED and not mostly_single:
            return []
        said = f"only {share:.1%} of the sequences have two segments whose order can be asked"
        remedy = "objective=mlm"
    if mostly_single:
        cause = f"{single:.1%} of the documents have one sentence"
    else:
        documents, sentences = len(shard.document_offsets) - 1, len(shard.sentence_offsets) - 1
        cause = (
            f"on average a document has {sentences / documents:.1f} sentences, and a sentence "
            f"{len(shard.tokens) / sentences:.0f} tokens where a sequence has {segments.max_length}"
        )
        remedy += ", or a larger objective.max_length"
    remedy += ", or check how documents are separated (corpus.source.document_boundary=) and split (sentences=)"
    return [f"warning: objective.pairs={segments.pairs} has little to teach: {said}, since {cause}; take {remedy}"]


def unlearnable_masks(shard: Shard, vocabulary: Vocabulary, *, masking: str, max_length: int, most: int) -> list[str]:
    """Warnings about masks of words that this text gives nothing to learn.

    Args:
        shard: the text of a window.
        vocabulary: which tokens continue a word.
        masking: what is masked as one.
        max_length: tokens of a sequence.
        most: predictions in such a sequence.
    """
    if masking == "token":
        return []
    tokens = np.asarray(shard.tokens[:TOKENS_LOOKED_AT])
    continues = vocabulary.continues[tokens] if shard.continues is None else shard.continues[: len(tokens)]
    begins = ~continues
    begins[shard.sentence_offsets[shard.sentence_offsets < len(tokens)]] = True
    lengths = np.diff(np.append(np.flatnonzero(begins), len(tokens)))  # of the words, in tokens
    key = f"objective.masking={masking}"
    overlong = lengths[lengths > most].sum() / max(len(tokens), 1)
    single = np.count_nonzero(lengths == 1) / max(len(tokens), 1)
    if overlong >= MOST_OVERLONG:
        done = "never masks" if masking == "whole_word" else "masks at their beginnings only"
        said = (
            f"{overlong:.1%} of the tokens stand in words of more than {most} tokens, which {key} {done}, since a "
            f"sequence of {max_length} tokens has at most {most} predictions; take objective.masking=token, "
            "or put spaces between the words of the text"
        )
    elif masking == "whole_word" and single >= MOST_SINGLE:
        said = (
            f"{key} does what objective.masking=token does: {single:.1%} of the tokens are words by themselves, as "
            "each Chinese character is; objective.masking=span masks runs of them, and preparation.words=jieba or icu "
            "finds the words"
        )
    else:
        return []
    return [f"warning: {said}"]
