"""How long epochs are, in global batches."""

from collections.abc import Sequence
from typing import Any

from cloze.data.pretraining.dataset import Windows
from cloze.text.manifest import ShardInfo

PLANNED_SHARDS = 16
"""From whose plans the length of epochs is estimated: half a second, whatever the size of the corpus."""


def batches_in_epochs(data: Windows[Any], shards: Sequence[ShardInfo], epochs: int, phase: int = 0) -> int:
    """Global batches of the first epochs: counted in small corpora, else estimated from a bounded sample of plans.

    The pairs of a window are drawn again every epoch, so its number of batches is known only from its plan. Where
    there are more than ``PLANNED_SHARDS`` shards, the windows of about this many, evenly spaced over epochs, tell
    the batches a token, and the manifest the tokens. A function of manifest, seed, objective and batch size alone:
    the same on all ranks and after a restart.

    Args:
        data: plans the windows.
        shards: what the manifest says of them.
        epochs: passes over all of them.
        phase: of training, whose objective and batches are meant.
    """
    windows = len(data.order.windows(0))
    number = epochs * windows
    planned = min(number, max(1, PLANNED_SHARDS * windows // max(1, len(shards))))
    batches = tokens = 0
    for place in range(planned):
        epoch, window = divmod(place * number // planned, windows)
        chosen = data.order.windows(epoch)[window]
        batches += data.num_batches(phase, epoch, chosen)
        tokens += sum(shards[shard].tokens for shard in chosen)
    if planned == number:
        return batches
    return round(batches * epochs * sum(info.tokens for info in shards) / max(tokens, 1))
