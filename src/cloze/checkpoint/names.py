"""One table between our parameter names and Hugging Face's BERT layout.

The fused query-key-value projection is the only tensor that is cut and joined.
"""

import re

import torch
from torch import Tensor

# Ours -> Hugging Face's; {} is the number of the block.
NAMES = {
    "encoder.embeddings.word_embeddings": "bert.embeddings.word_embeddings",
    "encoder.embeddings.position_embeddings": "bert.embeddings.position_embeddings",
    "encoder.embeddings.token_type_embeddings": "bert.embeddings.token_type_embeddings",
    "encoder.embeddings.norm": "bert.embeddings.LayerNorm",
    "encoder.blocks.{}.attention.output": "bert.encoder.layer.{}.attention.output.dense",
    "encoder.blocks.{}.attention_norm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "encoder.blocks.{}.feed_forward.intermediate": "bert.encoder.layer.{}.intermediate.dense",
    "encoder.blocks.{}.feed_forward.output": "bert.encoder.layer.{}.output.dense",
    "encoder.blocks.{}.feed_forward_norm": "bert.encoder.layer.{}.output.LayerNorm",
    "pooler.dense": "bert.pooler.dense",
    "masked_lm_head.dense": "cls.predictions.transform.dense",
    "masked_lm_head.norm": "cls.predictions.transform.LayerNorm",
    "next_sentence_head": "cls.seq_relationship",
    "classifier": "classifier",
}
FUSED = "encoder.blocks.{}.attention.query_key_value"
FUSED_PARTS = tuple(f"bert.encoder.layer.{{}}.attention.self.{part}" for part in ("query", "key", "value"))
BARE = ("embeddings.", "encoder.", "pooler.")
DECODER_BIAS = ("masked_lm_head.decoder_bias", "cls.predictions.bias")
DECODER, WORDS = "cls.predictions.decoder", "bert.embeddings.word_embeddings.weight"
BUFFERS = (".position_ids", ".token_type_ids")


def to_hugging_face(state: dict[str, Tensor], architecture: str = "") -> dict[str, Tensor]:
    """Our parameters under the names of Hugging Face's class; the tied decoder weight is left out, as theirs is."""
    theirs = {}
    for name, tensor in state.items():
        names = _their_names(name)
        for their_name, piece in zip(names, tensor.chunk(len(names)), strict=True):
            theirs[their_name] = piece.contiguous()
    if architecture == "BertForQuestionAnswering":
        return {re.sub(r"^classifier\.", "qa_outputs.", name): tensor for name, tensor in theirs.items()}
    return theirs


def from_hugging_face(theirs: dict[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Hugging Face's tensors under our ``names``.

    Raises:
        KeyError: the first tensor of theirs that is missing.
    """
    state = {}
    for name in names:
        pieces = [theirs[their_name] for their_name in _their_names(name)]
        state[name] = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
    return state


def present_spelling(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of any BERT folder under the names of ``NAMES``, without those that only repeat or count.

    Early versions called the parameters of a LayerNorm gamma and beta, as TensorFlow does, and saved the numbers of the
    positions; a bare encoder lacks the prefix, a model trained on several devices may have one more; the decoder of the
    masked language model may be written out beside the word embeddings that it is tied to; the classifier of
    BertForQuestionAnswering has a name of its own. A decoder that is not tied stays as it is.
    """
    if theirs and all(name.startswith("module.") for name in theirs):
        theirs = {name.removeprefix("module."): tensor for name, tensor in theirs.items()}
    bare = not any(name.startswith("bert.") for name in theirs)
    spelt = {}
    for name, tensor in theirs.items():
        name = re.sub(r"\.gamma$", ".weight", name)
        name = re.sub(r"\.beta$", ".bias", name)
        name = re.sub(r"^qa_outputs\.", "classifier.", name)
        if not name.endswith(BUFFERS):
            spelt[f"bert.{name}" if bare and name.startswith(BARE) else name] = tensor
    if (bias := spelt.pop(f"{DECODER}.bias", None)) is not None:
        spelt.setdefault(DECODER_BIAS[1], bias)
    decoder, words = spelt.get(f"{DECODER}.weight"), spelt.get(WORDS)
    if decoder is not None and words is not None and torch.equal(decoder, words):
        del spelt[f"{DECODER}.weight"]
    return spelt


def is_known(name: str) -> bool:
    """Whether a tensor under Hugging Face's name is a parameter of one of its BERTs."""
    module, _, kind = name.rpartition(".")
    pattern, _ = _numbered(module)
    named = kind in ("weight", "bias") and pattern in {*NAMES.values(), *FUSED_PARTS}
    return named or name == DECODER_BIAS[1]


def _their_names(name: str) -> tuple[str, ...]:
    """Hugging Face's name of our parameter; three for the fused projection."""
    if name == DECODER_BIAS[0]:
        return (DECODER_BIAS[1],)
    module, _, kind = name.rpartition(".")
    pattern, number = _numbered(module)
    patterns = FUSED_PARTS if pattern == FUSED else (NAMES[pattern],)
    return tuple(f"{their_pattern.format(number)}.{kind}" for their_pattern in patterns)


def _numbered(module: str) -> tuple[str, str]:
    """'encoder.blocks.3.attention' -> ('encoder.blocks.{}.attention', '3')."""
    match = re.search(r"\.(\d+)\.", module)
    return (module.replace(match[0], ".{}.", 1), match[1]) if match else (module, "")
