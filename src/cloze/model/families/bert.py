"""The record of BERT: Hugging Face's names, and formulas for the cost of a training step."""

from cloze.model.architecture import FP32, STATISTICS, Architecture, Kernels, Work, register
from cloze.model.bert import BertEncoder, BertForPreTraining, Pooler, initialise
from cloze.model.config import BertConfig, EncoderConfig
from cloze.model.tensor_names import TensorNames

LAYER = "bert.encoder.layer.{}"
NAMES = TensorNames(
    base="bert",
    modules={
        "encoder.embeddings.word_embeddings": "bert.embeddings.word_embeddings",
        "encoder.embeddings.position_embeddings": "bert.embeddings.position_embeddings",
        "encoder.embeddings.token_type_embeddings": "bert.embeddings.token_type_embeddings",
        "encoder.embeddings.norm": "bert.embeddings.LayerNorm",
        "encoder.blocks.{}.attention.output": f"{LAYER}.attention.output.dense",
        "encoder.blocks.{}.attention_norm": f"{LAYER}.attention.output.LayerNorm",
        "encoder.blocks.{}.feed_forward.intermediate": f"{LAYER}.intermediate.dense",
        "encoder.blocks.{}.feed_forward.output": f"{LAYER}.output.dense",
        "encoder.blocks.{}.feed_forward_norm": f"{LAYER}.output.LayerNorm",
        "pooler.dense": "bert.pooler.dense",
        "masked_lm_head.dense": "cls.predictions.transform.dense",
        "masked_lm_head.norm": "cls.predictions.transform.LayerNorm",
        "next_sentence_head": "cls.seq_relationship",
        "classifier": "classifier",
    },
    fused={
        "encoder.blocks.{}.attention.query_key_value": (
            f"{LAYER}.attention.self.query",
            f"{LAYER}.attention.self.key",
            f"{LAYER}.attention.self.value",
        )
    },
    parameters={"masked_lm_head.decoder_bias": "cls.predictions.bias"},
    decoder="cls.predictions.decoder",
    words="embeddings.word_embeddings.weight",
    bare=("embeddings.", "encoder.", "pooler."),
    heads=("cls.", "classifier.", "qa_outputs."),
    answers="qa_outputs",
)


def forward_flops(config: BertConfig, work: Work) -> int:
    """Of matrix products, a multiply and an add each counted (2 m n k)."""
    hidden = config.hidden_size
    block = 4 * hidden * hidden + 2 * hidden * config.intermediate_size  # weights
    forward = config.num_hidden_layers * (2 * block * work.tokens + 4 * hidden * work.attended[None])
    forward += 2 * work.masked * hidden * (hidden + config.vocab_size)
    return forward + 2 * work.sequences * hidden * (hidden + 2)


def block_bytes(config: BertConfig, kernels: Kernels, length: float) -> float:
    """Bytes that one block keeps for a token of a sequence of a length."""
    hidden, compute = config.hidden_size, kernels.compute
    if config.attention_probs_dropout_prob and not kernels.on_gpu:
        # q, k, v and the probabilities, in fp32 whatever the rest is in; and the result.
        attention = FP32 * (3 * hidden + config.num_attention_heads * length) + compute * hidden
    else:
        results = 1 if kernels.packed else 2
        attention = compute * (3 + results) * hidden + FP32 * config.num_attention_heads  # and the log of the sums
    inputs = compute * 2 * hidden  # of the products with qkv and the intermediate layer
    feed_forward = compute * 2 * config.intermediate_size  # before and after GELU
    norms = 2 * (FP32 * hidden + STATISTICS)
    masks = 2 * hidden if kernels.on_gpu and config.hidden_dropout_prob else 0
    return attention + inputs + feed_forward + norms + masks


def activation_bytes(config: BertConfig, kernels: Kernels, length: float, checkpointing: bool) -> float:
    """Bytes that the encoder keeps for a token of a sequence of a length."""
    hidden = config.hidden_size
    embeddings = FP32 * hidden + STATISTICS + kernels.compute * config.type_vocab_size
    embeddings += hidden if kernels.on_gpu and config.hidden_dropout_prob else 0
    block = block_bytes(config, kernels, length)
    if checkpointing:  # the input of each block, and the one block that is being computed again
        between = kernels.compute if kernels.on_gpu else FP32  # of a number in the hidden states between blocks
        return embeddings + config.num_hidden_layers * between * hidden + block
    return embeddings + config.num_hidden_layers * block


def head_bytes(config: EncoderConfig, kernels: Kernels, masked: int, sequences: int) -> int:
    """Bytes that both heads keep of M masked tokens and B sequences."""
    hidden = config.hidden_size
    decoder = FP32 * config.vocab_size * (hidden + 1)
    # The transform's input, before GELU, before the norm, and the gradient that cross-entropy has made.
    transform = masked * ((2 * kernels.compute + 2 * FP32) * hidden + STATISTICS)
    pooler = sequences * 2 * kernels.compute * hidden
    return decoder + transform + pooler


BERT = register(
    Architecture(
        model_type="bert",
        title="BERT",
        classes="Bert",
        config=BertConfig,
        encoder=BertEncoder,
        pretraining=BertForPreTraining,
        pooler=Pooler,
        initialise=initialise,
        names=lambda _: NAMES,
        stated={
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
            "is_decoder": False,
            "add_cross_attention": False,
        },
        vocabulary=("encoder.embeddings.word_embeddings.weight", "masked_lm_head.decoder_bias"),
        positions=("encoder.embeddings.position_embeddings.weight",),
        segments=("encoder.embeddings.token_type_embeddings.weight",),
        forward_flops=forward_flops,
        activation_bytes=activation_bytes,
        head_bytes=head_bytes,
    )
)
