"""The record of ModernBERT, of which Ettin and mmBERT are shapes: Hugging Face's names, and what a training step costs.

``config.json`` is written with the keys of transformers 4 and 5, which each take their defaults where they miss theirs.
"""

from collections.abc import Mapping
from typing import Any

from cloze.model.architecture import FP32, STATISTICS, Architecture, Kernels, Work, register
from cloze.model.families.bert import head_bytes
from cloze.model.modern import ModernBertForPreTraining, ModernEncoder, Transform, initialise
from cloze.model.modern_config import FULL, SLIDING, ModernBertConfig
from cloze.model.tensor_names import TensorNames

LAYER = "model.layers.{}"
NAMES = TensorNames(
    base="model",
    modules={
        "encoder.embeddings.word_embeddings": "model.embeddings.tok_embeddings",
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
        "classifier": "classifier",
    },
    parameters={"masked_lm_head.decoder_bias": "decoder.bias"},
    decoder="decoder",
    words="embeddings.tok_embeddings.weight",
    bare=("embeddings.", "layers.", "final_norm."),
    heads=("head.", "decoder.", "classifier."),
)


def present(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings with both bases of the rotary positions apart, as transformers 4 has them.

    Raises:
        ValueError: positions are scaled, or of another kind.
    """
    rope = settings.get("rope_parameters")
    if rope is None:
        return settings
    thetas = {}
    for kind, key in ((FULL, "global_rope_theta"), (SLIDING, "local_rope_theta")):
        stated = rope.get(kind, rope) if isinstance(rope, Mapping) else None
        if not isinstance(stated, Mapping) or stated.get("rope_type", "default") != "default":
            raise ValueError(f"rope_parameters is {rope!r:.80}, but only rope_type 'default' is read")
        if stated.get("rope_theta") is not None:
            thetas[key] = stated["rope_theta"]
    return {**settings, **thetas}


def besides(config: ModernBertConfig) -> Mapping[str, Any]:
    """The keys of transformers 5 for the bases."""
    bases = {FULL: config.global_rope_theta, SLIDING: config.local_rope_theta}
    return {"rope_parameters": {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}}


def windows(config: ModernBertConfig) -> Mapping[int | None, int]:
    """How many blocks see how far."""
    reach = [config.window(layer) for layer in range(config.num_hidden_layers)]
    return {window: reach.count(window) for window in dict.fromkeys(reach)}


def forward_flops(config: ModernBertConfig, work: Work) -> int:
    """Of matrix products, a multiply and an add each counted (2 m n k)."""
    hidden = config.hidden_size
    block = 4 * hidden * hidden + 3 * hidden * config.intermediate_size  # weights
    forward = config.num_hidden_layers * 2 * block * work.tokens
    forward += sum(blocks * 4 * hidden * work.attended[window] for window, blocks in windows(config).items())
    forward += 2 * work.masked * hidden * (hidden + config.vocab_size)
    return forward + 2 * work.sequences * hidden * (hidden + 2)


def block_bytes(config: ModernBertConfig, kernels: Kernels, keys: float) -> float:
    """Bytes that one block keeps for a token that sees so many keys."""
    hidden, compute = config.hidden_size, kernels.compute
    turned = compute * 3 * hidden  # queries, keys and values with their positions
    if config.attention_probs_dropout_prob and not kernels.on_gpu:
        attention = FP32 * (3 * hidden + config.num_attention_heads * keys) + compute * hidden
    else:
        results = 1 if kernels.packed else 2
        attention = compute * results * hidden + FP32 * config.num_attention_heads  # and the log of the sums
    inputs = compute * 2 * hidden  # of the products with qkv and the intermediate layer
    feed_forward = compute * 4 * config.intermediate_size  # the gate, it activated, what it gates, and the product
    norms = 2 * (FP32 * hidden + STATISTICS)
    masks = 2 * hidden if kernels.on_gpu and config.hidden_dropout_prob else 0
    return turned + attention + inputs + feed_forward + norms + masks


def activation_bytes(config: ModernBertConfig, kernels: Kernels, length: float, checkpointing: bool) -> float:
    """Bytes that the encoder keeps for a token of a sequence of a length."""
    hidden = config.hidden_size
    blocks = [
        block_bytes(config, kernels, length if window is None else min(length, 2 * window + 1))
        for window, count in windows(config).items()
        for _ in range(count)
    ]
    ends = 2 * (FP32 * hidden + STATISTICS)  # the embeddings' norm and the last one
    if checkpointing:  # the input of each block, and the one block that is being computed again
        between = kernels.compute if kernels.on_gpu else FP32
        return ends + config.num_hidden_layers * between * hidden + max(blocks)
    return ends + sum(blocks)


MODERNBERT = register(
    Architecture(
        model_type="modernbert",
        title="ModernBERT",
        classes="ModernBert",
        heads=(
            "encoder", "masked_lm", "sequence_classification", "token_classification", "question_answering",
            "multiple_choice",
        ),
        config=ModernBertConfig,
        pair_parts=("next_sentence_head",),
        encoder=ModernEncoder,
        pretraining=ModernBertForPreTraining,
        pooler=lambda config: Transform(config, config.classifier_pooling),
        token_head=Transform,
        initialise=initialise,
        names=lambda _: NAMES,
        stated={"tie_word_embeddings": True},
        renamed={"hidden_dropout_prob": "mlp_dropout", "attention_probs_dropout_prob": "attention_dropout"},
        present=present,
        besides=besides,
        special_ids={
            "pad_token_id": "pad", "cls_token_id": "cls", "bos_token_id": "cls", "sep_token_id": "sep",
            "eos_token_id": "sep",
        },
        free=("embedding_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"),
        vocabulary=("encoder.embeddings.word_embeddings.weight", "masked_lm_head.decoder_bias"),
        positions=(),
        segments=(),
        windows=windows,
        forward_flops=forward_flops,
        activation_bytes=activation_bytes,
        head_bytes=head_bytes,
    )
)  # fmt: skip
