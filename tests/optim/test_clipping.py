import pytest
import torch

from cloze.optim.clipping import clip_gradients


@pytest.mark.parametrize(("max_norm", "after"), [(1.0, 1.0), (9.0, 5.0), (None, 5.0)])
def test_the_norm_is_that_of_all_groups_and_before_clipping(max_norm: float | None, after: float) -> None:
    first, second = (torch.zeros(2, requires_grad=True) for _ in range(2))
    first.grad, second.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    optimizer = torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.3}])
    told = clip_gradients(optimizer, max_norm)
    assert float(told["optim/gradient_norm"]) == pytest.approx(5.0)
    assert told["optim/lr"] == 0.3
    assert torch.cat([first.grad, second.grad]).norm().item() == pytest.approx(after, rel=1e-5)
