"""The model folder, written when training has ended."""

from pathlib import Path

import lightning.pytorch as pl

from cloze.checkpoint.folder import save_pretrained
from cloze.model.sharding import whole
from cloze.text.tokenizer import load_tokenizer


class ModelFolder(pl.Callback):
    """Writes `folder` in Hugging Face's layout at the end of training, for `from_pretrained` and for `model=`.

    Args:
        folder: where to, replaced if it exists.
        tokenizer: the folder of the tokenizer that the model was trained with.
    """

    def __init__(self, *, folder: str, tokenizer: str) -> None:
        self.folder = Path(folder)
        self.tokenizer = Path(tokenizer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        state = whole(pl_module.model.state_dict(), keep=trainer.is_global_zero)  # type: ignore[union-attr]
        if trainer.is_global_zero:
            save_pretrained(pl_module.model, load_tokenizer(self.tokenizer), self.folder, state)  # type: ignore[arg-type]
