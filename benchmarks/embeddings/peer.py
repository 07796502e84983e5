"""sentence-transformers' trainer and ``encode``: ``python -m benchmarks.embeddings.peer FOLDER``."""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchmetrics.functional import spearman_corrcoef
from transformers import TrainerCallback

BATCH_SIZES = (16, 32, 64, 128)
LOSSES = {"InfoNCE": "MultipleNegativesRankingLoss", "CoSENT": "CoSENTLoss"}
ENCODED = 4000


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds from the second step on: the first pays for what is made once."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.loss = float("nan")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.ended = time.perf_counter()
        if state.global_step == 1:
            self.began = self.ended

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        self.loss = (logs or {}).get("loss", self.loss)


def score(left: np.ndarray, right: np.ndarray, rows: list[dict[str, Any]]) -> float:
    """The share of the left texts whose nearest right one is their own, or the correlation with the pairs' scores.

    Args:
        left: embeddings of length 1, (n, D).
        right: the same of the texts that belong to them.
        rows: with the scores, where there are any.
    """
    if "score" in rows[0]:
        cosines = torch.from_numpy((left * right).sum(1))
        return float(spearman_corrcoef(cosines, torch.tensor([row["score"] for row in rows])))
    return float((np.argmax(left @ right.T, axis=1) == np.arange(len(left))).mean())


def main() -> None:
    """Train, then encode."""
    library: Any = importlib.import_module("sentence_transformers")
    losses: Any = importlib.import_module("sentence_transformers.losses")
    datasets: Any = importlib.import_module("datasets")
    folder = Path(sys.argv[1])
    setting = json.loads((folder / "setting.json").read_text())
    model = library.SentenceTransformer(str(folder / "model"), device="cpu")  # the mean of the hidden states
    model.max_seq_length = setting["max_length"]
    train, dev = ([json.loads(line) for line in (folder / f"{split}.jsonl").open()] for split in ("train", "dev"))
    clock = Clock()
    arguments = library.SentenceTransformerTrainingArguments(
        output_dir=str(folder / "peer"), per_device_train_batch_size=setting["batch_size"], max_steps=setting["steps"],
        learning_rate=setting["lr"], warmup_steps=max(1, setting["steps"] // 10), lr_scheduler_type="linear",
        seed=setting["seed"],
        save_strategy="no", report_to=[], disable_tqdm=True, logging_steps=10, weight_decay=0.01, use_cpu=True,
    )  # fmt: skip
    library.SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=datasets.Dataset.from_list(train), callbacks=[clock],
        loss=getattr(losses, LOSSES[setting["loss"]])(model, scale=20.0),
    ).train()  # fmt: skip
    model.save_pretrained(str(folder / "peer/model"))
    left, right = (model.encode([row[key] for row in dev], normalize_embeddings=True) for key in ("anchor", "positive"))
    count = 2 * setting["batch_size"] * (setting["steps"] - 1)
    result = {
        "train": count / (clock.ended - clock.began), "score": score(left, right, dev), "loss": clock.loss,
        "version": library.__version__,
    }  # fmt: skip
    if setting["encoding"]:
        texts = [row[key] for row in train for key in ("anchor", "positive")][:ENCODED]
        speeds = {}
        for size in BATCH_SIZES:
            began = time.perf_counter()
            model.encode(texts, batch_size=size)
            speeds[size] = len(texts) / (time.perf_counter() - began)
        best = max(speeds, key=speeds.__getitem__)
        result |= {"encode": speeds[best], "batch": best}
    (folder / "peer.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
