import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from cloze.callbacks.finite import FiniteLoss
from cloze.errors import InputError


class Diverging(pl.LightningModule):
    """Its loss is no number from the step `bad` on."""

    def __init__(self, bad: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.bad = bad

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        factor = float("nan") if self.global_step >= self.bad else 1.0
        return (self.weight * batch[0]).sum() * factor

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.125)


def fit(bad: int, **trainer: object) -> pl.Trainer:
    loader = DataLoader(TensorDataset(torch.ones(12, 1)))
    made = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[FiniteLoss(check_every=4)],
        **trainer,  # type: ignore[arg-type]
    )
    made.fit(Diverging(bad), loader)
    return made


@pytest.fixture(autouse=True)
def one_worker_is_meant() -> None:
    import warnings

    warnings.filterwarnings("ignore", message=".*does not have many workers.*")


def test_the_message_names_step_and_rate() -> None:
    with pytest.raises(InputError, match=r"at step 6, with the learning rate at 0\.125; there is no checkpoint yet"):
        fit(bad=5, enable_checkpointing=False)


def test_finite_losses_pass() -> None:
    assert fit(bad=100, enable_checkpointing=False).global_step == 12
