"""Optimizers of any make."""

import inspect

import pytest
import torch

from cloze.config.nodes import Node
from cloze.errors import InputError
from cloze.launch.trainer import make_optimizer, weight_decay
from cloze.optim.groups import parameter_groups
from cloze.optim.trial import OptimizerFactory
from tests.command import Command

NAMES = sorted(
    name
    for name, found in vars(torch.optim).items()
    if inspect.isclass(found) and issubclass(found, torch.optim.Optimizer) and found is not torch.optim.Optimizer
)


@pytest.mark.parametrize("name", NAMES)
def test_torchs_optimizers_train_or_are_refused_in_a_sentence(name: str) -> None:
    node = Node[OptimizerFactory]("optimizer", {"_target_": f"torch.optim.{name}", "_partial_": True, "lr": 1e-3})
    model = torch.nn.Linear(3, 2)
    decay = weight_decay(node)
    known = inspect.signature(getattr(torch.optim, name)).parameters.get("weight_decay")
    assert decay == (0.0 if known is None else known.default)
    if name in ("LBFGS", "SparseAdam", "Muon"):  # it wants a closure, sparse gradients, matrices alone
        with pytest.raises(InputError, match=f"optimizer: .*{name}"):
            make_optimizer(node)
        return
    optimizer = make_optimizer(node)(parameter_groups(model, decay))
    before = model.weight.clone()
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.weight, before)


@pytest.mark.parametrize("name", ["Conda", "AdaHessian", "AliG"])
def test_what_cannot_be_resumed_or_used_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"optimizer: .*{name}.*(another one|closure)"):
        make_optimizer(Node("optimizer", {"_target_": f"pytorch_optimizer.{name}", "_partial_": True}))


def test_a_run_with_an_optimizer_that_has_no_weight_decay(
    train: Command, small_corpus: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("conf")
    (folder / "optimizer").mkdir()
    file = folder / "optimizer" / "rprop.yaml"
    file.write_text("# resilient\n_target_: torch.optim.Rprop\n_partial_: true\nlr: 1e-3\n", encoding="utf-8")
    words = ["--config-dir", str(folder), *small_corpus, "trainer.max_steps=2", "data.batch_tokens=512"]
    done = train(*words, "optimizer=rprop", "run=rprop")
    assert done.returncode == 0, done.stderr
    refused = train(*words, "optimizer=rprop", "run=other", "optimizer.weight_decay=0.1")
    assert refused.returncode == 2
    assert "unknown key 'optimizer.weight_decay'" in refused.stderr
