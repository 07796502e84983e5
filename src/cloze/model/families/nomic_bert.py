"""The record of NomicBERT: Hugging Face's names, and those of older folders on the hub."""

from collections.abc import Mapping
from typing import Any

import torch

from cloze.model.families import rotary
from cloze.model.families.rotary import Settings
from cloze.model.modern import Transform
from cloze.model.modern_config import FULL, NomicBertConfig
from cloze.model.tensor_names import TensorNames

LAYER = "nomic_bert.layers.{}"
QUERY_KEY_VALUE = tuple(f"{LAYER}.self_attn.{part}_proj" for part in "qkv")


def names(config: NomicBertConfig) -> TensorNames:
    """Of its tensors; that of a norm after the last block is of cloze's own."""
    return TensorNames(
        base="nomic_bert",
        modules={
            "encoder.embeddings.word_embeddings": "nomic_bert.embeddings.word_embeddings",
            "encoder.embeddings.token_type_embeddings": "nomic_bert.embeddings.token_type_embeddings",
            "encoder.embeddings.norm": "nomic_bert.embeddings.LayerNorm",
            "encoder.blocks.{}.attention_norm": f"{LAYER}.post_attention_layernorm",
            "encoder.blocks.{}.attention.output": f"{LAYER}.self_attn.o_proj",
            "encoder.blocks.{}.feed_forward_norm": f"{LAYER}.post_mlp_layernorm",
            "encoder.blocks.{}.feed_forward.output": f"{LAYER}.mlp.down_proj",
            "encoder.norm": "nomic_bert.norm",
            "pooler.dense": "nomic_bert.pooler.dense",
            "masked_lm_head.transform.dense": "cls.predictions.transform.dense",
            "masked_lm_head.transform.norm": "cls.predictions.transform.layer_norm",
            "masked_lm_head.decoder": "cls.predictions.decoder",
            "classifier": "classifier",
        },
        fused={
            "encoder.blocks.{}.attention.query_key_value": QUERY_KEY_VALUE,
            "encoder.blocks.{}.feed_forward.intermediate": (f"{LAYER}.mlp.gate_proj", f"{LAYER}.mlp.up_proj"),
        },
        parameters={"masked_lm_head.decoder_bias": "cls.predictions.bias"},
        decoder="cls.predictions.decoder" if config.tie_word_embeddings else None,
        words="embeddings.word_embeddings.weight",
        bare=("embeddings.", "layers.", "norm.", "pooler.", "emb_ln.", "encoder."),
        heads=("cls.", "classifier."),
        earlier={
            "nomic_bert.emb_ln": ("nomic_bert.embeddings.LayerNorm",),
            "nomic_bert.encoder.layers.{}.attn.Wqkv": QUERY_KEY_VALUE,
            "nomic_bert.encoder.layers.{}.attn.out_proj": (f"{LAYER}.self_attn.o_proj",),
            "nomic_bert.encoder.layers.{}.norm1": (f"{LAYER}.post_attention_layernorm",),
            "nomic_bert.encoder.layers.{}.mlp.fc11": (f"{LAYER}.mlp.up_proj",),
            "nomic_bert.encoder.layers.{}.mlp.fc12": (f"{LAYER}.mlp.gate_proj",),
            "nomic_bert.encoder.layers.{}.mlp.fc2": (f"{LAYER}.mlp.down_proj",),
            "nomic_bert.encoder.layers.{}.norm2": (f"{LAYER}.post_mlp_layernorm",),
        },
    )


def fixed(config: NomicBertConfig) -> Mapping[str, Any]:
    """What its classes in transformers have no setting for."""
    return {
        "gated_mlp": True, "layer_types": [FULL] * config.num_hidden_layers, "norm_type": "layer", "pre_norm": False,
        "embedding_norm": True, "final_norm": False, "attention_bias": False, "mlp_bias": False, "norm_bias": True,
        "masked_lm_transform": True, "tie_word_embeddings": True, "decoder_bias": True, "classifier_bias": True,
        "classifier_activation": config.hidden_activation, "classifier_pooling": "cls",
        **({} if config.type_vocab_size else {"type_vocab_size": 2}),
    }  # fmt: skip


EARLIER = {
    "n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads",
    "n_inner": "intermediate_size", "n_positions": "max_position_embeddings", "layer_norm_epsilon": "layer_norm_eps",
    "rotary_emb_base": "rope_theta",
}  # fmt: skip
"""Keys of the folders on the hub, which are GPT-2's, with today's."""
STATED = {
    "causal": False, "parallel_block": False, "prenorm": False, "qkv_proj_bias": False, "mlp_fc1_bias": False,
    "mlp_fc2_bias": False, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False, "rotary_emb_scale_base": None,
    "use_rms_norm": False,
}  # fmt: skip
"""Further keys there, with the one value that transformers computes."""


def earlier(settings: Settings) -> Settings:
    """The settings in today's keys.

    Raises:
        ValueError: an encoder of another kind.
    """
    for key, value in STATED.items():
        if settings.get(key, value) not in (value, None):
            raise ValueError(f"{key} is {settings[key]!r}, but only {value!r} is read")
    found = {EARLIER.get(key, key): value for key, value in settings.items()} | dict(settings)
    if (gate := {"swiglu": "silu", "geglu": "gelu"}.get(settings.get("activation_function", ""))) is not None:
        found.setdefault("hidden_act", gate)
    activation = found.get("hidden_act", "silu")
    return {"classifier_activation": activation, **found}


NOMIC_BERT = rotary.family(
    by_kind=False,
    earlier=earlier,
    model_type="nomic_bert",
    title="NomicBERT",
    classes="NomicBert",
    heads=("encoder", "masked_lm", "sequence_classification", "token_classification"),
    earlier_classes={"NomicBertForPreTraining": "NomicBertForMaskedLM"},
    config=NomicBertConfig,
    pooler=lambda config: Transform(config, config.classifier_pooling, torch.tanh),
    names=names,
    fixed=fixed,
    unwritten=(*rotary.WINDOWED, "first_norm"),
    renamed={"hidden_activation": "hidden_act", "norm_eps": "layer_norm_eps"},
)
