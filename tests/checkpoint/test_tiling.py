"""Large models from small ones: the function is kept where that is promised, else all is where the rule says."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.batches import random_batch
from cloze.checkpoint.tiling import Layers, Width, grow_model, grown_shape
from cloze.errors import InputError
from cloze.model.architecture import architecture_of
from cloze.model.config import BertConfig, ElectraConfig, EncoderConfig
from cloze.model.encoder import EncoderWithHeads
from cloze.model.modern_config import EuroBertConfig, ModernBertConfig, NomicBertConfig
from tests.tiny import shaken

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 20,
    "max_position_embeddings": 64,
}  # fmt: skip
KINDS: list[type[BertConfig] | type[ModernBertConfig]] = [BertConfig, ModernBertConfig, EuroBertConfig, NomicBertConfig]
LARGER: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 50}


def model_of(shape: EncoderConfig) -> EncoderWithHeads:
    torch.manual_seed(0)
    return shaken(architecture_of(shape).pretraining(shape))


def grown(
    small: EncoderWithHeads, changed: dict[str, Any], layers: Layers | None, width: Width | None
) -> EncoderWithHeads:
    own = small.config
    shape = grown_shape(own, changed, layers, width, "small")
    large = architecture_of(shape).pretraining(shape)
    large.load_state_dict(grow_model(small.state_dict(), own, shape, layers, width))
    return large.eval()


def logits(model: EncoderWithHeads) -> list[Tensor]:
    batch = random_batch([5, 20, 7], 40)
    with torch.no_grad():
        return list(model(batch.packed, batch.masked_positions))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "more", [LARGER, {"intermediate_size": 33}, {**LARGER, "hidden_size": 48, "num_attention_heads": 6}]
)
def test_splitting_keeps_the_logits(kind: Any, more: dict[str, Any]) -> None:
    small = model_of(kind(**SIZES))
    large = grown(small, more, None, "split")
    for before, after in zip(logits(small), logits(large), strict=True):
        torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    copies = [large.state_dict()["encoder.blocks.1.feed_forward.output.weight"][:, unit] for unit in (0, 20)]
    assert not torch.allclose(*copies)  # so that they learn apart


@pytest.mark.parametrize("kind", [ModernBertConfig, EuroBertConfig])
def test_identity_layers_keep_the_logits_and_the_windows(kind: Any) -> None:
    small = model_of(kind(**SIZES, local_attention=8))
    large = grown(small, {"num_hidden_layers": 7, "intermediate_size": 30}, "identity", "split")
    for before, after in zip(logits(small), logits(large), strict=True):
        torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_tiles_are_centred_and_go_around() -> None:
    small = model_of(BertConfig(**SIZES))
    large = grown(small, LARGER, None, "tile").state_dict()
    state = small.state_dict()
    words, block = "encoder.embeddings.word_embeddings.weight", "encoder.blocks.2"
    for new in range(32):
        assert torch.equal(large[words][:, new], state[words][:, (new - 8) % 16])
    old, wide = (each[f"{block}.feed_forward.output.weight"] for each in (state, large))
    assert torch.equal(wide[8:24, 15:35], old)
    assert torch.equal(wide[8:24, :15], old[:, 5:])
    old, wide = (each[f"{block}.attention.query_key_value.weight"] for each in (state, large))
    for part in range(3):  # queries, keys and values: whole heads of 8
        for new, head in enumerate((1, 0, 1, 0)):
            rows = wide[32 * part + 8 * new : 32 * part + 8 * new + 8, 8:24]
            assert torch.equal(rows, old[16 * part + 8 * head : 16 * part + 8 * head + 8])


def test_the_halves_of_a_gated_layer_are_tiled_apart() -> None:
    small = model_of(ModernBertConfig(**SIZES))
    large = grown(small, {"intermediate_size": 24}, None, "tile").state_dict()
    name = "encoder.blocks.0.feed_forward.intermediate.weight"
    old, wide = small.state_dict()[name], large[name]
    for half in range(2):
        for new in range(24):
            assert torch.equal(wide[24 * half + new], old[20 * half + (new - 2) % 20])


@pytest.mark.parametrize(
    ("layers", "sources"),
    [("stack", [0, 1, 2, 0, 1, 2, 0]), ("interleave", [0, 0, 0, 1, 1, 2, 2]), ("scale", [0, 0, 1, 1, 2, 2, 2])],
)
@pytest.mark.parametrize("kind", [BertConfig, ModernBertConfig])
def test_layers_are_copies_of_those_that_the_rule_says(kind: Any, layers: Layers, sources: list[int]) -> None:
    small = model_of(kind(**SIZES))
    large = grown(small, {"num_hidden_layers": 7}, layers, None)
    assert large.config == replace(small.config, **_deep(small.config))
    state, deep = small.state_dict(), large.state_dict()
    for layer, source in enumerate(sources):
        for name in ("attention.query_key_value.weight", "feed_forward.output.weight", "feed_forward_norm.weight"):
            assert torch.equal(deep[f"encoder.blocks.{layer}.{name}"], state[f"encoder.blocks.{source}.{name}"])
    if kind is ModernBertConfig:  # whose first block alone has no norm there
        assert torch.equal(
            deep[f"encoder.blocks.{6 if layers == 'stack' else 1}.attention_norm.weight"], torch.ones(16)
        )


def _deep(config: EncoderConfig) -> dict[str, Any]:
    return {"num_hidden_layers": 7, **({"layer_types": None} if isinstance(config, ModernBertConfig) else {})}


@pytest.mark.parametrize(
    ("changed", "layers", "width", "told"),
    [
        ({"num_hidden_layers": 6}, "identity", None, "a BERT, has them after: take stack, interleave or scale"),
        ({"hidden_size": 24, "num_attention_heads": 3}, None, "split", "a multiple of that of small, 16, but it is 24"),
        ({"hidden_size": 32}, None, "tile", "changes the size of a head, which is 8 in small"),
        ({"hidden_size": 8, "num_attention_heads": 1}, None, "tile", "model.hidden_size is 8, but small has 16"),
        ({}, "stack", None, "grow.layers=stack needs a larger model than small: give model.num_hidden_layers"),
    ],
)
def test_what_cannot_grow_so_is_refused(changed: dict[str, Any], layers: Any, width: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        grown_shape(BertConfig(**SIZES), changed, layers, width, "small")


def test_an_encoder_of_other_parts_is_refused() -> None:
    with pytest.raises(InputError, match="for BERT, ModernBERT and their kin, but small is"):
        grown_shape(ElectraConfig(**SIZES), {"num_hidden_layers": 6}, "stack", None, "small")
