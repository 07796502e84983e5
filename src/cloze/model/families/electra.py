"""The record of ELECTRA: Hugging Face's names, and formulas for the cost of a training step."""

from cloze.model.architecture import FP32, STATISTICS, Architecture, Kernels, register
from cloze.model.config import ElectraConfig
from cloze.model.electra import ElectraEncoder, ElectraForPreTraining, Pooler, initialise
from cloze.model.families.costs import block_bytes, encoder_bytes, forward_flops, norm_bytes, unread_bytes
from cloze.model.families.names import fused_of_encoder, of_encoder
from cloze.model.tensor_names import TensorNames

SUMMARY = "sequence_summary.summary"
NAMES = TensorNames(
    base="electra",
    modules={
        **of_encoder("electra"),
        "encoder.projection": "electra.embeddings_project",
        "discriminator_head.dense": "discriminator_predictions.dense",
        "discriminator_head.output": "discriminator_predictions.dense_prediction",
        "masked_lm_head.dense": "generator_predictions.dense",
        "masked_lm_head.norm": "generator_predictions.LayerNorm",
        "pooler.dense": SUMMARY,
        "classifier": "classifier",
    },
    fused=fused_of_encoder("electra"),
    parameters={"masked_lm_head.decoder_bias": "generator_lm_head.bias"},
    decoder="generator_lm_head",
    words="embeddings.word_embeddings.weight",
    bare=("embeddings.", "embeddings_project.", "encoder."),
    heads=(
        "discriminator_predictions.", "generator_predictions.", "generator_lm_head.", "classifier.", "qa_outputs.",
        f"{SUMMARY}.",
    ),
    of_heads={
        "question_answering": {"classifier": "qa_outputs"},
        "sequence_classification": {"classifier": "classifier.out_proj", SUMMARY: "classifier.dense"},
    },
)  # fmt: skip


def activation_bytes(config: ElectraConfig, kernels: Kernels, length: float, checkpointing: bool) -> float:
    """Bytes that the encoder keeps for a token of a sequence of a length."""
    width = config.embedding_size
    embeddings = FP32 * width + STATISTICS + kernels.compute * config.type_vocab_size
    embeddings += width if kernels.on_gpu and config.hidden_dropout_prob else 0
    embeddings += kernels.compute * width if width != config.hidden_size else 0  # what is projected
    block = block_bytes(config, kernels, length, norm=norm_bytes(config))
    return encoder_bytes(config, kernels, embeddings, {block: config.num_hidden_layers}, checkpointing)


def head_bytes(config: ElectraConfig, kernels: Kernels, masked: int, sequences: int) -> int:
    """Bytes that the heads of masked tokens and of pairs keep of M masked tokens and B sequences."""
    width = config.embedding_size
    # The transform's input; before its activation, before its norm, and the gradient that cross-entropy has made.
    kept = kernels.compute * config.hidden_size + (kernels.compute + 2 * FP32) * width + STATISTICS
    decoder = FP32 * config.vocab_size * (width + 1)
    return decoder + masked * kept + sequences * 2 * kernels.compute * config.hidden_size


ELECTRA = register(
    Architecture(
        model_type="electra",
        title="ELECTRA",
        classes="Electra",
        heads=(
            "encoder", "pretraining", "masked_lm", "sequence_classification", "token_classification",
            "question_answering", "multiple_choice",
        ),
        config=ElectraConfig,
        pair_parts=("next_sentence_head",),
        detects=True,
        encoder=ElectraEncoder,
        pretraining=ElectraForPreTraining,
        pooler=Pooler,
        initialise=initialise,
        names=lambda _: NAMES,
        stated={
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
            "is_decoder": False,
            "add_cross_attention": False,
            "summary_type": "first",
            "summary_use_proj": True,
            "summary_activation": "gelu",
        },
        vocabulary=("encoder.embeddings.word_embeddings.weight", "masked_lm_head.decoder_bias"),
        positions=("encoder.embeddings.position_embeddings.weight",),
        forward_flops=lambda config, work: forward_flops(
            config, work, {None: config.num_hidden_layers}, width=config.embedding_size
        ),
        activation_bytes=activation_bytes,
        unread_bytes=lambda config, *sizes: unread_bytes(config, *sizes, norms=2 * norm_bytes(config)),
        head_bytes=head_bytes,
    )
)  # fmt: skip
