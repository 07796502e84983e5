"""Analytic cost of a training step, for the share of the hardware's peak that it reaches (MFU).

Counters that watch the operators miss fused attention; the tests hold the formulas against one elsewhere.
"""

from cloze.model.architecture import Work, architecture_of
from cloze.model.config import EncoderConfig


def training_flops(config: EncoderConfig, *, tokens: int, squared_lengths: int, masked: int, sequences: int) -> int:
    """Floating-point operations of forward and backward for one packed batch; arguments as of ``Work``.

    The backward pass costs twice the forward's (Chowdhery et al. 2022, PaLM, appendix B); recomputation is not counted.
    """
    return 3 * architecture_of(config).forward_flops(config, Work(tokens, squared_lengths, masked, sequences))
