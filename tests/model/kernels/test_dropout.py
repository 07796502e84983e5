import numpy as np
import pytest
import torch

from benchmarks.batches import random_batch
from cloze.model.kernels.attention import attend
from cloze.model.kernels.dropout import Dropout, Mask, draw_key, drop_fused
from cloze.tasks.masked_lm import pretraining_losses
from tests.tiny import tiny_model


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_share_and_scale(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1_000_000)
    y = Dropout(rate).train()(x)
    kept = (y != 0).double().mean().item()
    assert kept == pytest.approx(1 - rate, abs=4 * np.sqrt(rate * (1 - rate) / x.numel()))
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / (1 - rate)]))


def test_masks_are_independent_of_each_other_and_of_their_neighbours() -> None:
    torch.manual_seed(0)
    masks = torch.stack([Mask(0.5).apply(torch.ones(1 << 16)) for _ in range(24)]).double() - 1  # +-1
    bound = 5 / np.sqrt(1 << 16)
    between = (masks @ masks.T / masks.shape[1]).fill_diagonal_(0)
    assert between.abs().max() < bound
    for lag in (1, 2, 3, 4, 8, 16, 64, 128, 256, 4096):
        assert (masks[:, lag:] * masks[:, :-lag]).mean(1).abs().max() < bound, lag


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_in_torch_operations_the_same_elements_are_kept(rate: float) -> None:
    torch.manual_seed(0)
    key = draw_key(torch.device("cpu"))
    mask = Mask(rate)
    mask.key = tuple(key.numpy().view(np.uint32))
    torch.testing.assert_close(drop_fused(torch.ones(500, 40), rate, key), mask.apply(torch.ones(500, 40)))


def test_the_gradient_meets_the_same_mask_and_the_residual_all_of_it() -> None:
    x, residual = torch.randn(64, 33, requires_grad=True), torch.randn(64, 33, requires_grad=True)
    y = Dropout(0.3).train()(x, residual)
    kept = (y - residual).detach() != 0
    y.sum().backward()
    torch.testing.assert_close(x.grad, kept / 0.7)
    torch.testing.assert_close(residual.grad, torch.ones_like(residual))


def test_the_generator_of_torch_decides() -> None:
    dropout, x = Dropout(0.5).train(), torch.ones(1000)
    state = torch.get_rng_state()
    first = dropout(x)
    assert not torch.equal(first, dropout(x))
    torch.set_rng_state(state)
    torch.testing.assert_close(first, dropout(x), atol=0, rtol=0)


def test_the_number_of_threads_changes_nothing_and_is_left_as_it_was() -> None:
    qkv, packed = torch.randn(7 * 33, 3, 2, 16), random_batch([33] * 7, 50).packed
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            leaf = qkv.clone().requires_grad_()
            (attend(leaf, packed, 0.2) * qkv[:, 0]).sum().backward()
            found.append((leaf.grad, Dropout(0.3).train()(qkv, qkv)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for gradient, dropped in found[1:]:
        torch.testing.assert_close(gradient, found[0][0], rtol=1e-6, atol=1e-6)  # products may add in another order
        assert torch.equal(dropped, found[0][1])


def test_off_when_evaluating() -> None:
    x = torch.randn(10)
    assert Dropout(0.5).eval()(x) is x


def test_attention_dropout_has_the_mean_of_attention_without() -> None:
    """Dropout is linear in the values: averaged over masks, output and gradient are those without it."""
    torch.manual_seed(0)
    packed = random_batch([9, 9, 4, 30], 100).packed
    qkv = torch.randn(52, 3, 2, 8, requires_grad=True)
    weight = torch.randn(52, 2, 8)
    plain = attend(qkv, packed, 0.0)
    (plain * weight).sum().backward()
    assert qkv.grad is not None
    expected = qkv.grad.clone()
    qkv.grad.zero_()
    draws = 3000
    total = torch.zeros_like(plain)
    for _ in range(draws):
        out = attend(qkv, packed, 0.2)
        (out * weight).sum().backward()
        total += out.detach()
    assert (total / draws - plain).norm() < 0.02 * plain.norm()
    assert (qkv.grad / draws - expected).norm() < 0.03 * expected.norm()


def test_attention_dropout_gradient_against_finite_differences() -> None:
    torch.manual_seed(0)
    packed = random_batch([5, 5, 3], 100).packed
    qkv = torch.randn(13, 3, 2, 4)
    direction, weight = torch.randn_like(qkv), torch.randn(13, 2, 4)
    state = torch.get_rng_state()

    def value(step: float) -> torch.Tensor:
        torch.set_rng_state(state)  # the same mask each time
        return (attend(qkv + step * direction, packed, 0.4) * weight).double().sum()

    torch.set_rng_state(state)
    leaf = qkv.clone().requires_grad_()
    (attend(leaf, packed, 0.4) * weight).sum().backward()
    assert leaf.grad is not None
    numeric = (value(1e-2) - value(-1e-2)) / 2e-2
    torch.testing.assert_close((leaf.grad * direction).sum().double(), numeric, rtol=1e-2, atol=1e-3)


def test_tokens_behind_the_last_sequence_get_zeros() -> None:
    packed = random_batch([4, 6], 100).packed
    qkv = torch.randn(13, 3, 2, 4)
    for dropout in (0.0, 0.3):
        out = attend(qkv, packed, dropout)
        assert out.shape == (13, 2, 4)
        assert out[10:].abs().sum() == 0
        assert out[:10].abs().min() > 0


def test_checkpointed_blocks_meet_the_same_masks() -> None:
    """Recomputing activations changes no gradient, dropout included: the keys come from torch's restored generator."""
    model = tiny_model(50)
    batch = random_batch([9, 9, 4, 30], 50)
    gradients = []
    for checkpointing in (False, True):
        model.encoder.gradient_checkpointing = checkpointing
        model.zero_grad()
        torch.manual_seed(3)
        losses = pretraining_losses(model, batch)
        (losses.masked_lm.loss + losses.next_sentence.loss).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(model.parameters()))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
