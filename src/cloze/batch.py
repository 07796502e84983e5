"""The tuples that travel between floors: packed tokens, never padded.

Legend for shape comments everywhere: B sequences, N packed tokens, T longest sequence, D hidden size, H heads,
K head size, M masked tokens, V vocabulary.

They are ``NamedTuple``s because both the DataLoader's pinning and Lightning's device transfer recurse into those.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

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


class TokenBatch(Protocol):
    """What every micro-batch has, whatever is asked about its tokens."""

    @property
    def packed(self) -> Packed:
        """The B sequences."""

    @property
    def num_tokens(self) -> int:
        """Real tokens, without the padding to constant shapes."""


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
    """

    packed: Packed
    masked_positions: Tensor
    masked_labels: Tensor
    next_sentence_labels: Tensor
    num_tokens: int
    global_masked: int
    global_pairs: int


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
        features: (N, F) frozen vectors of the tokens, in place of the encoder.
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
