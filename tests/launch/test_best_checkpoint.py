"""Fine-tuning whose best checkpoint is gone, or no longer what it was, when training is over."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import pytest
import torch
from safetensors.torch import load_file

from cloze.checkpoint.saves import INDEX, CheckpointStore
from tests.command import Command

How = Literal["truncated", "deleted", "other", "folder", "index", "all"]


class Harm(pl.Callback):
    """Harms the checkpoints at the end of training, and keeps a copy of what it harms.

    Args:
        folder: of the checkpoints.
        how: `truncated`, `deleted` or `other` for the best one; the `folder`, its `index`, or `all` of them.
    """

    def __init__(self, *, folder: str, how: How) -> None:
        self.folder, self.how = Path(folder), how

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        shutil.copytree(self.folder, "kept")
        best = CheckpointStore(self.folder, higher_is_better=True).best_good(print)
        assert best is not None
        torch.save(pl_module.state_dict(), "last.pt")
        harms: dict[How, Callable[[], object]] = {
            "truncated": lambda: best.write_bytes(best.read_bytes()[:-100]),
            "deleted": best.unlink,
            "other": lambda: best.write_bytes(b"another file"),
            "folder": lambda: shutil.rmtree(self.folder),
            "index": lambda: (self.folder / INDEX).write_text("{"),
            "all": lambda: [file.write_bytes(b"") for file in self.folder.glob("*.ckpt")],
        }
        harms[self.how]()


@pytest.mark.parametrize("how", ["truncated", "deleted", "other", "folder", "index", "all"])
def test_what_is_left_is_used_and_told(finetune: Command, small_table: list[str], tmp_path: Path, how: How) -> None:
    harm = (
        f"+callbacks.harm={{_target_: tests.launch.test_best_checkpoint.Harm, folder: runs/x/checkpoints, how: {how}}}"
    )
    done = finetune(*small_table, "trainer.validate_every=3", "checkpoint.keep_last=1", "run=x", harm)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    saves = {save["step"]: save for save in json.loads((tmp_path / "kept" / INDEX).read_text(encoding="utf-8"))}
    best = max(saves.values(), key=lambda save: (save["score"] or 0.0, -save["step"]))
    one_left = how in ("truncated", "deleted", "other") and len(saves) > 1
    assert any("another one is used" if one_left else "the last weights are used" in line for line in warnings)
    if how not in ("folder", "index"):
        assert any(best["file"] in line for line in warnings)
    kept = load_file(tmp_path / "runs/x/model/model.safetensors")
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert torch.equal(kept["classifier.weight"], last["model.classifier.weight"])
    assert (tmp_path / "runs/x/results.json").is_file()
