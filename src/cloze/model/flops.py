"""Analytic cost of a training step, for the share of the hardware's peak that it reaches (MFU).

Counters that watch the operators miss fused attention; the tests hold this formula against one elsewhere.
"""

from cloze.model.config import BertConfig


def training_flops(config: BertConfig, *, tokens: int, squared_lengths: int, masked: int, sequences: int) -> int:
    """Floating-point operations of forward and backward for one packed batch.

    Matrix products only, a multiply and an add each counted (2 m n k); the backward pass costs twice the forward's
    (Chowdhery et al. 2022, PaLM, appendix B); recomputation is not counted.

    Args:
        config: the shape.
        tokens: N, real tokens.
        squared_lengths: the sum over sequences of length squared, which attention costs.
        masked: M, rows of the masked-language-model head.
        sequences: B, rows of the pooler.
    """
    hidden = config.hidden_size
    block = 4 * hidden * hidden + 2 * hidden * config.intermediate_size  # weights
    forward = config.num_hidden_layers * (2 * block * tokens + 4 * hidden * squared_lengths)
    forward += 2 * masked * hidden * (hidden + config.vocab_size)
    forward += 2 * sequences * hidden * (hidden + 2)
    return 3 * forward
