"""The record of BERT: Hugging Face's names, and formulas for the cost of a training step."""

from cloze.model.architecture import Architecture, Kernels, register
from cloze.model.bert import BertEncoder, BertForPreTraining, Pooler, initialise
from cloze.model.config import BertConfig
from cloze.model.families.costs import block_bytes, encoder_bytes, forward_flops, head_bytes, norm_bytes, unread_bytes
from cloze.model.families.names import fused_of_encoder, of_encoder
from cloze.model.tensor_names import TensorNames

NAMES = TensorNames(
    base="bert",
    modules={
        **of_encoder("bert"),
        "pooler.dense": "bert.pooler.dense",
        "masked_lm_head.dense": "cls.predictions.transform.dense",
        "masked_lm_head.norm": "cls.predictions.transform.LayerNorm",
        "next_sentence_head": "cls.seq_relationship",
        "classifier": "classifier",
    },
    fused=fused_of_encoder("bert"),
    parameters={"masked_lm_head.decoder_bias": "cls.predictions.bias"},
    decoder="cls.predictions.decoder",
    words="embeddings.word_embeddings.weight",
    bare=("embeddings.", "encoder.", "pooler."),
    heads=("cls.", "classifier.", "qa_outputs."),
    of_heads={"question_answering": {"classifier": "qa_outputs"}},
)


def activation_bytes(config: BertConfig, kernels: Kernels, length: float, checkpointing: bool) -> float:
    """Bytes that the encoder keeps for a token of a sequence of a length."""
    embeddings = norm_bytes(config) + kernels.compute * config.type_vocab_size
    embeddings += config.hidden_size if kernels.on_gpu and config.hidden_dropout_prob else 0
    block = block_bytes(config, kernels, length, norm=norm_bytes(config))
    return encoder_bytes(config, kernels, embeddings, {block: config.num_hidden_layers}, checkpointing)


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
        forward_flops=lambda config, work: forward_flops(config, work, {None: config.num_hidden_layers}),
        activation_bytes=activation_bytes,
        unread_bytes=lambda config, *sizes: unread_bytes(config, *sizes, norms=2 * norm_bytes(config)),
        head_bytes=head_bytes,
    )
)
