"""Real text for the tests of the data path."""

from pathlib import Path

import numpy as np
import pytest

from cloze.data.pretraining.masking import Vocabulary
from cloze.text.shards import Shard
from cloze.text.tokenizer import build_tokenizer, read_vocabulary
from cloze.text.word_boundaries import continues_word
from tests.data.corpora import WikiText


@pytest.fixture(scope="session")
def wikitext(shared_data: Path) -> WikiText:
    vocab = read_vocabulary(shared_data / "vocab" / "bert-base-uncased-vocab.txt")
    tokenizer = build_tokenizer(vocab, lowercase=True)
    lengths: list[int] = []  # of the sentences
    tokens: list[int] = []
    articles, paragraphs = [0], [0]  # where they end, in sentences
    for line in (shared_data / "corpus" / "wikitext2" / "valid.txt").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("= ") and not text.startswith("= ="):
            articles.append(len(lengths))
        if not text or text.startswith("="):
            continue
        sentences = [f"{sentence} ." for sentence in text.removesuffix(" .").split(" . ")]
        for encoding in tokenizer.encode_batch(sentences, add_special_tokens=False):
            lengths.append(len(encoding.ids))
            tokens += encoding.ids
        paragraphs.append(len(lengths))
    articles.append(len(lengths))
    ids = np.array(tokens, np.uint16)
    ids.flags.writeable = False
    offsets = np.cumsum([0, *lengths])
    continues = continues_word(tokenizer)
    assert continues is not None
    special = {piece: index for index, piece in enumerate(vocab)}
    return WikiText(
        Shard(ids, offsets, np.unique(articles)),
        Shard(ids, offsets, np.array(paragraphs)),
        Vocabulary(
            len(vocab),
            special["[CLS]"],
            special["[SEP]"],
            special["[MASK]"],
            special["[PAD]"],
            continues,
        ),
    )
