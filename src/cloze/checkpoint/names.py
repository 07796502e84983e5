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
ANCHOR = "embeddings.word_embeddings.weight"
"""Where this is, there is an encoder: what stands before it are the names of the modules that hold it."""
HEADS = ("cls.", "classifier.", "qa_outputs.")
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
"""What DDP, torch.compile, FSDP, activation checkpointing and DeepSpeed put into names, at any place."""
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
    positions; a bare encoder lacks the prefix, one that stood in other modules has theirs; the decoder of the
    masked language model may be written out beside the word embeddings that it is tied to; the classifier of
    BertForQuestionAnswering has a name of its own. A decoder that is not tied stays as it is.

    Raises:
        ValueError: there are several encoders.
    """
    spelt = {}
    for name, tensor in _unwrapped(theirs).items():
        name = re.sub(r"\.gamma$", ".weight", name)
        name = re.sub(r"\.beta$", ".bias", name)
        name = re.sub(r"^qa_outputs\.", "classifier.", name)
        if not name.endswith(BUFFERS):
            spelt[name] = tensor
    if (bias := spelt.pop(f"{DECODER}.bias", None)) is not None:
        spelt.setdefault(DECODER_BIAS[1], bias)
    decoder, words = spelt.get(f"{DECODER}.weight"), spelt.get(WORDS)
    if decoder is not None and words is not None and torch.equal(decoder, words):
        del spelt[f"{DECODER}.weight"]
    return spelt


def _unwrapped(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of a model that stands in no other: ``bert.…`` and those of heads.

    Raises:
        ValueError: there are several encoders.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in theirs.items():
        found.setdefault(".".join(word for word in name.split(".") if word not in WRAPPERS), tensor)
    roots = sorted({name.removesuffix(ANCHOR) for name in found if f".{name}".endswith(f".{ANCHOR}")})
    if len(roots) > 1 or len(found) < len(theirs):
        several = roots if len(roots) > 1 else [name for name in theirs if name.endswith(ANCHOR)]
        raise ValueError(
            f"holds several encoders ({', '.join(root or 'one without a prefix' for root in several)}): save the one "
            "that you mean alone"
        )
    if not roots:
        return found
    words = roots[0].split(".")[:-1]
    around = ["".join(f"{word}." for word in words[:count]) for count in reversed(range(max(1, len(words))))]
    named: dict[str, Tensor] = {}
    for name, tensor in found.items():
        inner = name.removeprefix(roots[0])
        if name.startswith(roots[0]) and inner.startswith(BARE):
            named[f"bert.{inner}"] = tensor
        else:  # a head stands beside its encoder, or beside what holds that
            named[next((h for p in around if (h := name.removeprefix(p)).startswith(HEADS)), name)] = tensor
    if len(named) < len(found):
        raise ValueError("holds a head twice, beside its encoder and elsewhere: save the one that you mean alone")
    return named


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
