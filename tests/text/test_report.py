"""The report counts what a reader would count by hand."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from cloze.text.manifest import ShardInfo
from cloze.text.report import corpus_statistics, render_report, unigram_entropy
from cloze.text.steps import LENGTH_BINS, ShardMeasure


def test_unigram_entropy() -> None:
    assert unigram_entropy(np.array([5, 5, 5, 5, 0])) == pytest.approx(math.log(4))
    assert unigram_entropy(np.array([3, 0])) == 0
    assert unigram_entropy(np.zeros(3, np.int64)) == 0
    assert unigram_entropy(np.array([1, 3])) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_statistics_and_their_print() -> None:
    histogram = np.zeros(len(LENGTH_BINS) - 1, np.int64)
    histogram[0], histogram[-1] = 3, 1
    train = ShardMeasure(ShardInfo(file="t", documents=2, sentences=3, tokens=8), np.array([2, 4, 2, 0]), histogram, 1)
    held = ShardMeasure(ShardInfo(file="h", documents=1, sentences=1, tokens=2), np.array([0, 2, 0, 0]), histogram, 1)
    statistics = corpus_statistics([train], [held], np.array([False, False, True, False]), unknown=0, size=4)
    assert statistics["train"] == {"shards": 1, "documents": 2, "sentences": 3, "tokens": 8}
    assert statistics["heldout"]["documents"] == 1
    assert statistics["tokens_per_word"] == 10 / 8
    assert statistics["unknown_rate"] == 0.2
    assert statistics["unused_pieces"] == 1
    assert statistics["one_sentence_documents"] == 2
    assert statistics["unigram_entropy"] == pytest.approx(1.5 * math.log(2))
    assert statistics["sentence_lengths"][0] == {"from": 1, "to": 4, "sentences": 6}
    assert statistics["sentence_lengths"][-1] == {"from": 513, "to": None, "sentences": 2}

    report = {
        **statistics,
        "vocab_size": 4,
        "duplicates": {"removed": True, "documents": 1, "of_documents": 4, "lines": 2, "of_lines": 9},
        "skipped": {"undecodable_lines": 7},
        "characters": {"all": 200, "unknown": 1, "overlong": 1, "altered": 3},
        "fertility": 1.75,
        "characters_per_token": 2.5,
        "text_megabytes": 1.0,
        "timing": {"seconds": 2.0, "megabytes_per_second": 0.5, "resumed": False},
    }
    output = io.StringIO()
    Console(file=output, width=80).print(render_report(report))
    for text in (
        "held out",
        "20.0000%",
        "1.250",
        "1.750",
        "2.500",
        "1.0000%",
        "1.5000%",
        "duplicate lines (removed)",
        "2 of 9",
        "undecodable lines",
        "513 and more",
        "2 of 3",
        "warning: 66.7% of the documents have one sentence",
    ):
        assert text in output.getvalue()
