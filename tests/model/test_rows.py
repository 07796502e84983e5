"""An encoder asked for some hidden states gives those that it gives among all, and their gradients."""

import pytest
import torch

from benchmarks.batches import random_batch
from benchmarks.shapes import shape
from cloze.model.bert import BertBlock, BertEncoder
from cloze.model.encoder import Encoder
from cloze.model.modern import ModernEncoder
from cloze.model.modern_config import ModernBertConfig
from tests.tiny import NO_DROPOUT, shaken


class OfAllTokens(BertBlock):
    """As one that a user wrote without a word of rows."""

    takes_rows = False

    def forward(self, hidden, sequences):  # type: ignore[no-untyped-def,override]
        return super().forward(hidden, sequences)


def bert() -> Encoder:
    return BertEncoder(shape("tiny", vocab_size=50, **NO_DROPOUT))


def own() -> Encoder:
    config = shape("tiny", vocab_size=50, **NO_DROPOUT)
    made = BertEncoder(config)
    return Encoder(config, made.embeddings, [OfAllTokens(config), OfAllTokens(config)])


def modern(every: int) -> Encoder:
    return ModernEncoder(
        ModernBertConfig(
            vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
            local_attention=8, global_attn_every_n_layers=every,
        )
    )  # fmt: skip


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("make", [bert, own, lambda: modern(1), lambda: modern(2)])
def test_the_rows_of_the_last_layer(make, checkpointing: bool) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    encoder = shaken(make()).train()
    packed = random_batch([5, 40, 40, 7], 50).packed
    rows = torch.tensor([60, 3, 0, 3, 44, 45, 80])
    encoder.gradient_checkpointing = checkpointing
    found = []
    for hidden in (encoder(packed, rows), encoder(packed)[rows]):
        encoder.zero_grad()
        hidden.pow(3).sum().backward()
        found.append((hidden.detach(), {name: p.grad for name, p in encoder.named_parameters()}))
    torch.testing.assert_close(*(hidden for hidden, _ in found), atol=1e-5, rtol=1e-5)
    for name, grad in found[0][1].items():
        other = found[1][1][name]
        assert (grad - other).norm() <= 1e-5 * other.norm() + 1e-6, name
