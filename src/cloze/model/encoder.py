"""The encoder of any architecture: embeddings and a stack of Transformer blocks.

Tokens are packed: no tensor here has padding. Legend for shapes: see ``cloze.batch``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cloze.batch import Packed
from cloze.model.config import BertConfig


class Block(nn.Module, ABC):
    """One Transformer block of an encoder."""

    @abstractmethod
    def forward(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(N, D) -> (N, D)."""

    @abstractmethod
    def use_kernel(self, kernel: str) -> None:
        """Let the attention take this kernel, by a name that ``cloze.model.kernels.attention.attend`` knows."""


class Encoder(nn.Module):
    """Embeddings and the stack of blocks.

    Attributes:
        gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations
            (Chen et al. 2016): less memory for about a third more time.
    """

    def __init__(self, config: BertConfig, embeddings: nn.Module, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.config = config
        self.embeddings = embeddings
        self.blocks = nn.ModuleList(blocks)
        self.gradient_checkpointing = False

    def forward(self, packed: Packed) -> Tensor:
        """The vectors of the last layer, (N, D)."""
        return self.hidden_states(packed)[-1]

    def hidden_states(self, packed: Packed, num_blocks: int | None = None) -> list[Tensor]:
        """The vectors after the embeddings and after every block: num_hidden_layers + 1 tensors (N, D).

        Args:
            packed: the sequences.
            num_blocks: run so many lower blocks only.
        """
        states = [self.embeddings(packed)]
        for block in self.blocks[:num_blocks]:
            if self.gradient_checkpointing and self.training:
                states.append(checkpoint(block, states[-1], packed, use_reentrant=False))
            else:
                states.append(block(states[-1], packed))
        return states

    def use_kernel(self, kernel: str) -> None:
        """Let the attention of every block take this kernel."""
        for block in self.blocks:
            block.use_kernel(kernel)  # type: ignore[operator]  # the blocks of a ModuleList are modules to mypy
