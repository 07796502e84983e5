"""Replaced token detection: a small generator replaces tokens, a discriminator finds them.

Clark et al. 2020 (ELECTRA), section 3. The encoder of any architecture will do. Legend for shapes: see ``cloze.batch``;
E is the width of the embeddings.
"""

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import IGNORED_LABEL, Packed
from cloze.model.architecture import FP32, STATISTICS, Kernels, Work, architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.electra import DiscriminatorHead, GeneratorHead, initialise_by_width, projection
from cloze.model.encoder import Encoder, EncoderWithHeads
from cloze.model.kernels.attention import Sequences
from cloze.model.kernels.cross_entropy import ROWS_AT_ONCE, ROWS_ON_A_DEVICE, SampledCrossEntropy, sampled_cross_entropy


class Detection(NamedTuple):
    """What both networks make of a batch.

    Attributes:
        masked_lm: of the generator.
        logits: (N,) of the discriminator: was this token replaced?
        replaced: (N,) bool, whether it was: a token that the generator draws just as it was is an original.
    """

    masked_lm: SampledCrossEntropy
    logits: Tensor
    replaced: Tensor


class TiedEmbeddings(nn.Module):
    """The embeddings of another encoder, whose parameters they stay."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self._of = (of,)  # no module of this one, so that every parameter has one name

    @property
    def word_embeddings(self) -> Any:
        """(V, E)."""
        return self._of[0].word_embeddings

    def forward(self, sequences: Sequences) -> Tensor:
        """(N,) ids -> (N, E)."""
        return self._of[0](sequences)  # type: ignore[no-any-return]


class Generator(nn.Module):
    """A narrower encoder of the same architecture on the embeddings of the discriminator, with a masked-LM head."""

    def __init__(self, config: EncoderConfig, discriminator: Encoder) -> None:
        super().__init__()
        width = discriminator.word_embeddings.embedding_dim
        self.encoder: Encoder = architecture_of(config).encoder(config)
        self.encoder.embeddings = TiedEmbeddings(discriminator.embeddings)
        self.encoder.projection = projection(width, config.hidden_size)
        eps = getattr(config, "layer_norm_eps", 1e-12)
        self.masked_lm_head = GeneratorHead(config.hidden_size, width, config.vocab_size, eps)


class ReplacedTokens(EncoderWithHeads):
    """Both networks; ``encoder`` is the discriminator's, which is what all of it is trained for.

    Args:
        config: the shape of the discriminator.
        generator: that of the generator, see ``generator_shape``.
    """

    entry_points: ClassVar[tuple[str, ...]] = ("masked_lm_logits",)

    def __init__(self, config: EncoderConfig, generator: EncoderConfig) -> None:
        record = architecture_of(config)
        super().__init__(config, record.encoder(config))
        self.generator = Generator(generator, self.encoder)
        self.discriminator_head = DiscriminatorHead(config)
        record.initialise(self, config)
        initialise_by_width(self)

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The generator's first."""
        return (self.generator.encoder, self.encoder)

    def forward(self, packed: Packed, positions: Tensor, labels: Tensor, uniforms: Tensor) -> Detection:
        """Fill the masked positions with what the generator draws, and look for what was replaced.

        Args:
            packed: with masks.
            positions: (M,) of the masked tokens; where the label is ignored, those of a token that is not masked.
            labels: (M,) the tokens that stood there, or ``IGNORED_LABEL``.
            uniforms: (M,) in [0, 1), which decide what is drawn.
        """
        head = self.generator.masked_lm_head
        hidden = head(self.generator.encoder(packed, positions))
        drawn = sampled_cross_entropy(hidden, self.encoder.word_embeddings.weight, head.decoder_bias, labels, uniforms)
        is_masked = labels != IGNORED_LABEL
        ids = packed.input_ids.scatter(0, positions, torch.where(is_masked, drawn.sampled, packed.input_ids[positions]))
        replaced = torch.zeros_like(ids, dtype=torch.bool).scatter(0, positions, is_masked & (drawn.sampled != labels))
        logits = self.discriminator_head(self.encoder(packed._replace(input_ids=ids)))
        return Detection(drawn, logits, replaced)

    def masked_lm_logits(self, packed: Packed, positions: Tensor) -> Tensor:
        """The generator's logits (M, V) at ``positions`` (M,)."""
        head = self.generator.masked_lm_head
        hidden = head(self.generator.encoder(packed, positions))
        return F.linear(hidden, self.encoder.word_embeddings.weight, head.decoder_bias)


def generator_shape(config: EncoderConfig, size: float, layers: float) -> EncoderConfig:
    """The shape of a generator that has a share of the width and of the layers of its discriminator.

    Its heads are as wide as the discriminator's, so that they are the fewer; at least one (google-research/electra,
    ``run_pretraining.get_generator_config``).

    Raises:
        ValueError: no encoder can have this shape.
    """
    stated: Any = config
    return narrowed(
        config,
        hidden_size=round(size * config.hidden_size),
        intermediate_size=round(size * stated.intermediate_size),
        num_hidden_layers=round(layers * config.num_hidden_layers),
    )


def narrowed(config: EncoderConfig, *, hidden_size: int, **sizes: int) -> EncoderConfig:
    """The shape with other sizes, and with heads of the same size."""
    heads = max(1, hidden_size // (config.hidden_size // config.num_attention_heads))
    shape: EncoderConfig = replace(config, hidden_size=hidden_size, num_attention_heads=heads, **sizes)
    return shape


def forward_flops(model: ReplacedTokens, work: Work) -> int:
    """Floating-point operations of the forward pass, matrix products only."""
    record, narrow, config = architecture_of(model), model.generator.encoder.config, model.config
    width, masked = model.encoder.word_embeddings.embedding_dim, work.masked
    nothing = Work(0, dict.fromkeys(work.attended, 0), masked, 0)
    generator = record.forward_flops(narrow, work._replace(sequences=0)) - record.forward_flops(narrow, nothing)
    generator += 2 * masked * width * (narrow.hidden_size + config.vocab_size)
    if model.generator.encoder.projection is not None and model.encoder.projection is None:
        generator += 2 * work.tokens * width * narrow.hidden_size
    discriminator = record.forward_flops(config, work._replace(masked=0, sequences=0))
    return generator + discriminator + 2 * work.tokens * config.hidden_size * (config.hidden_size + 1)


def head_bytes(model: ReplacedTokens, kernels: Kernels, tokens: int, masked: int) -> int:
    """Bytes that both heads keep for the backward pass, with the logits of some rows at once."""
    vocab_size, width = model.config.vocab_size, model.encoder.word_embeddings.embedding_dim
    rows = min(ROWS_ON_A_DEVICE if kernels.on_gpu else ROWS_AT_ONCE, masked)
    decoder = FP32 * vocab_size * (width + 1 + 2 * rows)
    transform = masked * ((2 * kernels.compute + 2 * FP32) * width + STATISTICS)
    return decoder + transform + tokens * 3 * kernels.compute * model.config.hidden_size
