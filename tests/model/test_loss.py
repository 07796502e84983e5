import pytest
import torch
import torch.nn.functional as F

from cloze.batch import IGNORED_LABEL
from cloze.model.loss import ROWS_AT_ONCE, linear_cross_entropy


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
