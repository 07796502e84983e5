"""Pre-training of encoders for embeddings by RetroMAE: a text is made again of its embedding."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.pretraining.objective import Objective
from cloze.errors import InputError
from cloze.model.architecture import Kernels, Work, architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.families.costs import forward_flops
from cloze.model.heads import PretrainingModel, first_vectors
from cloze.model.kernels.cross_entropy import linear_cross_entropy
from cloze.model.memory import Memory, StepMemory
from cloze.model.retromae import BITS, EnhancedDecoder, Places, sampled_context
from cloze.tasks.masked_lm import MaskedLMPretraining
from cloze.tasks.training import Recipe
from cloze.text.manifest import Manifest


class RetroMAE(MaskedLMPretraining):
    """The masked tokens by the encoder, and every token by a decoder of one layer (Xiao et al. 2022, section 3).

    The decoder reads the hidden state of [CLS] and, for each token anew, a random part of the others; so little that
    the embedding has to hold the text. Which part is a pure function of the sequence, whatever the ranks and the
    micro-batches. The head of masked tokens and the embeddings are those of the encoder. The model folder is that of
    the encoder with its head; the decoder is next to it.

    Args:
        decoder_mask_rate: the share of tokens that are hidden from each token in the decoder.
        decoder_weight: the factor of the decoder's loss, which is summed over all tokens but [CLS] and [SEP] and
            divided by all tokens.
        shape: of the encoder.
        recipe: how it is trained.

    Raises:
        InputError: for a value outside its range.
    """

    sums: ClassVar[int] = 6
    monitor: ClassVar[str] = "loss"
    compiles_step: ClassVar[bool] = False

    def __init__(
        self,
        *,
        decoder_mask_rate: float = 0.5,
        decoder_weight: float = 1.0,
        shape: EncoderConfig,
        recipe: Recipe,
    ) -> None:
        if not 0 <= decoder_mask_rate < 1:
            raise InputError(f"module.decoder_mask_rate={decoder_mask_rate}: expected a share from 0 to below 1")
        if not 0 <= decoder_weight < math.inf:
            raise InputError(f"module.decoder_weight={decoder_weight}: expected a factor of at least 0")
        super().__init__(shape=shape, recipe=recipe)
        self.decoder_mask_rate, self.decoder_weight = decoder_mask_rate, decoder_weight

    @classmethod
    def unsuited(cls, objective: Objective[PretrainingBatch]) -> str | None:
        """A pair has no embedding."""
        if objective.pairs == "none":
            return None
        return (
            f"makes single texts again, but objective.pairs is {objective.pairs}: take objective=mlm, or "
            "objective.pairs=none"
        )

    def make_model(self, shape: EncoderConfig) -> PretrainingModel:
        """The encoder with its heads, and the decoder."""
        model = architecture_of(shape).pretraining(shape)
        assert isinstance(model, PretrainingModel)
        model.retromae_decoder = EnhancedDecoder(shape, model.encoder)
        return model

    @property
    def decoder(self) -> EnhancedDecoder:
        """A part of the model."""
        return self.model.retromae_decoder  # type: ignore[return-value]

    def step(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Both losses, each divided by its count, and their sums, counts and right answers, (6,)."""
        model, packed, masked_labels = self.model, batch.packed, batch.masked_labels
        top = model.config.num_hidden_layers
        states, masked, pairs = model.hidden_and_heads(packed, batch.masked_positions, [top])
        weight, bias = model.decoder_weight, model.decoder_bias
        masked_lm = linear_cross_entropy(masked, weight, bias, masked_labels)
        decoded, labels = self._decoded(first_vectors(states[top], packed), batch)
        every = linear_cross_entropy(model.masked_lm_head(decoded), weight, bias, labels)
        sums = [
            *(masked_lm.loss, masked_lm.correct, (masked_labels != IGNORED_LABEL).sum()),
            *(every.loss, every.correct, (labels != IGNORED_LABEL).sum()),
        ]
        nothing = pairs.sum() * 0.0  # the head of pairs learns nothing, but DDP waits for its gradients
        loss = masked_lm.loss / max(1, batch.global_masked) + nothing
        loss = loss + self.decoder_weight * every.loss / max(1, batch.global_tokens)
        return loss, torch.stack([each.detach().double() for each in sums])

    def _decoded(self, sentence: Tensor, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """What the decoder makes of embeddings (B, D), (N, D), and what is to come out, (N,)."""
        packed, positions, places = batch.packed, batch.masked_positions, Places.of(batch.packed)
        is_masked = batch.masked_labels != IGNORED_LABEL
        before = torch.where(is_masked, batch.masked_labels, packed.input_ids[positions])
        ids = packed.input_ids.scatter(0, positions, before)
        numbers = torch.where(is_masked, (batch.uniforms * 2**BITS).long(), 0)
        keys = torch.zeros_like(places.lengths).scatter_add(0, places.row[positions], numbers)
        context = sampled_context(keys, places, packed.max_seqlen, self.decoder_mask_rate)
        is_filling = torch.arange(len(ids), device=ids.device) >= batch.num_tokens
        labels = ids.masked_fill(places.is_special | is_filling, IGNORED_LABEL)
        whole = packed._replace(input_ids=ids)
        return self.decoder(sentence, self.model.encoder, whole, places, context), labels

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """The means of both losses, and the shares of right answers."""
        lm_loss, lm_correct, masked, loss, correct, tokens = sums
        means = {
            "masked_lm_loss": lm_loss / max(1, masked),
            "masked_lm_accuracy": lm_correct / max(1, masked),
            "decoder_loss": loss / max(1, tokens),
            "decoder_accuracy": correct / max(1, tokens),
        }
        return {"loss": means["masked_lm_loss"] + self.decoder_weight * means["decoder_loss"], **means}

    def needed_parts(self, objective: Objective[PretrainingBatch]) -> Sequence[str]:
        """The decoder, too."""
        return ("encoder", "masked_lm_head", "retromae_decoder")

    def flops(self, work: Work) -> int:
        """Of the encoder and the decoder, both with the head of masked tokens."""
        config, attended = self.model.config, max(work.attended.values())
        encoder = architecture_of(config).forward_flops(config, work._replace(masked=work.masked + work.tokens))
        return 3 * (encoder + forward_flops(self.decoder.config, Work(work.tokens, {None: attended}, 0, 0), {None: 1}))

    def memory(self, of: Memory, kernels: Kernels, tokens: int, masked: int) -> StepMemory:
        """Of the encoder with as many more rows of the head, and of the decoder as an encoder of one layer."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        encoder = of(self.model.config, masked=masked + tokens, parameters=parameters)
        decoder = of(self.decoder.config, masked=0, parameters=0)
        return encoder._replace(activations=encoder.activations + decoder.activations)

    def chance_loss(self, objective: Objective[PretrainingBatch], vocab_size: int) -> float:
        """Of a uniform guess at every token."""
        return (1 + self.decoder_weight) * math.log(vocab_size)

    def told(self, metrics: Mapping[str, float]) -> str:
        """The loss with its two parts."""
        parts = f"masked tokens {metrics['masked_lm_loss']:.3f}, decoder {metrics['decoder_loss']:.3f}"
        return f"loss {metrics['loss']:.3f} ({parts})"

    def summary(self, metrics: Mapping[str, float], manifest: Manifest) -> list[tuple[str, str]]:
        """The losses and how many tokens are right."""
        masked, every = metrics["masked_lm_accuracy"], metrics["decoder_accuracy"]
        return [("held-out text", f"{self.told(metrics)}; {masked:.1%} and {every:.1%} of the tokens right")]
