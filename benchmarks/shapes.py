"""The published sizes of BERT, and ModernBERT's shape at these."""

from typing import Any

from cloze.model.config import BertConfig
from cloze.model.modern_config import ModernBertConfig

SHAPES = {  # layers, hidden size, heads: Turc et al. 2019, table 1; Devlin et al. 2019
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}
VOCAB_SIZE = 30522
FAMILIES = {"bert": "BertForPreTraining", "modernbert": "ModernBertForMaskedLM"}
"""Those that are measured, and what transformers pre-trains them with."""


def shape(size: str, *, vocab_size: int = VOCAB_SIZE, **changed: Any) -> BertConfig:
    """A published shape.

    Args:
        size: of `SHAPES`.
        vocab_size: tokens; by default the published vocabulary's.
        changed: other fields of the configuration.
    """
    layers, hidden, heads = SHAPES[size]
    return BertConfig(
        vocab_size=vocab_size,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        **changed,
    )


def family_shape(family: str, size: str, *, vocab_size: int | None = None) -> BertConfig | ModernBertConfig:
    """The shape of a family at one of BERT's sizes; ModernBERT's is `conf/model/modern_mini.yaml` at mini."""
    if family == "bert":
        return shape(size, vocab_size=vocab_size or VOCAB_SIZE)
    layers, hidden, heads = SHAPES[size]
    return ModernBertConfig(
        vocab_size=vocab_size or 30528,
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=3 * hidden // 2,
    )
