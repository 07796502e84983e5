"""An encoder of another family than BERT, all of its architecture in one file.

Norms before the sub-layers and after the last one, rotary positions, no segments, no biases, a gated feed-forward
layer, a window in every second layer; in its model folders, queries, keys and values lie head by head, and the gate
and what it opens apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import Packed
from cloze.errors import InputError
from cloze.model.architecture import FP32, Architecture, Kernels, Work, register
from cloze.model.bert import BertForPreTraining, MaskedLMHead
from cloze.model.encoder import Block, Encoder, EncoderWithHeads
from cloze.model.kernels.attention import Padded, Sequences
from cloze.model.kernels.dropout import Dropout
from cloze.model.kernels.matmul import Linear
from cloze.model.kernels.norm import LayerNorm
from cloze.model.kernels.packed import PackedLinear
from cloze.model.tensor_names import Rows, TensorNames

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "gelu": F.gelu}
FULL, NEAR = "full_attention", "sliding_attention"


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """The shape of the toy.

    Attributes:
        vocab_size: V.
        hidden_size: D.
        num_hidden_layers: blocks.
        num_attention_heads: H.
        intermediate_size: of one half of the gated layer.
        max_position_embeddings: the longest sequence.
        hidden_dropout_prob: on the embeddings and on the output of each sub-layer.
        attention_probs_dropout_prob: on the attention probabilities.
        initializer_range: of the embeddings.
        layer_norm_eps: of every norm.
        hidden_activation: of the gate.
        layer_types: the attention of each block.
        local_attention: tokens that are seen in a window, to both sides together.
        rope_parameters: of each kind of attention the base of its rotary positions.
        classifier_pooling: what stands for a whole sequence.
    """

    vocab_size: int
    hidden_size: int = 32
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int = 48
    max_position_embeddings: int = 64
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    hidden_activation: Literal["silu", "gelu"] = "silu"
    layer_types: list[str] = field(default_factory=lambda: [FULL, NEAR])
    local_attention: int = 4
    rope_parameters: dict[str, dict[str, float | str]] = field(
        default_factory=lambda: {
            FULL: {"rope_type": "default", "rope_theta": 1000.0},
            NEAR: {"rope_type": "default", "rope_theta": 100.0},
        }
    )
    classifier_pooling: Literal["cls", "mean"] = "mean"

    def __post_init__(self) -> None:
        if len(self.layer_types) != self.num_hidden_layers or {*self.layer_types} - {FULL, NEAR}:
            raise ValueError(f"layer_types={self.layer_types}: it must name {FULL} or {NEAR} for each layer")

    @property
    def type_vocab_size(self) -> int:
        return 0

    def window(self, layer: int) -> int | None:
        return self.local_attention // 2 if self.layer_types[layer] == NEAR else None


def rotated(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """(..., T, H, K), turned in the planes of dimensions i and i + K / 2."""
    half = x.shape[-1] // 2
    angles = positions[..., None].float() * theta ** (-torch.arange(half, device=x.device) / half)
    cos, sin = angles.cos()[..., None, :], angles.sin()[..., None, :]
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def seen(sequences: Sequences, window: int | None) -> Tensor:
    """Which token sees which: (N, N), or of padded rows (B, 1, T, T)."""
    places = sequences.position_ids
    near = torch.ones_like(places[:, None] == places) if window is None else (places[:, None] - places).abs() <= window
    if isinstance(sequences, Padded):
        return near & sequences.attention_mask[:, None, None, :].bool()
    tokens = torch.arange(len(places), device=places.device)
    owner = torch.bucketize(tokens, sequences.cu_seqlens[1:].contiguous(), right=True)
    return near & (owner[:, None] == owner)


class ToyBlock(Block):
    def __init__(self, config: ToyConfig, layer: int) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads, self.window = config.num_attention_heads, config.window(layer)
        self.theta = float(config.rope_parameters[config.layer_types[layer]]["rope_theta"])
        self.attention_dropout = config.attention_probs_dropout_prob
        self.activation = ACTIVATIONS[config.hidden_activation]
        eps = config.layer_norm_eps
        self.attention_norm = LayerNorm(hidden, eps=eps, bias=False) if layer else nn.Identity()
        self.query_key_value: nn.Module = Linear(hidden, 3 * hidden, bias=False)
        self.attention_output: nn.Module = Linear(hidden, hidden, bias=False)
        self.feed_forward_norm = LayerNorm(hidden, eps=eps, bias=False)
        self.gate_and_up: nn.Module = Linear(hidden, 2 * config.intermediate_size, bias=False)
        self.feed_forward_output: nn.Module = Linear(config.intermediate_size, hidden, bias=False)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def projected(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(..., T, D) -> queries, keys and values, (..., H, T, K) each."""
        qkv = self.query_key_value(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.unbind(-3)
        query, key = (rotated(part, positions, self.theta).to(value.dtype) for part in (query, key))
        return query.transpose(-2, -3), key.transpose(-2, -3), value.transpose(-2, -3)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        query, key, value = self.projected(hidden, sequences.position_ids)
        rate = self.attention_dropout if self.training else 0.0
        mask = seen(sequences, self.window)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        hidden = self.dropout(self.attention_output(mixed.transpose(-2, -3).flatten(-2)), residual=hidden)
        gate, up = self.gate_and_up(self.feed_forward_norm(hidden)).chunk(2, dim=-1)
        return self.dropout(self.feed_forward_output(self.activation(gate) * up), residual=hidden)  # type: ignore[no-any-return]

    def use_kernel(self, kernel: str) -> None:
        if kernel != "auto":
            raise InputError(f"hardware.attention={kernel}: the toy has its own attention; leave it out")

    def attention_weights(self, hidden: Tensor, packed: Packed) -> Tensor:
        query, key, _ = (part.float() for part in self.projected(hidden, packed.position_ids))
        scores = query @ key.mT * query.shape[-1] ** -0.5
        return scores.masked_fill(~seen(packed, self.window), float("-inf")).softmax(-1)  # type: ignore[no-any-return]

    def pack(self) -> None:
        for name in ("query_key_value", "attention_output", "gate_and_up", "feed_forward_output"):
            setattr(self, name, PackedLinear(getattr(self, name)))

    def matrices(self) -> dict[nn.Parameter, int]:
        parts = {"query_key_value.weight": 3, "gate_and_up.weight": 2}
        return {parameter: parts.get(name, 1) for name, parameter in self.named_parameters() if parameter.ndim == 2}


class ToyEmbeddings(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, sequences: Sequences) -> Tensor:
        return self.dropout(self.norm(self.word_embeddings(sequences.input_ids)))  # type: ignore[no-any-return]


class ToyEncoder(Encoder):
    def __init__(self, config: ToyConfig) -> None:
        blocks = (ToyBlock(config, layer) for layer in range(config.num_hidden_layers))
        norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)
        super().__init__(config, ToyEmbeddings(config), blocks, norm)


