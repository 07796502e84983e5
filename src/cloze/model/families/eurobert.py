"""The record of EuroBERT: Hugging Face's names."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F

from cloze.model.families import rotary
from cloze.model.families.rotary import Settings
from cloze.model.modern import Transform
from cloze.model.modern_config import FULL, EuroBertConfig
from cloze.model.tensor_names import TensorNames

LAYER = "model.layers.{}"


def names(config: EuroBertConfig) -> TensorNames:
    """Of its tensors; those of segments, of a norm of the embeddings and before the decoder are of cloze's own."""
    return TensorNames(
        base="model",
        modules={
            "encoder.embeddings.word_embeddings": "model.embed_tokens",
            "encoder.embeddings.token_type_embeddings": "model.embed_token_types",
            "encoder.embeddings.norm": "model.embed_norm",
            "encoder.blocks.{}.attention_norm": f"{LAYER}.input_layernorm",
            "encoder.blocks.{}.attention.output": f"{LAYER}.self_attn.o_proj",
            "encoder.blocks.{}.feed_forward_norm": f"{LAYER}.post_attention_layernorm",
            "encoder.blocks.{}.feed_forward.output": f"{LAYER}.mlp.down_proj",
            "encoder.norm": "model.norm",
            "pooler.dense": "dense",
            "masked_lm_head.transform.dense": "transform.dense",
            "masked_lm_head.transform.norm": "transform.norm",
            "masked_lm_head.decoder": "lm_head",
            "classifier": "classifier",
        },
        fused={
            "encoder.blocks.{}.attention.query_key_value": (
                f"{LAYER}.self_attn.q_proj",
                f"{LAYER}.self_attn.k_proj",
                f"{LAYER}.self_attn.v_proj",
            ),
            "encoder.blocks.{}.feed_forward.intermediate": (f"{LAYER}.mlp.gate_proj", f"{LAYER}.mlp.up_proj"),
        },
        parameters={"masked_lm_head.decoder_bias": "lm_head.bias"},
        decoder="lm_head" if config.tie_word_embeddings else None,
        words="embed_tokens.weight",
        bare=("embed_tokens.", "embed_token_types.", "embed_norm.", "layers.", "norm."),
        heads=("lm_head.", "transform.", "dense.", "classifier."),
    )


def fixed(config: EuroBertConfig) -> Mapping[str, Any]:
    """What its classes in transformers have no setting for."""
    return {
        "type_vocab_size": 0, "gated_mlp": True, "layer_types": [FULL] * config.num_hidden_layers, "norm_type": "rms",
        "pre_norm": True, "embedding_norm": False, "first_norm": True, "final_norm": True, "norm_bias": False,
        "masked_lm_transform": False, "decoder_bias": config.mlp_bias, "classifier_bias": True,
    }  # fmt: skip


def earlier(settings: Settings) -> Settings:
    """Pooling was ``clf_pooling`` before it had today's name, and the first hidden state is ``bos`` in both."""
    pooling = settings.get("classifier_pooling", settings.get("clf_pooling", "late"))
    bias = settings.get("decoder_bias", settings.get("mlp_bias", False))
    return {**settings, "decoder_bias": bias, "classifier_pooling": "cls" if pooling == "bos" else pooling}


def besides(config: EuroBertConfig) -> Settings:
    """The positions, and the pooling by its names."""
    pooling = config.classifier_pooling
    return {
        **rotary.besides(config, by_kind=False),
        **dict.fromkeys(("classifier_pooling", "clf_pooling"), "bos" if pooling == "cls" else pooling),
    }


EUROBERT = rotary.family(
    by_kind=False,
    earlier=earlier,
    model_type="eurobert",
    title="EuroBERT",
    classes="EuroBert",
    heads=("encoder", "masked_lm", "sequence_classification", "token_classification"),
    config=EuroBertConfig,
    pooler=lambda config: Transform(config, config.classifier_pooling, F.gelu),
    names=names,
    fixed=fixed,
    unwritten=(*rotary.WINDOWED, "classifier_activation"),
    renamed={
        "hidden_activation": "hidden_act",
        "norm_eps": "rms_norm_eps",
        "attention_probs_dropout_prob": "attention_dropout",
    },
    besides=besides,
    special_ids={
        "pad_token_id": "pad", "bos_token_id": "cls", "eos_token_id": "sep", "mask_token_id": "mask",
    },
)  # fmt: skip
