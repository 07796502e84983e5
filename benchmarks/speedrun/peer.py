"""``transformers``' Trainer on the same text, from random weights, as the user of its ``run_mlm.py`` would run it.

    python -m benchmarks.speedrun.peer FOLDER SECONDS SHAPE VOCAB FILE ... [-- NAME=VALUE ...]

Tokenising is outside the clock. The script's length is in steps: a few tell the pace, and the training proper has as
many as fit into the time, or ``max_steps`` where these are given.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.shapes import SHAPES
from benchmarks.speedrun.judge import LENGTH, chunks, tokenizer
from benchmarks.speedrun.snapshots import FACTS, THIRDS

PILOT = 30  # steps
WARM = 10  # of them, before the pace is taken


class Snapshots(TrainerCallback):  # type: ignore[misc]
    """The same folders and facts as on our side."""

    def __init__(self, folder: Path, seconds: float, words: BertTokenizerFast) -> None:
        self.folder, self.seconds, self.words, self.taken = folder, seconds, words, 0
        self.began = time.monotonic()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        elapsed = time.monotonic() - self.began
        control.should_training_stop |= elapsed >= self.seconds
        ended = control.should_training_stop or state.global_step == state.max_steps
        while self.taken < len(THIRDS) and (ended or elapsed >= self.seconds * THIRDS[self.taken] / len(THIRDS)):
            place = self.folder / str(THIRDS[self.taken])
            model.save_pretrained(place)
            self.words.save_pretrained(place)
            tokens = state.global_step * args.per_device_train_batch_size * LENGTH
            facts = {"tokens": tokens, "steps": state.global_step, "seconds": elapsed}
            (place / FACTS).write_text(json.dumps(facts), encoding="utf-8")
            self.taken += 1


class Pace(TrainerCallback):  # type: ignore[misc]
    """Seconds a step of the pilot, without those in which memory is first touched."""

    def __init__(self) -> None:
        self.began = self.seconds = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == WARM:
            self.began = time.monotonic()
        self.seconds = (time.monotonic() - self.began) / max(1, state.global_step - WARM)


def main() -> None:
    """Train, and leave the folders."""
    folder, seconds, size, vocab, *rest = sys.argv[1:]
    files, given = rest[: rest.index("--")], dict(word.split("=") for word in rest[rest.index("--") + 1 :])
    words = tokenizer(Path(vocab))
    lines = [line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    sequences = [{"input_ids": ids} for ids in chunks(lines, words)]
    settings = {"per_device_train_batch_size": int(given["per_device_train_batch_size"])}
    settings["learning_rate"] = float(given["learning_rate"])  # type: ignore[assignment]
    layers, hidden, heads = SHAPES[size]
    shape = BertConfig(
        vocab_size=len(words),
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
    )

    def train(steps: int, callback: TrainerCallback) -> None:
        """So many steps from random weights."""
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, save_strategy="no", report_to=[], disable_tqdm=True, seed=1, **settings
        )
        collate = DataCollatorForLanguageModeling(words, mlm_probability=0.15)
        Trainer(
            BertForMaskedLM(shape), arguments, data_collator=collate, train_dataset=sequences, callbacks=[callback]
        ).train()

    if "max_steps" in given:
        steps = int(given["max_steps"])
    else:
        pace = Pace()
        train(PILOT, pace)
        steps = max(1, int(float(seconds) / pace.seconds))
    train(steps, Snapshots(Path(folder), float(seconds), words))


if __name__ == "__main__":
    main()
