"""FLOPs of a training step by formula, for the model FLOPs utilisation (MFU).

Counters that watch the operators miss fused attention; the tests hold the formulas against one elsewhere.
"""

from collections.abc import Sequence

import torch

from cloze.model.architecture import Work, architecture_of, attended
from cloze.model.config import EncoderConfig


def training_flops(config: EncoderConfig, work: Work) -> int:
    """Floating-point operations of forward and backward for one packed batch.

    The backward pass costs twice the forward's (Chowdhery et al. 2022, PaLM, appendix B); recomputation is not counted.
    """
    return 3 * architecture_of(config).forward_flops(config, work)


def work_of(config: EncoderConfig, lengths: Sequence[int], masked: int) -> Work:
    """The size of a batch of sequences.

    Args:
        config: the shape of the encoder.
        lengths: of the sequences.
        masked: M.
    """
    windows = architecture_of(config).windows(config)
    pairs = {window: int(attended(torch.tensor(lengths), window).sum()) for window in windows}
    return Work(sum(lengths), pairs, masked, len(lengths))
