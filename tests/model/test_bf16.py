"""bf16 autocast on a CPU: fp32 weights, the same dropout masks, and losses as near as 8 bits of mantissa allow."""

import torch
from torch import Tensor

from benchmarks.batches import random_batch
from cloze.batch import PretrainingBatch
from cloze.model.bert import BertForPreTraining
from cloze.model.kernels.dropout import Dropout
from cloze.tasks.masked_lm import pretraining_losses
from tests.tiny import tiny_model

STEPS = 25


def model() -> BertForPreTraining:
    return tiny_model(120, hidden_size=64, intermediate_size=128)


def batch(step: int) -> PretrainingBatch:
    made = random_batch([9, 9, 4, 30], 120, seed=step)
    return made._replace(masked_labels=made.masked_labels % 7 + 5)  # few distinct ones: something to learn


def loss(bert: BertForPreTraining, step: int, *, bf16: bool) -> Tensor:
    torch.manual_seed(step)  # of the dropout
    work = batch(step)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        losses = pretraining_losses(bert, work)
    return losses.masked_lm.loss / work.global_masked + losses.next_sentence.loss / work.global_pairs


def test_training_follows_the_curve_of_fp32() -> None:
    """With dropout 0.1 everywhere: other masks, in the residual stream or in attention, would leave the curve."""
    curves, gradients = [], []
    for bf16 in (False, True):
        bert = model()
        optimizer = torch.optim.AdamW(bert.parameters(), lr=2e-3)
        curve = []
        for step in range(STEPS):
            value = loss(bert, step, bf16=bf16)
            optimizer.zero_grad()
            value.backward()
            if step == 0:
                gradients.append({name: p.grad.clone() for name, p in bert.named_parameters() if p.grad is not None})
            optimizer.step()
            curve.append(value.item())
        curves.append(curve)
        assert all(p.dtype == torch.float32 for p in bert.parameters())
    exact, rounded = curves
    assert exact[-1] < 0.8 * exact[0]
    assert exact != rounded
    for a, b in zip(exact, rounded, strict=True):
        assert abs(a - b) < 0.01 * a
    largest = max(gradient.norm() for gradient in gradients[0].values())
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert (gradients[1][name] - gradient).norm() < 0.03 * gradient.norm() + 1e-3 * largest, name


def test_dropout_has_the_masks_of_fp32_and_its_own_dtypes() -> None:
    x, dropout = torch.randn(50, 40), Dropout(0.5).train()
    for residual in (None, torch.randn(50, 40)):
        torch.manual_seed(1)
        expected = dropout(x.bfloat16().float(), residual)
        torch.manual_seed(1)
        found = dropout(x.bfloat16(), residual)
        assert found.dtype == (torch.bfloat16 if residual is None else torch.float32)
        torch.testing.assert_close(found.float(), expected, rtol=0 if residual is not None else 1e-2, atol=0)
