"""An optimizer tried on small parameters."""

from functools import partial

import pytest
import torch
from torch.nn import Parameter

from cloze.optim.settings import restate, settings
from cloze.optim.trial import tried


def test_shapes_of_the_state_follow_from_those_of_the_parameter() -> None:
    groups = [{"params": [Parameter(torch.zeros(40, 30)), Parameter(torch.zeros(30))]}]
    before = torch.random.get_rng_state()
    trial = tried(torch.optim.Adafactor, groups)
    assert torch.equal(torch.random.get_rng_state(), before)
    matrix, bias = trial.optimizer.param_groups[0]["params"]
    state = trial.optimizer.state
    assert trial.expected(matrix, state[matrix]["row_var"]) == [40, 1]
    assert trial.expected(matrix, state[matrix]["col_var"]) == [1, 30]
    assert trial.expected(bias, state[bias]["variance"]) == [30]
    assert trial.expected(matrix, torch.zeros(2, 2)) == [None, None]  # a side that comes twice may be cut
    assert trial.expected(matrix, torch.zeros(())) == []


def test_a_state_that_holds_objects_is_refused() -> None:
    class Odd(torch.optim.SGD):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for parameter in group["params"]:
                    self.state[parameter]["odd"] = partial(print)

    with pytest.raises(ValueError, match="Odd keeps objects in its state"):
        tried(Odd, [{"params": [Parameter(torch.zeros(2, 2))]}])


def test_settings_are_the_new_ones_and_what_is_counted_stays() -> None:
    parameter = Parameter(torch.ones(2, 2))
    old = torch.optim.AdamW([{"params": [parameter], "hidden": True}], lr=1.0, betas=(0.5, 0.6), eps=0.1)
    old.param_groups[0]["counted"] = 7
    new = torch.optim.AdamW([{"params": [parameter], "hidden": True}], lr=2.0, betas=(0.7, 0.8), amsgrad=False)
    told = settings(new)
    new.load_state_dict(old.state_dict())
    assert new.param_groups[0]["lr"] == 1.0
    restate(new, told)
    group = new.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["counted"]) == (2.0, (0.7, 0.8), 1e-8, 7)
    assert group["params"] == [parameter]
