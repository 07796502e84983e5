"""`--dry-run`: what it says is what the run does, and nothing is left behind."""

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloze.cli import finetune as finetune_command
from cloze.cli import train as train_command
from cloze.launch.dry_run.estimate import size
from tests.command import Command

SHORT = ["trainer.max_steps=20", "data.batch_tokens=1024", "optimizer.lr=1e-3"]
Told = tuple[int, str, str]


@pytest.fixture
def dry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., Told]:
    """Runs `train.py ... --dry-run` (or another command) in this process: the status, stdout and stderr."""

    def run(*words: str, main: Callable[[], int] = train_command.main) -> Told:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["train.py", *words, "--dry-run"])
        status = main()
        return status, *capsys.readouterr()

    return run


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_nothing_is_prepared_or_written(train: Command, small_text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpora" / "small"
    words = ["corpus=text", f"corpus.files={small_text}", f"corpus.prepared={folder}", "tokenizer.vocab_size=120"]
    done = train(*words, *SHORT, "run=dry", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert done.stdout.startswith("dry run: nothing is written\n")
    assert f"{folder} is not prepared yet: the step is on random tokens" in done.stdout
    assert "tokens      at most 20,480 in 20 steps\n" in done.stdout
    assert "120 tokens" in done.stdout
    assert "runs/dry/model" in done.stdout
    assert not {"\r", "\x1b"} & set(done.stdout + done.stderr)


def test_the_step_is_that_of_the_run(
    train: Command, dry: Callable[..., Told], small_corpus: list[str], tmp_path: Path
) -> None:
    words = [*small_corpus, *SHORT, "trainer.max_steps=2", "trainer.log_every=1"]
    done = train(*words, "run=real")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "runs/real/metrics.csv").open(encoding="utf-8") as file:
        loss = float(next(csv.DictReader(file))["train/loss"])
    before = contents(tmp_path), contents(Path(small_corpus[2].partition("=")[2]))
    status, out, err = dry(*words, "run=again")
    assert (status, err) == (0, "")
    assert (contents(tmp_path), contents(Path(small_corpus[2].partition("=")[2]))) == before
    assert "the step is on real ones" in out
    assert float(re.search(r"loss ([\d.]+)", out)[1]) == pytest.approx(loss, abs=6e-4)  # type: ignore[index]
    tokens = int(re.search(r"tried: ([\d,]+) tokens", out)[1].replace(",", ""))  # type: ignore[index]
    assert 512 < tokens <= 1024
    for name in ("parameters", "gradients", "optimizer", "activations", "head", "measured", "free"):
        assert name in out

    status, out, err = dry(*words, "run=real")
    assert (status, out, err) == (0, "dry run: runs/real is finished, and the same command does nothing more\n", "")
    status, _, err = dry(*words, "run=real", "seed=5")
    assert status == 2
    assert "runs/real holds a finished run with another configuration" in err


@pytest.mark.parametrize("prepared", [True, False])
def test_the_loss_is_the_mean_however_the_batch_is_cut(
    dry: Callable[..., Told], small_corpus: list[str], tmp_path: Path, prepared: bool
) -> None:
    elsewhere = [] if prepared else [f"corpus.prepared={tmp_path}/not-there"]
    losses = []
    for tokens in (4096, 512):
        words = [*small_corpus, *SHORT, *elsewhere, "data.batch_tokens=4096", f"hardware.micro_batch_tokens={tokens}"]
        status, out, err = dry(*words, "run=cut")
        assert status == 0, err
        assert ("in 8 micro-batches" in out) == (tokens == 512)
        losses.append(float(re.search(r"loss ([\d.]+)", out)[1]))  # type: ignore[index]
        knows_nothing = float(re.search(r"\(([\d.]+) for one that knows nothing", out)[1])  # type: ignore[index]
    assert losses == pytest.approx([knows_nothing] * 2, abs=0.1)


def test_several_processes_are_tried_as_one(dry: Callable[..., Told], small_corpus: list[str], tmp_path: Path) -> None:
    ddp = ["hardware.devices=2", "hardware.strategy=ddp", "hardware.micro_batch_tokens=256"]
    status, out, err = dry(*small_corpus, *SHORT, *ddp)
    assert (status, err) == (0, "")
    assert "2 processes (ddp)" in out
    assert "2 processes: one of them is tried" in out
    assert "in 2 micro-batches for each of 2 processes" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hardware", ["gpu", "ddp", "fsdp", "torchrun", "slurm"])
def test_hardware_that_is_elsewhere(dry: Callable[..., Told], small_corpus: list[str], hardware: str) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    status, out, err = dry(*small_corpus, *SHORT, f"hardware={hardware}", "model.attention_probs_dropout_prob=0")
    assert (status, err) == (0, "")
    assert "torch sees no GPU here: the step is tried on the processor" in out
    assert "s a step" not in out  # a processor's time is no GPU's
    assert "bf16-mixed" in out
    if hardware in ("torchrun", "slurm"):
        assert f"{hardware} has not started this process" in out


def test_what_the_run_would_refuse_is_refused(
    dry: Callable[..., Told], small_corpus: list[str], tmp_path: Path
) -> None:
    refused = {
        "modle=mini": "did you mean 'model'?",
        "hardware.attention=varlen": "that kernel trains on CUDA alone",
        "objective.max_length=1024 data.batch_tokens=1024": "has only 512 positions",
        "optimizer.lr=-1": "Invalid learning rate",
        "-m model=tiny,mini": "--dry-run tries one run",
    }
    for words, message in refused.items():
        status, _, err = dry(*small_corpus, *SHORT, *words.split())
        assert status == 2, words
        assert message in err
    assert list(tmp_path.iterdir()) == []


def test_fine_tuning(dry: Callable[..., Told], tmp_path: Path) -> None:
    for name, count in (("train", 40), ("dev", 8)):
        rows = [f"{'good' if i % 2 else 'bad'} words number {i},{'yes' if i % 2 else 'no'}" for i in range(count)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    before = contents(tmp_path)
    words = [
        "task=classification", "model=tiny", "tokenizer.vocab_size=100", "task.data.train=train.csv",
        "task.data.dev=dev.csv", "task.batch_size=8", "task.epochs=3", "run=dry",
    ]  # fmt: skip
    status, out, err = dry(*words, main=finetune_command.main)
    assert status == 0, err
    assert contents(tmp_path) == before
    assert "train 40, dev 8; 2 labels" in out
    assert "15 steps" in out
    status, _, err = dry(*words, "stage=predict", main=finetune_command.main)
    assert status == 2
    assert "--dry-run tries a step of training" in err


def test_figures_for_readers() -> None:
    assert [size(count) for count in (12, 29_184, 87_000_000, 1.5e9)] == ["12 bytes", "29.2 kB", "87 MB", "1.50 GB"]


def test_a_corpus_that_teaches_nothing_of_pairs_is_told(train: Command, tmp_path: Path) -> None:
    """One sentence a document, before training and in the dry run."""
    nouns, verbs = ["river", "harvest", "village", "lantern", "window"], ["repairs", "opens", "finds", "sees"]
    lines = [f"the {a} {verb} this {b} ." for a in nouns for b in nouns for verb in verbs]
    (tmp_path / "tweets.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["corpus=text", "corpus.files=tweets.txt", "corpus.source.document_boundary=line"]
    words += ["corpus.prepared=corpus", "tokenizer.vocab_size=120", "preparation.workers=0"]
    words += [*SHORT, "trainer.max_steps=1"]
    told = "warning: objective.pairs=next_sentence has little to teach: 100.0% of the second segments come from another"
    for more in (["run=tweets"], ["run=dry", "--dry-run"]):
        done = train(*words, *more)
        assert done.returncode == 0, done.stderr
        assert told in done.stderr
        assert "100.0% of the documents have one sentence; take objective=mlm, or objective=mlm_sop" in done.stderr
    assert "has little to teach" not in train(*words, "run=alone", "objective=mlm").stderr
