"""Twenty losses of short runs from a seed: every objective and masking, every kind of task, two processes.

The losses depend on the data, their order, the masks, the initial weights, the dropout, the gradients, the optimizer
and the schedule. Each run is the command itself, in a fork of a process that has everything imported.
"""

import json
import platform
import re
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger

from tests import forks
from tests.launch.stories import command, play
from tests.net.texts import write_texts

EXPECTED = Path(__file__).parent / "expected" / "losses.json"
FILE = "losses.json"

PRETRAINING = [
    "corpus=text",
    "corpus.files=../texts/small.txt",
    "corpus.prepared=../prepared",
    "corpus.vocab_size=120",
    "preparation.heldout_fraction=0.1",
    "preparation.workers=0",
    "model=tiny",
    "model.hidden_size=32",
    "model.intermediate_size=64",
    "optimizer.lr=2e-3",
    "data.batch_tokens=1024",
    "trainer.validate_every=20",
    "~callbacks.attention",
]
FINE_TUNING = [
    "task.max_length=32",
    "task.batch_size=8",
    "optimizer.lr=2e-3",
    "trainer.validate_every=20",
]
BOTH = [
    "run=x",
    "trainer.max_steps=20",
    "trainer.log_every=1",
    "hardware.threads=1",
    f"++logger.net={{_target_: tests.net.losses.Losses, file: {FILE}}}",
]
PRETRAINED = "model=../pretrained/runs/x/model"
RANDOM = (
    "model=tiny model.hidden_size=32 model.intermediate_size=64 model.max_position_embeddings=64 "
    "tokenizer.vocab_size=100"
)
FILES = "task.data.train=../texts/{kind}-train.jsonl task.data.dev=../texts/{kind}-dev.jsonl "
TEXTS, WORDS, QUESTIONS = (FILES.format(kind=kind) for kind in ("texts", "words", "questions"))
CLASSES = f"task=classification {TEXTS} task.data.label=first"
PAIRS = f"task=classification {TEXTS} task.data.text_pair=other task.data.label=follows"
TAGS = f"task=token_classification {WORDS}"
FROZEN = f"{PRETRAINED} adaptation.frozen_layers=all"
RUNS = {
    "pretraining/mlm_nsp": "",
    "pretraining/mlm_sop": "objective=mlm_sop schedule=cosine",
    "pretraining/mlm": "objective=mlm schedule=inverse_square_root",
    "pretraining/whole_word": "objective.masking=whole_word optimizer=lamb schedule=warmup_stable_decay",
    "pretraining/span": "objective=mlm objective.masking=span optimizer=muon",
    "pretraining/mask_rates": "objective.mask_rate=0.3 objective.final_mask_rate=0.1 optimizer=stableadamw",
    "pretraining/phases": "data.phases=[[0.5,32],[0.5,128]] data.batch_sequences=8 data.batch_tokens=null",
    "pretraining/micro_batches": "hardware.micro_batch_tokens=256 hardware.static_shapes=true",
    "pretraining/continued": f"init={PRETRAINED.removeprefix('model=')} objective=mlm objective.max_length=64",
    "pretraining/two_processes": "hardware.micro_batch_tokens=256",
    "task/classes": f"{CLASSES} {PRETRAINED}",
    "task/classes_from_random_weights": f"{CLASSES} {RANDOM}",
    "task/classes_of_windows": f"{CLASSES} {PRETRAINED} task.long=windows task.max_length=16",
    "task/shares_of_classes": f"task=classification {TEXTS} task.data.label=[even,odd] {PRETRAINED}",
    "task/pairs": f"{PAIRS} {PRETRAINED} trainer.layer_decay=0.9 adaptation.reinitialized_layers=1",
    "task/score": f"task=regression {TEXTS} task.data.label=score {PRETRAINED}",
    "task/scores": f"task=regression {TEXTS} task.data.label=[score,other_score] {RANDOM}",
    "task/several_labels": f"task=multilabel {TEXTS} task.data.label=named {PRETRAINED}",
    "task/tags": f"{TAGS} {PRETRAINED} hardware.micro_batch_tokens=128",
    "task/tags_in_context": f"{TAGS} {RANDOM} task.features.document_context=true task.module.class_weights=balanced",
    "task/questions": f"task=question_answering {QUESTIONS} {PRETRAINED} task.data.no_answer=true "
    "task.features.max_question_length=8",
    "task/choices": f"task=multiple_choice {TEXTS} task.data.choices=endings task.data.label=ending {PRETRAINED}",
    "task/frozen": f"{CLASSES} {FROZEN} adaptation.layers=weighted_sum",
    "task/frozen_below_an_lstm": f"{TAGS} {FROZEN} adaptation.head=bilstm adaptation.lstm_hidden_size=16",
    "task/two_processes": f"{PAIRS} {PRETRAINED} hardware.micro_batch_tokens=64",
}
"""The words of each run next to those of all."""


class Losses(Logger):
    """Keeps the losses of training and the last evaluation as they are logged, with every bit.

    Args:
        file: written anew with each row.
    """

    def __init__(self, *, file: str) -> None:
        super().__init__()
        self.file = Path(file)
        self.losses: list[float] = []
        self.evaluation: dict[str, float] = {}

    @property
    def name(self) -> str:
        return "losses"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Those of a row, which training and evaluation log one after the other."""
        if "train/loss" in metrics:
            self.losses.append(float(metrics["train/loss"]))
        evaluation = {name: float(value) for name, value in metrics.items() if name.startswith("val/")}
        self.evaluation = evaluation or self.evaluation
        self.file.write_text(json.dumps({"train": self.losses, **self.evaluation}), encoding="utf-8")

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """They stand in RUNS."""


def prepare(folder: Path) -> None:
    """Write the texts and train the model that tasks begin from."""
    write_texts(folder / "texts")
    (folder / "pretrained").mkdir()
    words = [*PRETRAINING, *BOTH, "seed=2"]
    done = forks.run("train.py", *words, cwd=folder / "pretrained")
    assert done.returncode == 0, done.stderr


def losses_of(name: str, folder: Path) -> dict[str, Any]:
    """The losses of a run in a prepared folder."""
    script, words = ("train.py", PRETRAINING) if name.startswith("pretraining/") else ("finetune.py", FINE_TUNING)
    place = folder / name.replace("/", "-")
    place.mkdir()
    ranks = 2 if name.endswith("two_processes") else 1
    play(place, command([*words, *BOTH, *RUNS[name].split()], ranks=ranks, script=script), statuses=[0])
    found: dict[str, Any] = json.loads((place / FILE).read_text(encoding="utf-8"))
    return found


def machine() -> dict[str, str]:
    """On what the last bits depend."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    family = [
        match[1]
        for name in ("vendor_id", "cpu family", "model")
        if (match := re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE))
    ]
    return {
        "processor": " ".join(family) or platform.machine(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }
