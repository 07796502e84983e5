"""The settings of the objective and their checks; imports only the standard library, to report mistakes quickly."""

import math
from dataclasses import dataclass

from cloze.data.pretraining.ramps import RAMPS, Ramp, ramped
from cloze.errors import InputError

PAIRS = ("next_sentence", "sentence_order", "none")
MASKINGS = ("token", "whole_word", "span")


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Which segments of the text make a sequence.

    Attributes:
        pairs: ``next_sentence`` (half of the segments B come from another document), ``sentence_order`` (half of the
            consecutive segments A and B are swapped; ALBERT, Lan et al. 2020) or ``none`` (full sentences, one segment;
            RoBERTa, Liu et al. 2019).
        max_length: tokens of the longest sequence, [CLS] and [SEP] counted.
        short_sequence_rate: share of the documents that are truncated to a shorter random length; not used by ``none``.

    Raises:
        InputError: for a value outside its range.
    """

    pairs: str = "none"
    max_length: int = 128
    short_sequence_rate: float = 0.1

    def __post_init__(self) -> None:
        _check_choice("pairs", self.pairs, PAIRS)
        if self.max_length < 8:
            raise InputError(f"objective.max_length={self.max_length}: expected at least 8 tokens")
        _check_share("short_sequence_rate", self.short_sequence_rate)

    @property
    def special_tokens(self) -> int:
        """[CLS] A [SEP] B [SEP], or [CLS] A [SEP]."""
        return 2 if self.pairs == "none" else 3


@dataclass(frozen=True, kw_only=True)
class MaskedLMSettings(SegmentSettings):
    """How tokens are masked and which pairs are made; the defaults are BERT's (Devlin et al. 2019, appendix A.2).

    Attributes:
        masking: ``token``, ``whole_word`` (all tokens of a word or none) or ``span`` (runs of words; SpanBERT, Joshi
            et al. 2020).
        mask_rate: share of a sequence's tokens to predict, at the beginning of training.
        final_mask_rate: the share at the end; None for the same all along.
        mask_rate_ramp: the way between: a straight line (``linear``), or ``doublings`` (or halvings) of equal length.
        mask_token_share: of the tokens to predict, the share that becomes [MASK].
        random_token_share: the share that becomes a random token; the rest stays as it is.
        mask_special_tokens: whether special tokens of your own (``tokenizer.special_tokens``), and others that the
            tokenizer of a folder has, are masked and drawn as random tokens like any other; [CLS] and [SEP] never are
            masked.
        max_predictions: the most tokens to predict in one sequence; None for as many as the mask rate asks of a full
            sequence (20 at length 128, 80 at 512).

    Raises:
        InputError: for a value outside its range.
    """

    pairs: str = "next_sentence"
    masking: str = "token"
    mask_rate: float = 0.15
    final_mask_rate: float | None = None
    mask_rate_ramp: Ramp = "linear"
    mask_token_share: float = 0.8
    random_token_share: float = 0.1
    mask_special_tokens: bool = False
    max_predictions: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice("masking", self.masking, MASKINGS)
        _check_choice("mask_rate_ramp", self.mask_rate_ramp, RAMPS)
        _check_share("mask_token_share", self.mask_token_share)
        _check_share("random_token_share", self.random_token_share)
        if self.mask_token_share + self.random_token_share > 1 + 1e-9:
            raise InputError(
                f"objective.mask_token_share={self.mask_token_share} and objective.random_token_share="
                f"{self.random_token_share}: expected shares that sum to at most 1"
            )
        for name in ("mask_rate", "final_mask_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < 1:
                raise InputError(f"objective.{name}={rate}: expected a rate between 0 and 1")
        if self.max_predictions is not None and self.max_predictions < 1:
            raise InputError(f"objective.max_predictions={self.max_predictions}: expected at least 1, or null")

    @property
    def highest_mask_rate(self) -> float:
        return max(self.mask_rate, self.final_mask_rate or 0.0)

    @property
    def most_predictions(self) -> int:
        """``max_predictions``, or what the highest mask rate asks of a full sequence, rounded up to a multiple of 4."""
        return self.max_predictions or 4 * math.ceil(math.ceil(self.highest_mask_rate * self.max_length) / 4)

    def mask_rate_at(self, position: float) -> float:
        """The mask rate at a position of training, from 0 (beginning) to 1 (end)."""
        return ramped(self.mask_rate, self.final_mask_rate, position, self.mask_rate_ramp)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value of the objective that is none of the choices."""
    if value not in choices:
        raise InputError(f"objective.{name}={value}: expected one of {', '.join(choices)}")


def _check_share(name: str, value: float) -> None:
    """Refuse a value of the objective that is not a share."""
    if not 0 <= value <= 1:
        raise InputError(f"objective.{name}={value}: expected a share from 0 to 1")
