import pytest
import torch
import torch.nn.functional as F

from cloze.batch import IGNORED_LABEL
from cloze.model.kernels.cross_entropy import ROWS_AT_ONCE, linear_cross_entropy
from cloze.model.kernels.matmul import SMALLEST


@pytest.mark.parametrize("rows", [0, 1, ROWS_AT_ONCE, 3 * ROWS_AT_ONCE + 5])
def test_equals_torch_in_value_and_gradients(rows: int) -> None:
    torch.manual_seed(rows)
    inputs = [torch.randn(rows, 16), torch.randn(50, 16), torch.randn(50)]
    labels = torch.randint(0, 50, (rows,))
    labels[::3] = IGNORED_LABEL
    ours, theirs = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    result = linear_cross_entropy(ours[0], ours[1], ours[2], labels)
    logits = F.linear(theirs[0], theirs[1], theirs[2])
    expected = F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED_LABEL)
    torch.testing.assert_close(result.loss, expected)
    assert result.correct == ((logits.argmax(-1) == labels) & (labels != IGNORED_LABEL)).sum()
    (0.5 * result.loss).backward()
    (0.5 * expected).backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(ours[0], ours[1], ours[2], labels).loss, expected)


def test_large_products_and_logits_far_apart() -> None:
    """Large enough for oneDNN where it is preferred; the label's probability underflows to zero, its loss does not."""
    torch.manual_seed(0)
    rows, hidden_size, vocab = ROWS_AT_ONCE + 40, 64, 4200
    assert ROWS_AT_ONCE * hidden_size * vocab >= SMALLEST
    inputs = [40 * torch.randn(rows, hidden_size), torch.randn(vocab, hidden_size), torch.randn(vocab)]
    labels = torch.randint(0, vocab, (rows,))
    labels[::5] = IGNORED_LABEL
    ours, theirs = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    loss = linear_cross_entropy(ours[0], ours[1], ours[2], labels).loss
    expected = F.cross_entropy(F.linear(theirs[0], theirs[1], theirs[2]), labels, reduction="sum")
    assert expected / rows > 200  # nats; fp32 ends at exp(-104)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-2)


def test_under_autocast_products_are_bf16_and_sums_fp32() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2 * ROWS_AT_ONCE + 9, 32), 0.1 * torch.randn(300, 32), torch.randn(300)]
    labels = torch.randint(0, 300, (len(inputs[0]),))
    labels[::7] = IGNORED_LABEL
    ours, theirs = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(ours[0], ours[1], ours[2], labels).loss
    expected = F.cross_entropy(F.linear(theirs[0], theirs[1], theirs[2]), labels, reduction="sum")
    assert loss.dtype == torch.float32
    assert loss != expected  # else nothing was rounded
    torch.testing.assert_close(loss, expected, rtol=2e-3, atol=0)
    loss.backward()
    expected.backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.dtype == torch.float32
        assert (a.grad - b.grad).norm() < 0.01 * b.grad.norm()


@pytest.mark.parametrize("logits", [0.0, -1e4], ids=["usual", "far below zero"])
def test_padding_of_the_vocabulary_is_unseen(logits: float) -> None:
    """Filled-up columns never win, nor take a share of the probability, even where all true logits are very low."""
    torch.manual_seed(0)
    hidden, weight, bias = torch.randn(130, 16), torch.randn(50, 16), torch.full((50,), logits)
    labels = torch.randint(0, 50, (130,))
    padded, plain = ([x.clone().requires_grad_() for x in (hidden, weight, bias)] for _ in range(2))
    found = linear_cross_entropy(padded[0], padded[1], padded[2], labels, vocabulary_multiple=64)
    expected = linear_cross_entropy(plain[0], plain[1], plain[2], labels, vocabulary_multiple=1)
    torch.testing.assert_close(found.loss, expected.loss)
    assert found.correct == expected.correct > 0
    found.loss.backward()
    expected.loss.backward()
    for a, b in zip(padded, plain, strict=True):
        assert a.grad is not None
        assert a.grad.shape == a.shape
        torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-4)
