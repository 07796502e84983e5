"""What the records of the encoders with rotary positions share: keys of ``config.json``, and the cost of a step.

``config.json`` is written with the keys of transformers 4 and 5, which each take their defaults where they miss theirs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from cloze.model.architecture import FP32, Architecture, Kernels, Work, register
from cloze.model.families import costs
from cloze.model.modern import ModernBertForPreTraining, ModernEncoder, initialise
from cloze.model.modern_config import FULL, SLIDING, ModernBertConfig

SCALINGS = {FULL: "global_rope_scaling", SLIDING: "local_rope_scaling"}
THETAS = {FULL: "global_rope_theta", SLIDING: "local_rope_theta"}
WINDOWED = ("global_attn_every_n_layers", "local_attention", "local_rope_theta")
"""Fields that change nothing where every block sees all of its sequence."""
UNWRITTEN = (*SCALINGS.values(), "attention_output_dropout")
"""Fields that ``config.json`` has under other names, or that are of a run alone."""
Settings = Mapping[str, Any]


def present(settings: Settings, *, by_kind: bool = True, earlier: Callable[[Settings], Settings] = dict) -> Settings:
    """The settings in the keys of the shape: the base and the scaling of the rotary positions of each kind of block.

    transformers 5 has them in ``rope_parameters``, transformers 4 as bases and in ``rope_scaling``.

    Args:
        settings: of ``config.json``.
        by_kind: whether its keys are apart for each kind of block; else all blocks have the same.
        earlier: the settings in today's keys, from those of folders that are older than the class in transformers.

    Raises:
        ValueError: heads share keys and values or have a size of their own, or positions are turned in another way.
    """
    settings = earlier(settings)
    heads, hidden = settings.get("num_attention_heads"), settings.get("hidden_size")
    if settings.get("num_key_value_heads") not in (None, heads):
        raise ValueError(
            f"num_key_value_heads is {settings['num_key_value_heads']!r} and num_attention_heads {heads!r}, but heads "
            "that share keys and values (grouped-query attention) are not supported"
        )
    if isinstance(heads, int) and isinstance(hidden, int) and settings.get("head_dim") not in (None, hidden // heads):
        raise ValueError(f"head_dim is {settings['head_dim']!r}, but only hidden_size / num_attention_heads is read")
    rope, scaling, found = settings.get("rope_parameters"), settings.get("rope_scaling"), {}
    if not all(isinstance(part, Mapping | None) for part in (rope, scaling)):
        raise ValueError(f"rope_parameters is {rope!r:.80} and rope_scaling {scaling!r:.80}, but both must be sections")
    if by_kind and rope and not {*rope} & {*THETAS}:
        raise ValueError(f"rope_parameters has neither {FULL} nor {SLIDING}, but is {rope!r:.80}")
    for kind, theta in THETAS.items() if by_kind else ((FULL, "rope_theta"),):
        stated = {**((rope or {}).get(kind) or {} if by_kind else rope or {}), **(scaling or {})}
        base = stated.pop("rope_theta", None)
        base = settings.get(theta) if base is None else base
        if base is not None:
            found[THETAS[kind]] = base
        stated["rope_type"] = stated.pop("type", None) or stated.get("rope_type") or "default"
        if stated.pop("partial_rotary_factor", 1.0) != 1.0 or settings.get("partial_rotary_factor", 1.0) != 1.0:
            raise ValueError("partial_rotary_factor is not 1, but only positions that turn all of a head are read")
        if stated.pop("truncate", True) is not True:
            raise ValueError("rope_parameters: truncate is not true, but only that is read")
        if stated["rope_type"] == "yarn":
            length = settings.get("original_max_position_embeddings", settings.get("max_position_embeddings"))
            stated.setdefault("original_max_position_embeddings", length)
        if stated["rope_type"] != "default":
            found[SCALINGS[kind]] = stated
    return {**settings, **found}


def besides(config: ModernBertConfig, *, by_kind: bool = True) -> Settings:
    """The keys of transformers 5 for the positions, and those of 4 where the shape has others."""
    stated = {
        kind: {"rope_type": "default", **(getattr(config, SCALINGS[kind]) or {}), "rope_theta": getattr(config, theta)}
        for kind, theta in THETAS.items()
    }
    if by_kind:
        return {"rope_parameters": stated}
    scaling = {"rope_scaling": config.global_rope_scaling} if config.global_rope_scaling else {}
    return {"rope_parameters": stated[FULL], "rope_theta": config.global_rope_theta, **scaling}


def windows(config: ModernBertConfig) -> Mapping[int | None, int]:
    """How many blocks see how far."""
    reach = [config.window(layer) for layer in range(config.num_hidden_layers)]
    return {window: reach.count(window) for window in dict.fromkeys(reach)}


def seen(window: int | None, length: float) -> float:
    """How many keys a token of a sequence of a length sees at most."""
    return length if window is None else min(length, 2 * window + 1)


def forward_flops(config: ModernBertConfig, work: Work) -> int:
    """Of matrix products, a multiply and an add each counted (2 m n k)."""
    gated, transform, last = config.gated_mlp, config.masked_lm_transform, config.window(config.num_hidden_layers - 1)
    return costs.forward_flops(config, work, windows(config), last=last, gated=gated, transform=transform)


def activation_bytes(config: ModernBertConfig, kernels: Kernels, length: float, checkpointing: bool) -> float:
    """Bytes that the encoder keeps for a token of a sequence of a length."""
    hidden, layers, (norm, wide) = config.hidden_size, range(config.num_hidden_layers), norm_and_wide(config, kernels)
    blocks: dict[float, int] = {}
    for window, count in windows(config).items():
        kept = costs.block_bytes(config, kernels, seen(window, length), norm=norm, feed_forward=wide)
        blocks[kept] = blocks.get(kept, 0) + count
    norms = config.embedding_norm + config.final_norm - (config.pre_norm and not config.first_norm)
    angles = len({config.rope(layer) for layer in layers}) * FP32 * hidden // config.num_attention_heads
    ends = norms * norm + angles + kernels.compute * config.type_vocab_size
    return costs.encoder_bytes(config, kernels, ends, blocks, checkpointing)


def norm_and_wide(config: ModernBertConfig, kernels: Kernels) -> tuple[float, int]:
    """Bytes that a norm keeps of a token, and numbers of the width of the feed-forward layer that a block keeps."""
    norm = costs.norm_bytes(config)
    if config.norm_type == "rms":  # without a mean; on a CPU what is normalised stays, too
        norm = FP32 * (config.hidden_size + 1) if kernels.on_gpu else FP32 * (2 * config.hidden_size + 1)
    fused = not kernels.on_gpu and kernels.compute == FP32 and config.hidden_activation != "relu"
    return norm, 2 if not config.gated_mlp else 3 if fused else 4


def unread_bytes(config: ModernBertConfig, kernels: Kernels, length: float) -> float:
    """Bytes that the last block and the norm behind it do not keep for a token that no head reads."""
    (norm, wide), window = norm_and_wide(config, kernels), config.window(config.num_hidden_layers - 1)
    norms = (1 + config.final_norm if config.pre_norm else 2) * norm
    keys = seen(window, length)
    return costs.unread_bytes(config, kernels, keys, norms=norms, feed_forward=wide, whole=window is None)


def family(*, by_kind: bool = True, earlier: Callable[[Settings], Settings] = dict, **record: Any) -> Architecture[Any]:
    """Register a family of these encoders: its record, and that of its shapes which no class of transformers computes.

    Args:
        by_kind: whether ``config.json`` says the positions apart for each kind of block.
        earlier: see ``present``.
        record: of ``Architecture``, as far as it is not the same in all of these families.
    """
    unwritten = (*UNWRITTEN, *record.pop("unwritten", ()))
    published: Architecture[Any] = Architecture(
        pair_parts=("next_sentence_head",),
        encoder=ModernEncoder,
        pretraining=ModernBertForPreTraining,
        initialise=initialise,
        present=partial(present, by_kind=by_kind, earlier=earlier),
        besides=record.pop("besides", partial(besides, by_kind=by_kind)),
        unwritten=unwritten,
        free=(
            "embedding_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "attention_output_dropout",
            "initializer_range", "initializer_cutoff_factor", "depth_scaled_initializer",
        ),
        extended=("max_position_embeddings", *THETAS.values(), *SCALINGS.values()),
        vocabulary=(
            "encoder.embeddings.word_embeddings.weight", "masked_lm_head.decoder.weight", "masked_lm_head.decoder_bias",
        ),
        positions=(),
        windows=windows,
        forward_flops=forward_flops,
        activation_bytes=activation_bytes,
        unread_bytes=unread_bytes,
        head_bytes=lambda config, *counts: costs.head_bytes(config, *counts, transform=config.masked_lm_transform),
        **record,
    )  # fmt: skip
    register(
        replace(
            published,
            model_type=f"cloze_{published.model_type}",
            title=f"{published.title} of cloze's own",
            classes=f"Cloze{published.classes}",
            kin=published,
            fixed=lambda _: {},
            unwritten=UNWRITTEN,
            present=partial(present, earlier=earlier),
            besides=besides,
        )
    )
    return register(published)
