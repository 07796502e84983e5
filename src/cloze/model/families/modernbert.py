"""The record of ModernBERT, of which Ettin and mmBERT are shapes: Hugging Face's names."""

from collections.abc import Mapping
from typing import Any

from cloze.model.families.rotary import family
from cloze.model.modern import Transform
from cloze.model.modern_config import ModernBertConfig
from cloze.model.tensor_names import TensorNames

LAYER = "model.layers.{}"


def names(config: ModernBertConfig) -> TensorNames:
    """Of its tensors; those of segments are of cloze's own."""
    return TensorNames(
        base="model",
        modules={
            "encoder.embeddings.word_embeddings": "model.embeddings.tok_embeddings",
            "encoder.embeddings.token_type_embeddings": "model.embeddings.token_type_embeddings",
            "encoder.embeddings.norm": "model.embeddings.norm",
            "encoder.blocks.{}.attention_norm": f"{LAYER}.attn_norm",
            "encoder.blocks.{}.attention.query_key_value": f"{LAYER}.attn.Wqkv",
            "encoder.blocks.{}.attention.output": f"{LAYER}.attn.Wo",
            "encoder.blocks.{}.feed_forward_norm": f"{LAYER}.mlp_norm",
            "encoder.blocks.{}.feed_forward.intermediate": f"{LAYER}.mlp.Wi",
            "encoder.blocks.{}.feed_forward.output": f"{LAYER}.mlp.Wo",
            "encoder.norm": "model.final_norm",
            "pooler.dense": "head.dense",
            "pooler.norm": "head.norm",
            "masked_lm_head.transform.dense": "head.dense",
            "masked_lm_head.transform.norm": "head.norm",
            "masked_lm_head.decoder": "decoder",
            "classifier": "classifier",
        },
        parameters={"masked_lm_head.decoder_bias": "decoder.bias"},
        decoder="decoder" if config.tie_word_embeddings else None,
        words="embeddings.tok_embeddings.weight",
        bare=("embeddings.", "layers.", "final_norm."),
        heads=("head.", "decoder.", "classifier."),
    )


def fixed(config: ModernBertConfig) -> Mapping[str, Any]:
    """What its classes in transformers have no setting for."""
    return {
        "type_vocab_size": 0, "gated_mlp": True, "norm_type": "layer", "pre_norm": True, "embedding_norm": True,
        "first_norm": False, "final_norm": True, "masked_lm_transform": True,
        **({"classifier_pooling": "mean"} if config.classifier_pooling == "late" else {}),
    }  # fmt: skip


MODERNBERT = family(
    model_type="modernbert",
    title="ModernBERT",
    classes="ModernBert",
    heads=(
        "encoder", "masked_lm", "sequence_classification", "token_classification", "question_answering",
        "multiple_choice",
    ),
    config=ModernBertConfig,
    pooler=lambda config: Transform(config, config.classifier_pooling),
    token_head=Transform,
    names=names,
    fixed=fixed,
    renamed={"hidden_dropout_prob": "mlp_dropout", "attention_probs_dropout_prob": "attention_dropout"},
    special_ids={
        "pad_token_id": "pad", "cls_token_id": "cls", "bos_token_id": "cls", "sep_token_id": "sep",
        "eos_token_id": "sep",
    },
)  # fmt: skip
