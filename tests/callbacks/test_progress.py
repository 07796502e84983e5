"""What is said of a training whose stderr is no terminal: plain lines."""

import logging

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch.utils.data import DataLoader

from cloze.callbacks.length import Length
from cloze.callbacks.progress import Progress


class Model(BoringModel):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.randn(8, 32))  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader:
        return DataLoader(torch.randn(3, 32))  # type: ignore[arg-type]

    def predict_dataloader(self) -> DataLoader:
        return DataLoader(torch.randn(2, 32))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:The .*dataloader.* does not have many workers")
@pytest.mark.parametrize("every_seconds", [0.0, 1000.0])
def test_training_evaluation_and_prediction(
    every_seconds: float, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "lightning.pytorch")  # whose handler has the stderr of the test that imported it
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=-1, val_check_interval=2, num_sanity_val_steps=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[Length(steps=4), Progress(every_seconds=every_seconds)],
    )  # fmt: skip
    model = Model()
    trainer.fit(model)
    trainer.predict(model)
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert not {"\r", "\x1b"} & set(told.err + told.out)
    if every_seconds:
        assert [line.split("  ")[0] for line in lines] == ["step 4/4"]
        return
    assert [line.split("  ")[0] for line in lines if line.startswith("step")] == [f"step {n}/4" for n in (1, 2, 3, 4)]
    assert [line for line in lines if line.startswith("evaluating")] == 2 * [
        f"evaluating: batch {n} of 3" for n in (1, 2, 3)
    ]
    assert [line for line in lines if line.startswith("predicting")] == [f"predicting: batch {n} of 2" for n in (1, 2)]
