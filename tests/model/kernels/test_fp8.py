"""Products in fp8, emulated where there is no GPU for them."""

import sys

import pytest
import torch

from benchmarks.batches import random_batch
from cloze.errors import InputError
from cloze.model.bert import BertForPreTraining
from cloze.model.kernels.fp8 import multiply_in_fp8
from cloze.tasks.masked_lm import pretraining_losses
from tests.tiny import NO_DROPOUT, tiny_model


def model(hidden_size: int = 32) -> BertForPreTraining:
    return tiny_model(64, hidden_size=hidden_size, intermediate_size=2 * hidden_size, **NO_DROPOUT)


def test_without_torchao_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    with pytest.raises(InputError, match=r"needs torchao: pip install -e '\.\[fp8\]'"):
        multiply_in_fp8(model().encoder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_step_is_near_that_in_fp32_and_the_state_has_the_same_names() -> None:
    pytest.importorskip("torchao.float8", reason="torchao, of the extra fp8, is not installed")
    plain, fp8 = model(), model()
    assert multiply_in_fp8(fp8.encoder, emulate=True) == 8
    assert plain.state_dict().keys() == fp8.state_dict().keys()
    batch = random_batch([30, 7, 19], 64)
    losses = []
    for bert in (plain, fp8):
        found = pretraining_losses(bert, batch)
        loss = found.masked_lm.loss + found.next_sentence.loss
        loss.backward()
        losses.append(loss.item())
    assert losses[0] != losses[1]  # it does round
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    for (name, exact), rounded in zip(plain.named_parameters(), fp8.parameters(), strict=True):
        assert exact.grad is not None
        assert rounded.grad is not None
        assert rounded.grad.dtype == torch.float32
        if "key" not in name:
            assert (rounded.grad - exact.grad).norm() < 0.3 * exact.grad.norm() + 1e-4, name


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_sides_that_fp8_cannot_multiply_are_refused() -> None:
    pytest.importorskip("torchao.float8", reason="torchao, of the extra fp8, is not installed")
    with pytest.raises(InputError, match="multiples of 16, and this model has none"):
        multiply_in_fp8(model(hidden_size=20).encoder, emulate=True)
