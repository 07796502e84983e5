"""Pre-training by replaced token detection, as ELECTRA."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import Packed, PretrainingBatch
from cloze.data.pretraining.objective import Objective
from cloze.errors import InputError
from cloze.model.architecture import Kernels, Work
from cloze.model.config import EncoderConfig
from cloze.model.memory import Memory, StepMemory
from cloze.model.replaced_tokens import ReplacedTokens, forward_flops, generator_shape, head_bytes
from cloze.tasks.pretraining import Pretraining
from cloze.tasks.training import Recipe
from cloze.text.manifest import Manifest


class ReplacedTokensLosses(NamedTuple):
    """Sums, not means, all scalar tensors: to be divided by the counts of the global batch.

    Attributes:
        masked_lm: the loss of the generator.
        masked_lm_correct: masked tokens whose label got the highest logit.
        discriminator: the loss of the discriminator over all real tokens.
        discriminator_correct: real tokens of which it says the truth.
        replaced: tokens that the generator has replaced by others.
        called: tokens that the discriminator calls replaced.
        found: those of them that are.
    """

    masked_lm: Tensor
    masked_lm_correct: Tensor
    discriminator: Tensor
    discriminator_correct: Tensor
    replaced: Tensor
    called: Tensor
    found: Tensor


Losses = Callable[[ReplacedTokens, Packed, Tensor, Tensor, Tensor, Tensor], ReplacedTokensLosses]


def replaced_tokens_losses(
    model: ReplacedTokens, packed: Packed, positions: Tensor, labels: Tensor, uniforms: Tensor, is_real: Tensor
) -> ReplacedTokensLosses:
    """Both losses of a batch (Clark et al. 2020, section 3.1), without ever holding the (M, V) logits.

    Args:
        model: both networks.
        packed: with masks.
        positions: (M,) of the masked tokens.
        labels: (M,) which they were.
        uniforms: (M,), see ``PretrainingBatch``.
        is_real: (N,) bool, whether a token does not only pad.
    """
    masked_lm, logits, replaced = model(packed, positions, labels, uniforms)
    logits = logits.float()
    losses = F.binary_cross_entropy_with_logits(logits, replaced.float(), reduction="none")
    called = is_real & (logits > 0)
    return ReplacedTokensLosses(
        masked_lm.loss,
        masked_lm.correct,
        torch.where(is_real, losses, 0.0).sum(),
        (is_real & (called == replaced)).sum(),
        replaced.sum(),
        called.sum(),
        (called & replaced).sum(),
    )


class ReplacedTokensPretraining(Pretraining[PretrainingBatch]):
    """A generator fills masked tokens in, a discriminator finds those that are replaced (Clark et al. 2020, section 3).

    The model folder is the discriminator; the generator, which shares its embeddings, is next to it. What the generator
    draws is a pure function of the sequence and of the weights, whatever the ranks and the micro-batches.

    Args:
        generator_size: the generator's width, feed-forward layers included, as a share of the discriminator's: 0.25 for
            ELECTRA-Small and -Large, 0.33333 for -Base.
        generator_layers: likewise its number of layers.
        discriminator_weight: lambda, the factor of the discriminator's loss.
        shape: of the discriminator's encoder.
        recipe: how both are trained.

    Raises:
        InputError: for a value outside its range.
    """

    sums: ClassVar[int] = 9
    compiles_step: ClassVar[bool] = True
    model: ReplacedTokens

    def __init__(
        self,
        *,
        generator_size: float = 0.25,
        generator_layers: float = 1.0,
        discriminator_weight: float = 50.0,
        shape: EncoderConfig,
        recipe: Recipe,
    ) -> None:
        for name, value in (("generator_size", generator_size), ("generator_layers", generator_layers)):
            if not 0 < value <= 1:
                raise InputError(f"module.{name}={value}: expected a share above 0 and at most 1")
        if not 0 <= discriminator_weight < math.inf:
            raise InputError(f"module.discriminator_weight={discriminator_weight}: expected a factor of at least 0")
        self.generator_size, self.generator_layers = generator_size, generator_layers
        super().__init__(shape=shape, recipe=recipe)
        self.discriminator_weight = discriminator_weight
        self.losses: Losses = replaced_tokens_losses

    @classmethod
    def unsuited(cls, objective: Objective[PretrainingBatch]) -> str | None:
        """Pairs have no head here."""
        if objective.pairs == "none":
            return None
        return (
            f"detects replaced tokens in single texts, but objective.pairs is {objective.pairs}: take "
            "objective=replaced_tokens, or objective.pairs=none"
        )

    def make_model(self, shape: EncoderConfig) -> ReplacedTokens:
        """Both networks.

        Raises:
            InputError: the generator cannot have its shape.
        """
        try:
            generator = generator_shape(shape, self.generator_size, self.generator_layers)
        except ValueError as error:
            raise InputError(
                f"module: a generator of generator_size={self.generator_size} and generator_layers="
                f"{self.generator_layers} cannot be ({error}): choose other shares"
            ) from error
        return ReplacedTokens(shape, generator)

    def step(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Both losses, each divided by its count, and their sums, counts and right answers, (9,)."""
        tokens = batch.packed.input_ids
        is_real = torch.arange(len(tokens), device=tokens.device) < batch.num_tokens
        positions, labels = batch.masked_positions, batch.masked_labels
        found = self.losses(self.model, batch.packed, positions, labels, batch.uniforms, is_real)
        counts = torch.stack([(labels >= 0).sum(), is_real.sum()]).double()
        sums = torch.cat([torch.stack([part.detach().double() for part in found]), counts])
        masked_lm = found.masked_lm / max(1, batch.global_masked)
        return masked_lm + self.discriminator_weight * found.discriminator / max(1, batch.global_tokens), sums

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """The means of both losses, the shares of right answers, and what is found of the replaced tokens."""
        lm_loss, lm_correct, loss, correct, replaced, called, found, masked, tokens = sums
        masked_lm, discriminator = lm_loss / max(1, masked), loss / max(1, tokens)
        return {
            "loss": masked_lm + self.discriminator_weight * discriminator,
            "masked_lm_loss": masked_lm,
            "masked_lm_accuracy": lm_correct / max(1, masked),
            "sampled_accuracy": 1 - replaced / max(1, masked),
            "discriminator_loss": discriminator,
            "discriminator_accuracy": correct / max(1, tokens),
            "replaced_precision": found / max(1, called),
            "replaced_recall": found / max(1, replaced),
        }

    def compile_step(self, *, cuda_graphs: bool) -> None:
        """Both networks as one graph."""
        mode = "reduce-overhead" if cuda_graphs else None
        self.losses = torch.compile(replaced_tokens_losses, fullgraph=True, dynamic=False, mode=mode)

    def masked_labels(self, batch: PretrainingBatch) -> Tensor:
        """(M,) int64."""
        return batch.masked_labels

    def masked_lm_logits(self, packed: Packed, positions: Tensor) -> Tensor:
        """The generator's logits (M, V) at ``positions`` (M,)."""
        return self.model.masked_lm_logits(packed, positions)

    def flops(self, work: Work) -> int:
        """Of both networks."""
        return 3 * forward_flops(self.model, work)

    def memory(self, of: Memory, kernels: Kernels, tokens: int, masked: int) -> StepMemory:
        """Of both networks; the generator reads the masked tokens of its last layer alone."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        generator = of(self.model.generator.encoder.config, masked=masked, parameters=0)
        discriminator = of(self.model.config, masked=0, parameters=parameters)
        return discriminator._replace(
            activations=generator.activations + discriminator.activations,
            head=head_bytes(self.model, kernels, tokens, masked),
        )

    def chance_loss(self, objective: Objective[PretrainingBatch], vocab_size: int) -> float:
        """Of a uniform guess at the token, and of none at whether it was replaced."""
        return math.log(vocab_size) + self.discriminator_weight * math.log(2)

    def told(self, metrics: Mapping[str, float]) -> str:
        """The loss with its two parts."""
        return (
            f"loss {metrics['loss']:.3f} (generator {metrics['masked_lm_loss']:.3f}, discriminator "
            f"{metrics['discriminator_loss']:.4f})"
        )

    def summary(self, metrics: Mapping[str, float], manifest: Manifest) -> list[tuple[str, str]]:
        """The losses, and how many of the replaced tokens are found."""
        replaced = f"{metrics['replaced_recall']:.1%} found, {metrics['replaced_precision']:.1%} of those called so are"
        return [
            ("held-out text", self.told(metrics)),
            ("masked tokens", f"{metrics['masked_lm_accuracy']:.1%} right; {metrics['sampled_accuracy']:.1%} as drawn"),
            ("replaced tokens", f"{replaced}; {metrics['discriminator_accuracy']:.1%} of all tokens told apart"),
        ]
