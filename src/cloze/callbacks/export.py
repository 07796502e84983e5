"""Write the model folder at the end of training."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from cloze.checkpoint.folder import save_pretrained
from cloze.model.sharding import whole


class ModelFolder(pl.Callback):
    """Writes `folder` in Hugging Face's layout at the end of training, for `from_pretrained` and for `model=`.

    Args:
        folder: where to, replaced if it exists.
    """

    def __init__(self, *, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        write_model(trainer, pl_module, self.folder)


def write_model(trainer: pl.Trainer, pl_module: pl.LightningModule, folder: Path) -> None:
    """Write the model with the weights that it has at the moment; all ranks must call it."""
    module: Any = pl_module
    state = whole(module.model.state_dict(), keep=trainer.is_global_zero)
    if trainer.is_global_zero:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        save_pretrained(
            module.model,
            data.tokenizer,
            folder,
            state,
            tokenizer_files=data.tokenizer_files,
            record=module.recorded(),
        )
