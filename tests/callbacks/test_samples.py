from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch

from cloze.callbacks.samples import LONGEST, SHORTEST, SampleFillings, heldout_gaps
from cloze.model.config import BertConfig
from cloze.model.heads import BertForPreTraining
from cloze.text.shards import write_shard
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer

WORDS = ["once", "upon", "a", "midnight", "dreary", "while", "i", "pondered", "weak", "and", "wear", "##y", "."]
TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, *WORDS], lowercase=True)
VERSE = "once upon a midnight dreary while i pondered weak and weary ."


def shard(path: Path) -> Path:
    sentences = [TOKENIZER.encode(text, add_special_tokens=False).ids for text in ("weak .", VERSE, VERSE[:-1], "a .")]
    tokens = np.array([token for sentence in sentences for token in sentence], np.uint16)
    write_shard(path, [(tokens, np.array([len(sentence) for sentence in sentences]))], len(WORDS) + 5)
    return path


def test_gaps_are_whole_words_of_heldout_sentences_of_good_length(tmp_path: Path) -> None:
    samples = list(heldout_gaps([shard(tmp_path / "heldout.arrow")], TOKENIZER, count=2))
    assert len(samples) == 2
    for text, ids in samples:
        assert text.count("[MASK]") == 1
        assert SHORTEST <= len(ids) - 2 <= LONGEST
        answer = text.rpartition("(")[2].rstrip(")")
        assert answer in {"midnight", "pondered"}  # the longest words; "weary" is in two pieces
        assert TOKENIZER.token_to_id(answer) not in ids
        restored = text.rpartition(" (")[0].replace("[MASK]", answer)
        assert VERSE.replace(" .", ".").startswith(restored)


def test_the_fillings_are_the_likeliest_pieces() -> None:
    torch.manual_seed(0)
    model = BertForPreTraining(
        BertConfig(vocab_size=18, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    )
    with torch.no_grad():
        model.masked_lm_head.decoder_bias[TOKENIZER.token_to_id("dreary")] = 9.0
    module = pl.LightningModule()
    module.model = model.eval()
    samples = SampleFillings(sentences=["once [MASK] a [MASK]", "weak"], file="", top=2)
    trainer = pl.Trainer(accelerator="cpu", logger=False, barebones=True)
    trainer.datamodule = pl.LightningDataModule()  # type: ignore[attr-defined]
    trainer.datamodule.tokenizer = TOKENIZER  # type: ignore[attr-defined]
    samples.on_fit_start(trainer, module)
    lines = samples.fillings(module)
    assert len(lines) == 2  # one for each gap
    assert all(line.strip().startswith("once [MASK] a [MASK]  dreary ") for line in lines)
