"""The other side: a plain training loop with `transformers`, as its users write it.

    python -m benchmarks.finetune.peer TASK --train FILE --dev FILE --model FOLDER --seed 1 --result FILE.json

Dynamic padding to the longest of the batch, fused AdamW, linear warm-up and decay, gradients clipped, dropout on.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers as hf
from torch.utils.data import DataLoader

from benchmarks.finetune.settings import (
    BETAS,
    EPS,
    GRADIENT_CLIP,
    READERS,
    SETTINGS,
    WARMUP_RATIO,
    WEIGHT_DECAY,
    Setting,
)
from benchmarks.finetune.shapes import SHAPES, Side


def train(side: Side, setting: Setting, max_steps: int | None) -> float:
    """Train in place; seconds."""
    loader = DataLoader(cast(Any, side.train), setting.batch_size, shuffle=True, collate_fn=side.collate)
    steps = max_steps or setting.epochs * len(loader)
    named = list(side.model.named_parameters())
    decayed = [p for name, p in named if not name.endswith("bias") and "LayerNorm" not in name]
    others = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=setting.lr, betas=BETAS, eps=EPS, fused=True)
    schedule = hf.get_linear_schedule_with_warmup(optimizer, int(WARMUP_RATIO * steps), steps)
    side.model.train()
    began = time.perf_counter()
    for _, batch in zip(range(steps), _endless(loader), strict=False):
        side.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(side.model.parameters(), GRADIENT_CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return time.perf_counter() - began


def evaluate(side: Side, setting: Setting) -> tuple[float, float]:
    """The score on dev, and seconds."""
    loader = DataLoader(cast(Any, side.dev), setting.batch_size, collate_fn=side.collate)
    side.model.eval()
    began = time.perf_counter()
    logits: list[np.ndarray] = []
    with torch.inference_mode():
        for batch in loader:
            outputs = side.model(**{key: value for key, value in batch.items() if key != "labels"})
            rows = (
                torch.stack([outputs.start_logits, outputs.end_logits], -1)
                if "start_logits" in outputs
                else outputs.logits
            )
            logits.extend(rows.numpy())
    score = side.score(logits)
    return score, time.perf_counter() - began


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def main() -> None:
    """Train, evaluate, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=SETTINGS)
    for name in ("train", "dev", "model", "result"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--max-steps", type=int)
    given = parser.parse_args()
    hf.utils.logging.set_verbosity_error()
    hf.set_seed(given.seed)
    setting, read = SETTINGS[given.task], READERS[given.task]
    tokenizer = hf.AutoTokenizer.from_pretrained(given.model)
    side = SHAPES[given.task](read(given.train), read(given.dev), tokenizer, str(given.model), setting)
    train_seconds = train(side, setting, given.max_steps)
    score, evaluate_seconds = evaluate(side, setting)
    result = {"score": score, "train_seconds": train_seconds, "evaluate_seconds": evaluate_seconds}
    given.result.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
