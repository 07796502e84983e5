"""The base class of encoders: embeddings and a stack of Transformer blocks.

Everything outside of a block that looks into one asks these methods. Legend for shapes: see ``cloze.batch``; training
and prediction have no padding, rows (B, T, ...) are for formats that know no packed tokens.
"""

import platform
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cloze.batch import Packed
from cloze.model.config import EncoderConfig
from cloze.model.kernels.attention import Sequences

PACKABLE = (torch.float32, torch.bfloat16)
"""Types of the weights that oneDNN has a layout of its own for."""


class Block(nn.Module, ABC):
    """One Transformer block of an encoder.

    Attributes:
        takes_rows: whether ``forward`` has a third argument, ``rows`` (R,) of packed tokens, and computes the hidden
            states of these alone, (R, D), from those of all. What stands behind attention in the last block is then
            computed for the tokens that a loss reads.
    """

    takes_rows: ClassVar[bool] = False

    @abstractmethod
    def forward(self, hidden: Tensor, sequences: Sequences) -> Tensor:
        """(N, D) -> (N, D), or (B, T, D) -> (B, T, D)."""

    @abstractmethod
    def use_kernel(self, kernel: str) -> None:
        """Let the attention take this kernel, by a name that ``cloze.model.kernels.attention.attend`` knows."""

    def turn_by(self, config: EncoderConfig, layer: int) -> None:
        """Turn rotary positions as the layer of this configuration does; nothing where positions are learned."""

    @abstractmethod
    def attention_weights(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(T, D) of one sequence -> (H, T, T) fp32, which the kernels never hold."""

    def queries_keys_values(self, hidden: Tensor, packed: Packed) -> Tensor:
        """What the attention of the block makes of the hidden states below it, (N, D) -> (N, 3, H, K).

        Raises:
            NotImplementedError: this kind of block does not say.
        """
        raise NotImplementedError

    @abstractmethod
    def pack(self) -> None:
        """Replace the linear layers by ``cloze.model.kernels.packed.PackedLinear``."""

    def matrices(self) -> dict[nn.Parameter, int]:
        """The maps between hidden states, and how many matrices lie in the rows of each, one after the other.

        Muon orthogonalises each of these by itself: of a tensor with the rows of queries, keys and values 3, of one
        with both halves of a gated feed-forward layer 2. By default every tensor is one matrix.
        """
        return {parameter: 1 for parameter in self.parameters() if parameter.ndim >= 2}


class Encoder(nn.Module):
    """Embeddings and the stack of blocks; layer 0 is the embeddings, layer n the output of the n-th block.

    Args:
        config: the shape.
        embeddings: from ``Sequences`` to (N, D) or (B, T, D).
        blocks: lowest first.
        norm: after the last block, where blocks normalise what they read; the last layer is then what comes out of it,
            as in transformers, whose hidden states of lower layers are those between the blocks, too.
        projection: from the width of the embeddings to that of the blocks, where that is another (Clark et al. 2020).

    Attributes:
        gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations
            (Chen et al. 2016): less memory for about a third more time.
    """

    def __init__(
        self,
        config: EncoderConfig,
        embeddings: nn.Module,
        blocks: Iterable[Block],
        norm: nn.Module | None = None,
        projection: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.embeddings = embeddings
        self.projection = projection
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.gradient_checkpointing = False

    @property
    def word_embeddings(self) -> nn.Embedding:
        """(V, E), to which a decoder may be tied; E is D, unless there is a projection."""
        found = self.embeddings.word_embeddings
        assert isinstance(found, nn.Embedding)
        return found

    @property
    def below(self) -> tuple[nn.Module, ...]:
        """What stands below the first block: together layer 0."""
        return (self.embeddings,) if self.projection is None else (self.embeddings, self.projection)

    def embedded(self, sequences: Sequences) -> Tensor:
        """The hidden states that the first block reads, (N, D) or (B, T, D)."""
        hidden = self.embeddings(sequences)
        return hidden if self.projection is None else self.projection(hidden)  # type: ignore[no-any-return]

    def above(self, layer: int) -> list[nn.Module]:
        """What is not run for the hidden states of a layer."""
        blocks: list[nn.Module] = [*self.blocks[layer:]]
        return [*blocks, self.norm] if blocks and self.norm is not None else blocks

    @property
    def stack(self) -> Iterator[Block]:
        """The blocks, lowest first."""
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def forward(
        self, sequences: Sequences, rows: Tensor | None = None, layers: Sequence[int] | None = None
    ) -> Tensor | list[Tensor]:
        """The hidden states of the last layer, (N, D) or (B, T, D).

        Args:
            sequences: packed, or in padded rows.
            rows: (R,) of packed tokens: the hidden states of these, (R, D); None for all.
            layers: those whose hidden states are returned, as a list, in place of the last; see ``hidden_states``.
        """
        if layers is not None:
            return self.hidden_states(sequences, layers, rows)
        return self.hidden_states(sequences, (len(self.blocks),), rows)[0]

    def hidden_states(
        self, sequences: Sequences, layers: Sequence[int] | None = None, rows: Tensor | None = None
    ) -> list[Tensor]:
        """The hidden states of some layers, (N, D) or (B, T, D) each; those of others are not kept.

        Args:
            sequences: packed, or in padded rows.
            layers: their numbers, in ascending order; None for all. Blocks above the last of them are not run.
            rows: (R,) the packed tokens of the last layer whose hidden states are returned; None for all.
        """
        wanted = range(len(self.blocks) + 1) if layers is None else layers
        hidden = self.embedded(sequences)
        states = [hidden] if 0 in wanted else []
        for number, block in enumerate(self.blocks[: max(wanted)], start=1):
            some = rows is not None and number == len(self.blocks)
            chosen = (rows,) if some and block.takes_rows else ()
            if self.gradient_checkpointing and self.training:
                hidden = checkpoint(block, hidden, sequences, *chosen, use_reentrant=False)
            else:
                hidden = block(hidden, sequences, *chosen)
            if some and not chosen:
                hidden = hidden[rows]
            if number in wanted:
                states.append(hidden if self.norm is None or number < len(self.blocks) else self.norm(hidden))
        return states

    def attention_weights(self, packed: Packed, first: int | None = None) -> list[Tensor]:
        """The weights with which each token mixes the others (Vaswani et al. 2017, equation 1), in evaluation mode.

        Args:
            packed: one sequence of T tokens.
            first: of a long sequence, keep the weights among this number of its first tokens; None for all.

        Returns:
            One tensor a block, lowest first, (H, T, T) in fp32: of each head, a row for the token that attends and a
            column for the token that is attended to. Rows sum to 1.

        Raises:
            ValueError: there is more than one sequence, whose tokens do not see each other.
        """
        if len(packed.cu_seqlens) != 2:
            raise ValueError(f"attention_weights: takes one sequence, but was given {len(packed.cu_seqlens) - 1}")
        found, hidden = [], self.embedded(packed)
        for block in self.stack:
            found.append(block.attention_weights(hidden, packed)[:, :first, :first].clone())
            hidden = block(hidden, packed)
        return found

    def use_kernel(self, kernel: str) -> None:
        """Let the attention of every block take this kernel."""
        for block in self.stack:
            block.use_kernel(kernel)

    def pack(self) -> Self:
        """Lay the weights of every block out for inference where this machine can; then nothing can be trained.

        The weights that are replaced are let go of, so that the encoder takes no more memory than before.
        """
        self.eval().requires_grad_(False)
        weight = next(self.blocks.parameters())
        x86 = platform.machine().lower() in ("x86_64", "amd64")
        if weight.is_cpu and weight.dtype in PACKABLE and x86 and torch.backends.mkldnn.is_available():
            for block in self.stack:
                block.pack()
        return self


TRAINING_ONLY = "training_only"
"""The part of a model that only its training reads, in checkpoints but not in the model folder."""


class EncoderWithHeads(nn.Module):
    """An encoder and the heads that read its hidden states: what is trained.

    Args:
        config: the shape of the encoder.
        encoder: of that shape.

    Attributes:
        entry_points: methods besides ``forward`` that training calls: under FSDP they, too, put the parameters
            together.
    """

    entry_points: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: EncoderConfig, encoder: Encoder) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """All that a training step runs."""
        return (self.encoder,)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the encoder and of the heads that have parameters, in their order."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.state_dict()))

    def turn_by(self, config: EncoderConfig) -> None:
        """Take the bases of the rotary positions of a configuration that differs in nothing else."""
        self.config = self.encoder.config = config
        for layer, block in enumerate(self.encoder.stack):
            block.turn_by(config, layer)
