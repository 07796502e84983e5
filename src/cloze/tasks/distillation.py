"""Pre-training of a student that learns from a teacher: what it predicts, and what lies between its layers."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloze.batch import IGNORED_LABEL, PretrainingBatch
from cloze.data.pretraining.objective import Objective
from cloze.errors import InputError
from cloze.model.config import EncoderConfig
from cloze.model.encoder import TRAINING_ONLY, Encoder
from cloze.model.heads import PretrainingModel
from cloze.model.kernels.cross_entropy import CrossEntropy, linear_cross_entropy
from cloze.model.kernels.relations import in_relation_heads, relation_divergence
from cloze.model.kernels.soft_targets import Decoder, SoftAndHard, soft_and_hard_targets
from cloze.model.modern_config import ModernBertConfig
from cloze.tasks.masked_lm import MaskedLMPretraining
from cloze.tasks.teacher import Teacher, copy_layers
from cloze.tasks.training import Recipe

OF_MASKED_LM = MaskedLMPretraining.sums
RELATIONS = {"attention": (0, 1), "queries": (0, 0), "keys": (1, 1), "values": (2, 2)}
"""Of queries, keys and values the two that each relation is of."""
OVER_TOKENS = ("cosine", "hidden", "embeddings", *RELATIONS)
"""The losses that are sums over all tokens."""


class Distillation(MaskedLMPretraining):
    """A weighted sum of losses by which a student learns from a teacher; weights of 0 leave losses out.

    The loss of sentence pairs is added where the objective has pairs. Where the weights of soft targets and of masked
    tokens are both 0, the head of masked tokens alone learns from these, and nothing below it does.

    Args:
        soft_targets: the weight of the teacher's probabilities of masked tokens (Sanh et al. 2019, section 3).
        temperature: by which the logits of both are divided for that (Hinton et al. 2015, section 2).
        masked_lm: the weight of the loss of masked tokens.
        cosine: the weight of 1 - cos of the last hidden states (Sanh et al. 2019, section 3); in equal widths only.
        hidden: the weight of the squared error of hidden states, those of the student through a learned matrix, summed
            over its layers (Jiao et al. 2020, TinyBERT, equation 8).
        layers: for each layer of the student the teacher's that `hidden` compares it with, the first one is 1; null
            for every n-th.
        embeddings: the weight of the same of the embeddings, through a matrix of their own (equation 9).
        attention: the weight of the attention distribution of the last layer (Wang et al. 2020, MiniLM, equation 6).
        queries: the weight of the relations between queries (Wang et al. 2021, MiniLMv2, equation 4).
        keys: the same between keys.
        values: the same between values, which are MiniLM's value relations, too (equation 8).
        relation_layer: the teacher's layer for these four, the first one is 1; null for the last.
        relation_heads: into how many heads these four divide the vectors, MiniLMv2's 48 or 64; null for the attention
            heads, which student and teacher then have as many of.
        init_layers: for each layer of the student the teacher's that it begins with, the first one is 1; embeddings and
            heads are copied, too. null begins with random weights.
        teacher: comes with the run, as `teacher=FOLDER`.
        shape: of the encoder.
        recipe: how it is trained.

    Raises:
        InputError: the teacher lacks what a loss asks for, or its shape does not fit it.
    """

    sums: ClassVar[int] = OF_MASKED_LM + 2 + len(OVER_TOKENS)
    compiles_step: ClassVar[bool] = False
    without_teacher = MaskedLMPretraining
    teacher: Teacher[PretrainingModel]

    def __init__(
        self,
        *,
        soft_targets: float = 5.0,
        temperature: float = 2.0,
        masked_lm: float = 2.0,
        cosine: float = 1.0,
        hidden: float = 0.0,
        layers: Sequence[int] | None = None,
        embeddings: float = 0.0,
        attention: float = 0.0,
        queries: float = 0.0,
        keys: float = 0.0,
        values: float = 0.0,
        relation_layer: int | None = None,
        relation_heads: int | None = None,
        init_layers: Sequence[int] | None = None,
        teacher: Teacher[PretrainingModel],
        shape: EncoderConfig,
        recipe: Recipe,
    ) -> None:
        super().__init__(shape=shape, recipe=recipe)
        self.soft_targets, self.masked_lm, self.temperature = soft_targets, masked_lm, temperature
        self.over_tokens = {
            "cosine": cosine,
            "hidden": hidden,
            "embeddings": embeddings,
            "attention": attention,
            "queries": queries,
            "keys": keys,
            "values": values,
        }
        self.relation_heads = relation_heads
        self.relation_layer = relation_layer or teacher.model.config.num_hidden_layers
        self.teacher = teacher
        self._check_weights()
        self.pairs = self._layer_pairs(layers) if hidden else []
        self._check_shapes(shape, teacher.model.config)
        self.model.training_only = self._projections(shape.hidden_size, teacher.model.config.hidden_size)
        if init_layers is not None:
            copy_layers(self.model, teacher, init_layers, "module.init_layers")

    def chance_loss(self, objective: Objective[PretrainingBatch], vocab_size: int) -> None:
        """Unknown: nobody knows how far the teacher is from one who knows nothing."""

    @property
    def is_apart(self) -> bool:
        """Whether the head of masked tokens learns by itself."""
        return not (self.soft_targets or self.masked_lm)

    @property
    def _relations(self) -> list[str]:
        return [name for name in RELATIONS if self.over_tokens[name]]

    def step(self, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """The weighted losses, each divided by its count, and their sums, counts and right answers, (16,)."""
        packed, positions, depth = batch.packed, batch.masked_positions, self.model.config.num_hidden_layers
        below = [depth - 1] if self._relations else []
        own = sorted({0, *(layer for layer, _ in self.pairs), *below, depth})
        ours, masked, pair_logits = self.model.hidden_and_heads(packed, positions, own, apart=self.is_apart)
        with torch.no_grad():
            theirs = self._of_teacher(batch)
        decoded = self._masked_lm(masked, theirs, batch)
        pairs = F.cross_entropy(
            pair_logits.float(), batch.next_sentence_labels, reduction="sum", ignore_index=IGNORED_LABEL
        )
        found = self._over_tokens(ours, theirs, batch)
        loss = decoded.loss / max(1, batch.global_masked) + pairs / max(1, batch.global_pairs)
        for name, total in found.items():
            loss = loss + self.over_tokens[name] * total / batch.global_tokens
        nothing = loss.new_zeros(())
        sums = [
            *(decoded.hard, decoded.correct, (batch.masked_labels != IGNORED_LABEL).sum()),
            *(pairs, (pair_logits.argmax(-1) == batch.next_sentence_labels).sum()),
            *((batch.next_sentence_labels != IGNORED_LABEL).sum(), (batch.next_sentence_labels == 1).sum()),
            *(decoded.soft, loss.new_full((), batch.num_tokens)),
            *(found.get(name, nothing) for name in OVER_TOKENS),
        ]
        return loss, torch.stack([total.detach().double() for total in sums])

    def metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """Those of masked tokens and of pairs, the mean of every loss that has a weight, and their weighted sum."""
        found = super().metrics(sums[:OF_MASKED_LM])
        soft, tokens, *others = sums[OF_MASKED_LM:]
        found["loss"] = found.get("next_sentence_loss", 0.0) + self.masked_lm * found["masked_lm_loss"]
        if self.is_apart:
            found["loss"] += found["masked_lm_loss"]
        if self.soft_targets:
            found["soft_targets_loss"] = soft / max(1, sums[2])
            found["loss"] += self.soft_targets * found["soft_targets_loss"]
        for name, total in zip(OVER_TOKENS, others, strict=True):
            if weight := self.over_tokens[name]:
                found[f"{name}_loss"] = total / max(1, tokens)
                found["loss"] += weight * found[f"{name}_loss"]
        return found

    def _of_teacher(self, batch: PretrainingBatch) -> dict[int, Tensor]:
        """Its hidden states in the layers that are asked for, by their numbers."""
        encoder, top = self._their_encoder(batch), self.teacher.model.config.num_hidden_layers
        wanted = {layer for _, layer in self.pairs} | ({self.relation_layer - 1} if self._relations else set())
        wanted |= {0} if self.over_tokens["embeddings"] else set()
        wanted |= {top} if self.soft_targets or self.over_tokens["cosine"] else set()
        return dict(zip(sorted(wanted), encoder(batch.packed, layers=sorted(wanted)), strict=True)) if wanted else {}

    def _their_encoder(self, batch: PretrainingBatch) -> Encoder:
        return self.teacher.on(batch.packed.input_ids.device).encoder

    def _masked_lm(self, masked: Tensor, theirs: Mapping[int, Tensor], batch: PretrainingBatch) -> SoftAndHard:
        """Soft and hard targets of the masked tokens, of which ``masked`` (M, D) is ready for the decoder."""
        weight, bias = self.model.decoder_weight, self.model.decoder_bias
        if not self.soft_targets:
            found: CrossEntropy = linear_cross_entropy(
                masked, weight.detach() if self.is_apart else weight, bias, batch.masked_labels
            )
            hard = 1.0 if self.is_apart else self.masked_lm
            return SoftAndHard(hard * found.loss, found.loss.new_zeros(()), found.loss, found.correct)
        teacher = self.teacher.model
        with torch.no_grad():
            last = theirs[teacher.config.num_hidden_layers][batch.masked_positions]
            told = Decoder(teacher.masked_lm_head(last), teacher.decoder_weight, teacher.decoder_bias)
        return soft_and_hard_targets(
            Decoder(masked, weight, bias),
            told,
            batch.masked_labels,
            temperature=self.temperature,
            soft=self.soft_targets,
            hard=self.masked_lm,
        )

    def _over_tokens(
        self, ours: Mapping[int, Tensor], theirs: Mapping[int, Tensor], batch: PretrainingBatch
    ) -> dict[str, Tensor]:
        """The sums of the losses over the real tokens, where they have a weight."""
        real, found = slice(batch.num_tokens), {}  # what is behind them only fills the batch
        projections = getattr(self.model, TRAINING_ONLY)
        if self.over_tokens["cosine"]:
            one, other = ours[max(ours)][real].float(), theirs[max(theirs)][real].float()
            found["cosine"] = (1 - F.cosine_similarity(one, other, dim=-1)).sum()
        for name, pairs in (("hidden", self.pairs), ("embeddings", [(0, 0)])):
            if self.over_tokens[name]:
                errors = (
                    projections[name](ours[layer][real]).float() - theirs[other][real].float() for layer, other in pairs
                )
                found[name] = torch.stack([error.square().mean(-1).sum() for error in errors]).sum()
        if self._relations:
            found |= self._related(ours, theirs, batch)
        return found

    def _related(
        self, ours: Mapping[int, Tensor], theirs: Mapping[int, Tensor], batch: PretrainingBatch
    ) -> dict[str, Tensor]:
        """The divergence of each relation that has a weight, of the student's last layer."""
        own, other = [*self.model.encoder.stack][-1], [*self._their_encoder(batch).stack][self.relation_layer - 1]
        depth, layer = self.model.config.num_hidden_layers, self.relation_layer
        with torch.no_grad():
            known = other.queries_keys_values(theirs[layer - 1], batch.packed).unbind(1)
        learned = own.queries_keys_values(ours[depth - 1], batch.packed).unbind(1)
        if self.relation_heads is not None:
            learned, known = (
                tuple(in_relation_heads(part, self.relation_heads) for part in one) for one in (learned, known)
            )
        return {
            name: relation_divergence(
                (learned[first], learned[second]), (known[first], known[second]), batch.packed, batch.num_tokens
            )
            for name in self._relations
            for first, second in [RELATIONS[name]]
        }

    def _projections(self, width: int, other: int) -> nn.ModuleDict:
        """The learned matrices from the student's hidden states to the teacher's."""
        names = [name for name in ("hidden", "embeddings") if self.over_tokens[name]]
        return nn.ModuleDict({name: nn.Linear(width, other, bias=False) for name in names})

    def _layer_pairs(self, layers: Sequence[int] | None) -> list[tuple[int, int]]:
        """Each layer of the student with the teacher's that it is compared with."""
        own, depth = self.model.config.num_hidden_layers, self.teacher.model.config.num_hidden_layers
        if layers is None and depth % own:
            raise InputError(
                f"module.layers: the {depth} layers of teacher={self.teacher.name} cannot be shared evenly by the "
                f"student's {own}: give one for each of these, as module.layers=[1,...,{depth}]"
            )
        chosen = range(depth // own, depth + 1, depth // own) if layers is None else layers
        if len(chosen) != own or not all(1 <= layer <= depth for layer in chosen):
            raise InputError(
                f"module.layers is {[*chosen]}, but must be a number from 1 to {depth}, of a layer of "
                f"teacher={self.teacher.name}, for each of the student's {own} layers"
            )
        return [*enumerate(chosen, start=1)]

    def _check_weights(self) -> None:
        weights = {"soft_targets": self.soft_targets, "masked_lm": self.masked_lm, **self.over_tokens}
        for name, weight in weights.items():
            if weight < 0:
                raise InputError(f"module.{name} is {weight}, but a weight must be at least 0")
        if self.temperature <= 0:
            raise InputError(f"module.temperature is {self.temperature}, but must be above 0")
        if not self.soft_targets and not any(self.over_tokens.values()):
            raise InputError(
                "module: nothing is learned from the teacher: give one of module.soft_targets, "
                f"{', '.join(f'module.{name}' for name in OVER_TOKENS)} a weight"
            )
        if self.soft_targets and "masked_lm_head" not in self.teacher.parts:
            raise InputError(
                f"teacher={self.teacher.name} has no head of masked tokens, whose probabilities module.soft_targets "
                "learns: give a pre-trained model, or module.soft_targets=0"
            )

    def _check_shapes(self, ours: EncoderConfig, theirs: EncoderConfig) -> None:
        name, widths = f"teacher={self.teacher.name}", (ours.hidden_size, theirs.hidden_size)
        if self.over_tokens["cosine"] and widths[0] != widths[1]:
            raise InputError(
                f"module.cosine compares hidden states of the same width, but the student has {widths[0]} and {name} "
                f"{widths[1]}: give module.cosine=0, and perhaps module.hidden=1, which has a learned matrix"
            )
        if not self._relations:
            return
        layer, depth, heads = self.relation_layer, theirs.num_hidden_layers, self.relation_heads
        if not 1 <= layer <= depth:
            raise InputError(f"module.relation_layer is {layer}, but must be from 1 to {depth}, the layers of {name}")
        if heads is None and ours.num_attention_heads != theirs.num_attention_heads:
            raise InputError(
                f"module.relation_heads: the student has {ours.num_attention_heads} attention heads and {name} "
                f"{theirs.num_attention_heads}: give a number of relation heads, or model.num_attention_heads="
                f"{theirs.num_attention_heads}"
            )
        if heads is not None and (heads < 1 or any(width % heads for width in widths)):
            raise InputError(
                f"module.relation_heads is {heads}, by which {widths[0]} and {widths[1]}, the widths of the student "
                f"and of {name}, cannot be divided evenly"
            )
        tops = ((ours, ours.num_hidden_layers, "the student"), (theirs, layer, name))
        for shape, number, whose in tops if self.over_tokens["attention"] else ():
            if isinstance(shape, ModernBertConfig) and shape.window(number - 1) is not None:
                raise InputError(
                    f"module.attention compares attention over whole sequences, but that of layer {number} of {whose} "
                    "has a window: take module.queries, module.keys and module.values, or other layers"
                )
