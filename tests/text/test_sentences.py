"""Sentence splitting: hard cases, real sentences joined and cut again, and that no text is lost."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloze.text.documents import SentenceSplitter
from cloze.text.sentences import Chinese, English, Lines

# One case a row, its sentences separated by "|".
ENGLISH = """
Dr. Smith met Mrs. Jones at 5 p.m. on Monday.|They discussed the U.S. economy.
J. R. R. Tolkien wrote The Hobbit.|C. S. Lewis was his friend.
The price rose 3.5 percent to $4.25.|Analysts had expected 3.1.
"Are you coming?" she asked.|"No."|He turned away.
"I will go."|He rose.|"Stay here!" she cried, and left.
\u201cWhere is it?\u201d he asked.|\u201cHere.\u201d|\u201cGood!\u201d
He said \u201cI am done.\u201d|Then he slept.
'Come in,' said he.|'Thank you, sir.'|'Not at all.'
He shouted 'Fire!' and ran.|Then he stopped.
I don't know what the girls' mother wants.|It's hers.|'Tis all.
Well ... it is not known ... perhaps tomorrow.
He waited...|Nothing happened.
Wait\u2026 what?|Now!
She left (it was late).|(He stayed.)|Nobody cared.
What?!|You must be joking!
See Fig. 3 for details.|The results are in Sec. 4.2, e.g. Table 5.
Use Python 3.11 or later, i.e. a recent version.|Version 2.7 is not supported.
Mr. and Mrs. Brown live at 5 St. James St. in London.|It is cold.
Apple Inc. was founded in 1976.|Its CEO lives in Washington, D.C. and works in Calif.
Prof. A. B. Miller, Ph.D., gave the talk.|It was long, dull, etc. but useful.
No. 5 is alive.|Is it?|No.|It is dead.
On Jan. 5, 1999, Gen. Lee arrived.|Col. Ross did not.
He lives in the U.S.|He likes it.
The file is called setup.py.|Run it with python setup.py install.
Is this the end? asked the boy.|Yes!
They wrote to Messrs. Brown & Co. about it.|No reply came.
He was born c. 1850 in St. Petersburg.|He died in 1901.
One sentence ends here.[1]|Another one follows.[2][3]|A third.
Edgar A. Poe was a poet.|So was W. H. Auden.
It was I.|He came.
She sat.|Mary stood in the sun.|Rain fell.
1. Open the door.|2. Go in.
The quick brown fox jumped .|It was tokenised , by Dr . Smith .
" Is it tokenised ? "|" It is . "|So it was .
\u00c9mile came.|\u00c9mile left.|\u00a1Hola!|\u00bfQu\u00e9 tal?
Chapter I.|It begins.
""".strip().split("\n")

CHINESE = """
\u4ed6\u6765\u4e86\u3002|\u6211\u8d70\u4e86\uff01|\u4f60\u5462\uff1f
\u4ed6\u8bf4\uff1a\u201c\u4f60\u597d\u3002\u201d|\u7136\u540e\u8d70\u4e86\u3002
\u300c\u597d\u7684\u3002\u300d|\u300e\u4e0d\u884c\uff01\u300f|\u4ed6\u7b54\u3002
\u201c\u597d\uff01\u201d\uff0c\u4ed6\u8bf4\u3002
\u771f\u7684\u5417\uff1f\uff01|\u6211\u4e0d\u4fe1\u2026\u2026|\u7b97\u4e86\u3002
\u4ef7\u683c\u662f3.5\u5143\uff0c\u6216\uff13\uff0e\uff15\u5143\u3002|\uff08\u771f\u7684\u3002\uff09
\u4ed6\u6765\u4e86\uff1b\u6211\u8d70\u4e86\u3002
\u662f\u5417?|\u662f!|\u89c1 http://a.cn/b?c=d \u3002
\u73af\u5883\u597d.|\u5473\u9053\u4e5f\u597d.
""".strip().split("\n")


@pytest.mark.parametrize("case", ENGLISH)
def test_english(case: str) -> None:
    sentences = case.split("|")
    assert English().split(" ".join(sentences)) == sentences


@pytest.mark.parametrize("case", CHINESE)
def test_chinese(case: str) -> None:
    sentences = case.split("|")
    assert Chinese().split("".join(sentences)) == sentences


def test_chinese_semicolons() -> None:
    assert Chinese(semicolons=True).split("\u4ed6\u6765\u4e86\uff1b\u6211\u8d70\u4e86\u3002") == [
        "\u4ed6\u6765\u4e86\uff1b",
        "\u6211\u8d70\u4e86\u3002",
    ]


def test_lines_are_taken_as_they_are() -> None:
    assert Lines().split(" One. Two. ") == ["One. Two."]
    assert Lines().split("  ") == []


pieces = st.sampled_from(
    ["Dr", "etc", "I", "x", "The", "3", "5.1", ".", "...", "!", "?", '"', "'", ")", "(", " ", "  ", "\u3002", "\u201d"]
)


@given(line=st.one_of(st.text(), st.lists(pieces).map("".join)))
@pytest.mark.parametrize("splitter", [English(), Chinese(), Chinese(semicolons=True), Lines()])
def test_no_text_is_lost(splitter: SentenceSplitter, line: str) -> None:
    sentences = splitter.split(line)
    assert "".join("".join(sentences).split()) == "".join(line.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


def boundaries(sentences: Sequence[str]) -> set[int]:
    """Where sentences end, counted in visible characters."""
    ends, position = set(), 0
    for sentence in sentences[:-1]:
        position += len("".join(sentence.split()))
        ends.add(position)
    return ends


def agreement(splitter: SentenceSplitter, groups: Sequence[Sequence[str]], glue: str) -> tuple[float, float]:
    """Precision and recall of the boundaries between the sentences of each group."""
    right = found = there = 0
    for group in groups:
        expected, got = boundaries(group), boundaries(splitter.split(glue.join(group)))
        right, found, there = right + len(expected & got), found + len(got), there + len(expected)
    return right / found, right / there


def test_newspaper_sentences_joined_and_cut_again(shared_data: Path) -> None:
    """MRPC holds single sentences of news. Those from its training and test rows, which the rules were not made on."""
    sentences = []
    for name in ("train", "test"):
        rows = (shared_data / "glue" / "MRPC" / f"{name}.tsv").read_text(encoding="utf-8-sig").split("\n")[1:]
        sentences += [row.split("\t")[3].strip() for row in rows if row.count("\t") == 4]
    sentences = [sentence for sentence in sentences if re.search(r'[.!?][ "]*$', sentence)]
    groups = [sentences[begin : begin + 6] for begin in range(0, len(sentences), 6)]
    precision, recall = agreement(English(), groups, " ")
    assert precision > 0.97
    assert recall > 0.97


def test_chinese_sentences_joined_and_cut_again(shared_data: Path) -> None:
    """The lines of the sample are sentences, cut by another program (also within decimals, which costs recall)."""
    text = (shared_data / "corpus" / "zh_clue_small.txt").read_text(encoding="utf-8")
    documents = [[line.strip() for line in part.split("\n") if line.strip()] for part in text.split("\n\n")]
    precision, recall = agreement(Chinese(), documents, "")
    assert precision > 0.95
    assert recall > 0.84
