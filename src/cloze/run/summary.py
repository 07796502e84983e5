"""The summary at the end of a run: results, output files, and commands to run next."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from cloze.files.layout import METRICS, MODEL, MODEL_AVERAGE, PREDICTIONS, RESULTS
from cloze.report.results import Results
from cloze.runtime.shell import fitted
from cloze.runtime.wording import counted
from cloze.tasks.pretraining import Pretraining
from cloze.text.manifest import Manifest
from cloze.text.special_tokens import special_tokens

NAME = 18  # columns of the name of a line
FILLING = ("pretraining", "masked_lm")
"""Heads that fill in masked tokens."""


def summary(trainer: pl.Trainer, module: Pretraining[Any], manifest: Manifest, folder: Path) -> str:
    """What the last evaluation says, in the words of the module, and what to do with the model."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    tokens = sum(shard.tokens for shard in manifest.train)
    steps = counted(trainer.global_step, "steps")
    lines = [f"{steps} on {tokens:,} tokens of text, a vocabulary of {manifest.vocab_size:,}"]
    if heldout := module.heldout(metrics):
        lines += [fitted(f"  {name:<{NAME - 2}}{told}", NAME) for name, told in module.summary(heldout, manifest)]
    if average := module.heldout(metrics, "val_average/"):
        lines.append(f"  {'average':<{NAME - 2}}{module.told(average)} on held-out text, of the averaged weights")
    if (speed := metrics.get("speed/tokens_per_second")) is not None:
        mfu = f", {metrics['speed/mfu']:.0%} of the peak" if "speed/mfu" in metrics else ""
        lines.append(f"  speed           {speed:,.0f} tokens/s{mfu}")
    model = folder / MODEL
    average_folder = f", {MODEL_AVERAGE}/" if (folder / MODEL_AVERAGE).exists() else ""
    lines += [f"  {folder}/  metrics.csv, config.yaml, checkpoints/, model/{average_folder}", "Next:"]
    if module.head in FILLING and "masked_lm_head" in module.model.parts:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        mask = special_tokens(data.tokenizer, data.tokenizer_files).mask_of(data.folder).content
        lines += [
            "  from transformers import pipeline",
            f'  pipeline("fill-mask", "{model}")("The function returns a {mask}.")',
        ]
    lines.append(f"  python finetune.py model={model}    # a task, trained from here and from random weights")
    return "\n".join(lines)


def finished_summary(folder: Path, rows: Sequence[Mapping[str, str]], monitor: str) -> tuple[str, float | None]:
    """What there is to say of a pre-training that was finished before, and its last loss on held-out text.

    Args:
        folder: of the run.
        rows: of its metrics.
        monitor: the metric of the evaluation that says how good it is.
    """
    losses = [float(row[f"val/{monitor}"]) for row in rows if row.get(f"val/{monitor}")]
    facts = [f"{rows[-1]['step']} steps"] if rows else []
    facts += [f"loss {losses[-1]:.3f} on held-out text"] if losses else []
    told = f"{folder} is finished" + (f": {', '.join(facts)}" if facts else "")
    return f"{told}\n  {folder}/model  the model", losses[-1] if losses else None


def task_summary(folder: Path, results: Results, baseline: Results | None, other: str = "random weights") -> str:
    """The scores of a fine-tuned model, next to those of another one where there are any.

    Args:
        folder: of the run.
        results: of the model.
        baseline: of the other one.
        other: what that is.
    """
    lines = []
    if results:
        head = f"{'split':<14} {'metric':<18} {'score':>8}"
        lines.append(head + (f" {other:>16}" if baseline else ""))
    for split, metrics in results.items():
        for name, value in metrics.items():
            line = f"{split:<14} {name:<18} {value:8.4f}"
            lines.append(line + (f" {baseline.get(split, {}).get(name, math.nan):16.4f}" if baseline else ""))
    written = [name for name in (RESULTS, PREDICTIONS, MODEL, METRICS) if (folder / name).exists()]
    return "\n".join([*lines, f"{folder}/  {', '.join(written)}"])