class ToyTransform(nn.Module):
    """What tasks have before their classifier: of whole sequences on their pooled hidden states, of tokens on each."""

    def __init__(self, config: ToyConfig, pooling: str | None = None) -> None:
        super().__init__()
        self.pooling = pooling
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps, bias=False)

    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        return self.norm(F.gelu(self.dense(self.pooled(hidden, sequences))))  # type: ignore[no-any-return]

    def pooled(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        if self.pooling is None:
            return hidden
        if isinstance(sequences, Padded):
            real = sequences.attention_mask[..., None].to(hidden.dtype)
            return hidden[:, 0] if self.pooling == "cls" else (hidden * real).sum(1) / real.sum(1)
        starts = sequences.cu_seqlens[:-1].long()
        if self.pooling == "cls":
            return hidden[starts]
        return torch.segment_reduce(hidden, "mean", lengths=sequences.cu_seqlens.diff().long(), initial=0)


class ToyForPreTraining(BertForPreTraining):
    """With BERT's heads on the toy's encoder and its pooler."""

    def __init__(self, config: ToyConfig) -> None:
        EncoderWithHeads.__init__(self, config, ToyEncoder(config))
        self.pooler = ToyTransform(config, config.classifier_pooling)  # type: ignore[assignment]
        self.masked_lm_head = MaskedLMHead(config)  # type: ignore[arg-type]
        self.next_sentence_head = nn.Linear(config.hidden_size, 2)
        initialise(self, config)


def initialise(model: nn.Module, config: ToyConfig) -> None:
    """By their names: what writes to the residual stream begins smaller the more of that there is."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            deep = name.endswith("_output")
            std = config.initializer_range / (2 * config.num_hidden_layers) ** (0.5 if deep else 0.0)
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


LAYER = "model.layers.{}"


def names(config: ToyConfig) -> TensorNames:
    """Of its tensors: queries, keys and values of a head lie side by side in a folder."""
    rows = torch.arange(3 * config.hidden_size)  # theirs: head, query or key or value, row
    by_head = rows.view(config.num_attention_heads, 3, -1).transpose(0, 1).flatten()
    return TensorNames(
        base="model",
        modules={
            "encoder.embeddings.word_embeddings": "model.embeddings.tok_embeddings",
            "encoder.embeddings.norm": "model.embeddings.norm",
            "encoder.blocks.{}.attention_norm": f"{LAYER}.attn_norm",
            "encoder.blocks.{}.query_key_value": f"{LAYER}.attn.Wqkv",
            "encoder.blocks.{}.attention_output": f"{LAYER}.attn.Wo",
            "encoder.blocks.{}.feed_forward_norm": f"{LAYER}.mlp_norm",
            "encoder.blocks.{}.feed_forward_output": f"{LAYER}.mlp.down_proj",
            "encoder.norm": "model.final_norm",
            "pooler.dense": "head.dense",
            "pooler.norm": "head.norm",
            "masked_lm_head.dense": "cls.dense",
            "masked_lm_head.norm": "cls.norm",
            "next_sentence_head": "cls.seq_relationship",
            "classifier": "classifier",
        },
        fused={"encoder.blocks.{}.gate_and_up": (f"{LAYER}.mlp.gate_proj", f"{LAYER}.mlp.up_proj")},
        rows={"encoder.blocks.{}.query_key_value": Rows(order=by_head)},
        parameters={"masked_lm_head.decoder_bias": "decoder.bias"},
        decoder="decoder",
        words="embeddings.tok_embeddings.weight",
        bare=("embeddings.", "layers.", "final_norm."),
        heads=("head.", "cls.", "decoder.", "classifier."),
    )


def present(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """An earlier version named both bases of the rotary positions apart."""
    if "rope_parameters" in settings or "global_rope_theta" not in settings:
        return settings
    bases = {FULL: settings["global_rope_theta"], NEAR: settings["local_rope_theta"]}
    rope = {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}
    return {**settings, "rope_parameters": rope}


def besides(config: ToyConfig) -> Mapping[str, Any]:
    bases = {kind: rope["rope_theta"] for kind, rope in config.rope_parameters.items()}
    return {"global_rope_theta": bases[FULL], "local_rope_theta": bases[NEAR]}


def windows(config: ToyConfig) -> Mapping[int | None, int]:
    kinds = [config.window(layer) for layer in range(config.num_hidden_layers)]
    return {window: kinds.count(window) for window in dict.fromkeys(kinds)}


def forward_flops(config: ToyConfig, work: Work) -> int:
    hidden = config.hidden_size
    block = 4 * hidden * hidden + 3 * hidden * config.intermediate_size
    attention = sum(blocks * 4 * hidden * work.attended[window] for window, blocks in windows(config).items())
    heads = 2 * work.masked * hidden * (hidden + config.vocab_size) + 2 * work.sequences * hidden * (hidden + 2)
    return config.num_hidden_layers * 2 * block * work.tokens + attention + heads


def activation_bytes(config: ToyConfig, kernels: Kernels, length: float, checkpointing: bool) -> float:
    hidden, compute, total = config.hidden_size, kernels.compute, 0.0
    for window, blocks in windows(config).items():
        keys = length if window is None else min(length, 2 * window + 1)
        block = compute * (9 * hidden + 3 * config.intermediate_size) + FP32 * config.num_attention_heads * keys
        total += blocks * (FP32 * hidden if checkpointing else block)
    return total + FP32 * hidden


def head_bytes(config: ToyConfig, kernels: Kernels, masked: int, sequences: int) -> int:
    hidden = config.hidden_size
    return FP32 * (config.vocab_size * (hidden + 1) + 4 * masked * hidden) + sequences * 2 * kernels.compute * hidden


register(
    Architecture(
        model_type="toy",
        title="Toy",
        classes="Toy",
        heads=("encoder", "pretraining", "masked_lm", "sequence_classification", "token_classification"),
        config=ToyConfig,
        encoder=ToyEncoder,
        pretraining=ToyForPreTraining,
        pooler=lambda config: ToyTransform(config, config.classifier_pooling),
        token_head=ToyTransform,
        initialise=initialise,
        names=names,
        stated={"attention_bias": False, "position_embedding_type": "rope"},
        renamed={"layer_norm_eps": "norm_eps"},
        present=present,
        besides=besides,
        special_ids={"pad_token_id": "pad", "cls_token_id": "cls", "sep_token_id": "sep"},
        vocabulary=("encoder.embeddings.word_embeddings.weight", "masked_lm_head.decoder_bias"),
        positions=(),
        windows=windows,
        forward_flops=forward_flops,
        activation_bytes=activation_bytes,
        head_bytes=head_bytes,
    )
)
