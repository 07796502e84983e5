from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloze.batch import Packed
from cloze.callbacks.pairs import heldout_pairs
from cloze.callbacks.samples import LONGEST, SHORTEST, SamplePredictions, heldout_masked, heldout_texts
from cloze.model.bert import BertForPreTraining
from cloze.text.prepare import Preparation
from cloze.text.report import REPORT, load_report
from cloze.text.sentences import Lines
from cloze.text.shards import write_shard
from cloze.text.sources.files import TextFiles
from cloze.text.special_tokens import special_tokens
from cloze.text.tokenizer import SPECIAL_TOKENS, WordPiece, build_tokenizer, load_tokenizer
from tests.tiny import tiny_model

WORDS = ["once", "upon", "a", "midnight", "dreary", "while", "i", "pondered", "weak", "and", "wear", "##y", "."]
TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, *WORDS], lowercase=True)
VERSE = "once upon a midnight dreary while i pondered weak and weary ."


def shard(path: Path) -> Path:
    sentences = [TOKENIZER.encode(text, add_special_tokens=False).ids for text in ("weak .", VERSE, VERSE[:-1], "a .")]
    tokens = np.array([token for sentence in sentences for token in sentence], np.uint16)
    write_shard(path, [(tokens, np.array([len(sentence) for sentence in sentences]))], len(WORDS) + 5)
    return path


def test_gaps_are_whole_words_of_heldout_sentences_of_good_length(tmp_path: Path) -> None:
    data = SimpleNamespace(folder=tmp_path, heldout_paths=[shard(tmp_path / "heldout.arrow")], tokenizer=TOKENIZER)
    texts = heldout_texts(data)  # of a corpus without excerpts: the tokens put together
    assert [len(document) for document in texts] == [4]
    samples = heldout_masked(texts, TOKENIZER, special_tokens(TOKENIZER), count=2)
    assert len(samples) == 2
    for text, ids in samples:
        assert text.count("[MASK]") == 1
        assert SHORTEST <= len(ids) - 2 <= LONGEST
        answer = text.rpartition("(")[2].rstrip(")")
        assert answer in {"midnight", "pondered"}  # the longest words; "weary" is in two tokens
        assert TOKENIZER.token_to_id(answer) not in ids
        restored = text.rpartition(" (")[0].replace("[MASK]", answer)
        assert VERSE.replace(" .", ".").startswith(restored)


WRITTEN = [
    "Once upon a Midnight dreary, while I pondered (weak & \u201cweary\u201d)\u2026",
    "L'\u00e9t\u00e9 \u2014 Bragg's \u201cU.S.\u201d tour of 1,234.5 miles was re-released!",
    "\u5317\u4eac\u662f\u4e2d\u56fd\u7684\u9996\u90fd\uff0c\u4e0a\u6d77\u662f\u6700\u5927\u7684\u57ce\u5e02\u3002",
    "a \U0001f600 line with TWO  spaces, tabs\tand CamelCase words in it.",
]


@pytest.mark.parametrize("lowercase", [True, False])
def test_samples_are_the_text_as_it_was_written(lowercase: bool, tmp_path: Path) -> None:
    documents = [[f"{text} {n}" for text in WRITTEN] for n in range(30)]
    lines = "\n\n".join("\n".join(sentences) for sentences in documents)
    (tmp_path / "text.txt").write_text(lines, encoding="utf-8")
    preparation = Preparation(
        source=TextFiles(files=str(tmp_path / "text.txt")),
        sentences=Lines(),
        tokenizer=WordPiece(vocab_size=400, lowercase=lowercase),
        heldout_fraction=0.2,
        workers=0,
    )
    manifest = preparation.run(tmp_path / "corpus")
    tokenizer = load_tokenizer(tmp_path / "corpus" / "tokenizer")
    texts = heldout_texts(SimpleNamespace(folder=tmp_path / "corpus", manifest=manifest, tokenizer=tokenizer))
    known = {tuple(" ".join(text.split()) for text in sentences) for sentences in documents}
    assert {tuple(sentences) for sentences in texts} <= known
    assert len(texts) == len(set(map(tuple, texts))) >= 2
    gaps = heldout_masked(texts, tokenizer, special_tokens(tokenizer), 100)
    assert gaps
    sentences = {text for document in texts for text in document}
    for shown, ids in gaps:
        text, _, answer = shown.rpartition(" (")
        assert text.replace("[MASK]", answer.removesuffix(")")) in sentences
        assert ids.count(tokenizer.get_vocab()["[MASK]"]) == 1
    pairs = heldout_pairs(texts, 6, swapped=False)
    assert [pair.label for pair in pairs] == [0, 1] * 3
    follows = {(a, b) for document in texts for a, b in pairwise(document)}
    assert all(((pair.a, pair.b) in follows) == (pair.label == 0) for pair in pairs)
    assert all(b == a for a, b in zip(heldout_texts_of_all_workers(preparation, tmp_path), texts, strict=True))


def heldout_texts_of_all_workers(preparation: Preparation, folder: Path) -> list[list[str]]:
    """The same whoever did the work."""
    replace(preparation, workers=2).run(folder / "again")
    told = load_report(folder / "again")["heldout_excerpts"]
    assert (folder / "again" / REPORT).exists()
    return [[" ".join(text.split()) for text in texts] for texts in told]


class Filling(pl.LightningModule):
    """A module that fills in masked tokens."""

    def __init__(self, model: BertForPreTraining) -> None:
        super().__init__()
        self.model = model

    def masked_lm_logits(self, packed: Packed, positions: Tensor) -> Tensor:
        return self.model(packed, positions).masked_lm  # type: ignore[no-any-return]


@pytest.mark.parametrize("mask", ["[MASK]", "<mask>"])
def test_the_predictions_are_the_likeliest_tokens(mask: str) -> None:
    """A `[MASK]` in the sentences is the token of the model."""
    model, tokenizer = tiny_model(19), Tokenizer.from_str(TOKENIZER.to_str())
    tokenizer.add_special_tokens([mask])
    files = {"tokenizer_config.json": f'{{"mask_token": "{mask}"}}'.encode()}
    with torch.no_grad():
        model.decoder_bias[TOKENIZER.token_to_id("dreary")] = 9.0
    module = Filling(model.eval())
    samples = SamplePredictions(sentences=["once [MASK] a [MASK]"], file="", top=2)
    trainer = pl.Trainer(accelerator="cpu", logger=False, barebones=True)
    trainer.datamodule = pl.LightningDataModule()  # type: ignore[attr-defined]
    trainer.datamodule.tokenizer, trainer.datamodule.tokenizer_files = tokenizer, files  # type: ignore[attr-defined]
    trainer.datamodule.folder = "corpus"  # type: ignore[attr-defined]
    samples.on_fit_start(trainer, module)
    lines = samples.predictions(module)
    assert len(lines) == 2  # one for each mask
    assert all(line.strip().startswith(f"once {mask} a {mask}  dreary ") for line in lines)
