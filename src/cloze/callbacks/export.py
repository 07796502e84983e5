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
        state = whole(pl_module.model.state_dict(), keep=trainer.is_global_zero)  # type: ignore[union-attr]
        if trainer.is_global_zero:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            model: Any = pl_module.model
            module: Any = pl_module
            save_pretrained(
                model,
                data.tokenizer,
                self.folder,
                state,
                tokenizer_files=data.tokenizer_files,
                record=module.recorded(),
            )
