"""The types of batches: packed tokens without padding.

Legend for shape comments everywhere: B sequences, N packed tokens, T longest sequence, D hidden size, H heads,
K head size, M masked tokens, V vocabulary.

They are ``NamedTuple``s because both the DataLoader's pinning and Lightning's device transfer recurse into those.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar, get_args, get_origin

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

Batch = TypeVar("Batch")
Row = Sequence[int] | np.ndarray | Tensor

IGNORED_LABEL = -100
"""The label that no loss and no metric counts, as ``torch.nn.functional.cross_entropy`` has it."""


class Packed(NamedTuple):
    """A flat stream of tokens with sequence boundaries.

    Attributes:
        input_ids: (N,) int64, vocabulary ids.
        token_type_ids: (N,) int64, 0 for segment A (with [CLS] and the first [SEP]), 1 for segment B.
        position_ids: (N,) int64, counted from 0 in each sequence.
        cu_seqlens: (B+1,) int32, where each sequence begins; the last entry is N. Equal neighbours are an empty
            sequence (padding of B to a constant).
        max_seqlen: T, the length of the longest sequence, or an upper bound that stays constant over batches.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    cu_seqlens: Tensor
    max_seqlen: int

    @classmethod
    def of(cls, input_ids: Sequence[Row], token_type_ids: Sequence[Row] | None = None) -> "Packed":
        """Sequences one after the other.

        Args:
            input_ids: of each sequence, with the special tokens.
            token_type_ids: of each sequence; None: 0 everywhere.
        """
        lengths = [len(sequence) for sequence in input_ids]
        bounds = np.cumsum([0, *lengths])
        ids = _concatenated(input_ids)
        return cls(
            input_ids=ids,
            token_type_ids=torch.zeros_like(ids) if token_type_ids is None else _concatenated(token_type_ids),
            position_ids=torch.from_numpy(np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)),
            cu_seqlens=torch.from_numpy(bounds.astype(np.int32)),
            max_seqlen=max(lengths, default=0),
        )

    def to(self, device: torch.device | str) -> "Packed":
        return moved(self, device)


class TokenBatch(Protocol):
    """The fields that every micro-batch has, for any objective or task."""

    @property
    def packed(self) -> Packed:
        """The B sequences."""

    @property
    def num_tokens(self) -> int:
        """Real tokens, without the padding to constant shapes."""


def batch_type(kind: type, base: type) -> type | None:
    """The type of batch that a class says it is for: ``MyBatch`` of ``class Mine(Objective[MyBatch])``.

    Args:
        kind: the class.
        base: the generic class whose first parameter it is, at any distance.

    Returns:
        None where no class between the two says it.
    """
    for each in kind.__mro__:
        for stated in vars(each).get("__orig_bases__", ()):
            origin, arguments = get_origin(stated), get_args(stated)
            if isinstance(origin, type) and issubclass(origin, base) and isinstance(arguments[0], type):
                return arguments[0]
    return None


class PretrainingBatch(NamedTuple):
    """One micro-batch of masked, packed sequence pairs.

    Attributes:
        packed: the B sequences, masked.
        masked_positions: (M,) int64, indices into the N packed tokens.
        masked_labels: (M,) int64, the token that stood there; ``IGNORED_LABEL`` where M is padded to a constant.
        next_sentence_labels: (B,) int64, 0 when segment B continues A, 1 when it is random (Hugging Face's and
            Google's convention) or, for sentence order, when A and B are swapped; ``IGNORED_LABEL`` for none.
        num_tokens: real tokens of this micro-batch, without the padding to constant shapes.
        global_masked: masked tokens of the whole global batch, by which the sum of the MLM losses is divided.
        global_pairs: labelled pairs of the whole global batch, by which the sum of the NSP losses is divided.
        global_tokens: real tokens of the whole global batch, by which a sum of losses over all tokens is divided.
        uniforms: (M,) float32 in [0, 1), a random number of each masked token: a pure function of its sequence and its
            position there, whatever the micro-batch.
    """

    packed: Packed
    masked_positions: Tensor
    masked_labels: Tensor
    next_sentence_labels: Tensor
    num_tokens: int
    global_masked: int
    global_pairs: int
    global_tokens: int
    uniforms: Tensor


class TaskBatch(NamedTuple):
    """One micro-batch of a downstream task: I items of one or more sequences each (B = I times sequences an item).

    Attributes:
        packed: the B sequences.
        labels: the items' labels, one after the other; ``IGNORED_LABEL`` (NaN for scores) where there is none.
            Classification (I,) int64, regression (I,) float32, multi-label (I, L) float32; token classification (N,)
            int64; question answering (I, 2) int64, the first and the last token of the answer counted within its
            window, (0, 0) for no answer; multiple choice (I,) int64.
        items: (I,) int64, the numbers of the items in their split; -1 for one that only fills the micro-batch.
        num_tokens: real tokens of this micro-batch.
        global_labels: labels of the whole global batch, by which the sum of the losses is divided.
        features: (N, F) frozen hidden states of the tokens, in place of the encoder.
        sequences: (I, n) int64, which of the B sequences are an item's, -1 where it has fewer than n; None where all
            have as many.
    """

    packed: Packed
    labels: Tensor
    items: Tensor
    num_tokens: int
    global_labels: int
    features: Tensor | None = None
    sequences: Tensor | None = None

    def to(self, device: torch.device | str) -> "TaskBatch":
        return moved(self, device)


def moved(batch: Batch, device: torch.device | str) -> Batch:
    """A nesting of tuples with its tensors on a device; copies from page-locked memory to a GPU do not wait."""
    is_gpu = torch.device(device).type == "cuda"
    return tree_map_only(Tensor, lambda tensor: tensor.to(device, non_blocking=is_gpu), batch)  # type: ignore[no-any-return]


def on_device(batches: Iterable[Batch], device: torch.device | None) -> Iterator[Batch]:
    """The same batches on a CUDA device, each copied on a stream of its own; off CUDA as they are.

    Steps are started long before the device gets to them, so the next batch is asked for, and copied, while the device
    is at work; it waits for the copy only where it would use it. Nothing is read ahead: a loader whose position is its
    state stands where training does.

    Args:
        batches: any nesting of tuples with tensors, in page-locked memory if copies are not to wait.
        device: where they go.
    """
    if device is None or device.type != "cuda":
        yield from batches
        return
    copies = torch.cuda.Stream(device)

    iterator = iter(batches)
    while (batch := next(iterator, None)) is not None:
        with torch.cuda.stream(copies):
            there = moved(batch, device)
        compute = torch.cuda.current_stream(device)
        compute.wait_stream(copies)
        for tensor in tree_leaves(there):
            if isinstance(tensor, Tensor):
                tensor.record_stream(compute)  # its memory is not given away before the step is over
        yield there


def _concatenated(sequences: Sequence[Row]) -> Tensor:
    nothing = np.empty(0, np.int64)  # also where there is no sequence
    return torch.from_numpy(np.concatenate([nothing, *sequences], dtype=np.int64, casting="unsafe"))
