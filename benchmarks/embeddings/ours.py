"""``finetune.py task=embedding`` and the engine of ``cloze-embed``: ``python -m benchmarks.embeddings.ours FOLDER``."""

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.embeddings.peer import ENCODED, score

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Train, then encode."""
    from cloze.inference.embedder import Embedder
    from cloze.inference.predictor import Inference
    from cloze.runtime.allocator import keep_large_buffers

    folder = Path(sys.argv[1])
    setting, run = json.loads((folder / "setting.json").read_text()), folder / "ours"
    shutil.rmtree(run, ignore_errors=True)
    words = [
        "task=embedding", f"task.data.train={folder}/train.jsonl", f"model={folder}/model",
        f"task.max_length={setting['max_length']}", f"task.batch_size={setting['batch_size']}",
        f"task.lr={setting['lr']}", f"trainer.max_steps={setting['steps']}", "trainer.log_every=1", f"folder={run}",
        f"seed={setting['seed']}",
        f"task.module.loss._target_=cloze.tasks.embedding_losses.{setting['loss']}",
        *setting.get("overrides", ["hardware.micro_batch_tokens=65536"]),
    ]  # fmt: skip
    subprocess.run([sys.executable, "finetune.py", *words], cwd=REPOSITORY, check=True, capture_output=True)
    with (run / "metrics.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["speed/seconds"] and row["train/loss"]]
    seconds = float(rows[-1]["speed/seconds"]) - float(rows[0]["speed/seconds"])
    keep_large_buffers()
    model = Embedder.read(run / "model", Inference())
    train, dev = ([json.loads(line) for line in (folder / f"{split}.jsonl").open()] for split in ("train", "dev"))
    left, right = (model.embed([row[key] for row in dev]) for key in ("anchor", "positive"))
    result = {
        "train": 2 * setting["batch_size"] * (setting["steps"] - 1) / seconds,
        "score": score(left, right, dev),
        "loss": sum(float(row["train/loss"]) for row in rows[-10:]) / 10,
    }
    if setting["encoding"]:
        texts = [row[key] for row in train for key in ("anchor", "positive")][:ENCODED]
        began = time.perf_counter()
        model.embed(texts)
        result["encode"] = len(texts) / (time.perf_counter() - began)
    (folder / "ours.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
