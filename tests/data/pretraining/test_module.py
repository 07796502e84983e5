"""The data module under Lightning's Trainer, on a corpus prepared from text."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from cloze.batch import PretrainingBatch
from cloze.data.pretraining.epochs import PLANNED_SHARDS
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.module import PretrainingData
from cloze.data.pretraining.plan import Plan, make_plan
from cloze.errors import InputError
from cloze.text.prepare import Preparation
from cloze.text.sentences import English
from cloze.text.sources.files import TextFiles
from cloze.text.tokenizer import WordPiece
from tests.data.pretraining.test_loader import GlobalBatch, sequences_of

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated")  # lightning 2.6 with torch 2.13

OBJECTIVE = MaskedLM(max_length=32)


@pytest.fixture(scope="module")
def preparation(small_text: Path) -> Preparation:
    return Preparation(
        source=TextFiles(files=str(small_text)),
        sentences=English(),
        tokenizer=WordPiece(vocab_size=120),
        heldout_fraction=0.2,
        shard_tokens=2000,
        workers=0,
    )


@pytest.fixture(scope="module")
def folder(preparation: Preparation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "prepared"
    PretrainingData(folder=folder, objective=OBJECTIVE, preparation=preparation, batch_tokens=512).prepare_data()
    return folder


def data_of(folder: Path, **changes: Any) -> PretrainingData:
    options: dict[str, Any] = {"folder": folder, "objective": OBJECTIVE, "batch_tokens": 512, "training_batches": 30}
    return PretrainingData(**options | changes)


class Recorder(LightningModule):
    """Notes the sequences of each optimizer step, and saves a checkpoint after one of them."""

    def __init__(self, save_after: int | None = None, path: Path | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.save_after, self.path = save_after, path
        self.steps: list[GlobalBatch] = []
        self.current: list[PretrainingBatch] = []
        self.heldout: list[float] = []

    def training_step(self, batch: PretrainingBatch, _: int) -> Tensor:
        self.current.append(batch)
        return self.weight * batch.num_tokens

    def on_train_batch_end(self, *_: Any) -> None:
        if self.trainer.global_step > len(self.steps) + self.trainer_began_at:
            masked, pairs = self.current[0].global_masked, self.current[0].global_pairs
            self.steps.append((sorted(s for batch in self.current for s in sequences_of(batch)), masked, pairs))
            self.current = []
            if self.path and self.trainer.global_step == self.save_after:
                self.trainer.save_checkpoint(self.path)

    def on_train_start(self) -> None:
        self.trainer_began_at = self.trainer.global_step

    def validation_step(self, batch: PretrainingBatch, _: int) -> None:
        self.heldout.append(batch.num_tokens)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data: PretrainingData, module: Recorder, steps: int, accumulation: int, resume: Path | None = None) -> None:
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        accumulate_grad_batches=accumulation,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        val_check_interval=10 * accumulation,
        log_every_n_steps=1,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stopped_run_goes_on_with_the_same_batches_on_other_hardware(
    folder: Path, tmp_path: Path, num_workers: int
) -> None:
    lightning.seed_everything(1, verbose=False)
    whole = Recorder(save_after=13, path=tmp_path / "saved.ckpt")
    fit(data_of(folder, num_workers=num_workers), whole, 30, 2)
    assert len(whole.steps) == 30
    saved = torch.load(tmp_path / "saved.ckpt", weights_only=True)["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert [set(state) for state in saved] == [{"epoch", "window", "batch"}]
    for accumulation in (2, 1, 3):
        resumed = Recorder()
        fit(data_of(folder, num_workers=num_workers), resumed, 30, accumulation, tmp_path / "saved.ckpt")
        assert resumed.steps == whole.steps[13:]


def test_validation_is_the_same_every_time(folder: Path) -> None:
    module = Recorder()
    data = data_of(folder)
    fit(data, module, 30, 1)
    every = len(module.heldout) // 3
    assert module.heldout == module.heldout[:every] * 3
    kept = sum(module.heldout[:every])
    assert kept > sum(info.tokens for info in data.manifest.heldout)


def test_heldout_does_not_depend_on_seed_rate_or_phases(folder: Path) -> None:
    def heldout(**changes: Any) -> list[list[object]]:
        data = data_of(folder, **changes)
        data.setup()
        return [[*sequences_of(batch), batch.global_masked] for loader in data.val_dataloader() for batch in loader]

    first = heldout()
    assert len(first) > 1
    assert heldout(seed=5) == first
    assert heldout(objective=replace(OBJECTIVE, mask_rate=0.4, final_mask_rate=0.2)) == first
    assert heldout(phases=[(0.5, 32), (0.5, 64)]) == first
    assert len(heldout(heldout_tokens=600)) == 2
    assert heldout(heldout_tokens=None) == first


def test_batches_in_few_epochs_are_exact(folder: Path) -> None:
    data = data_of(folder, training_batches=None)
    data.setup()
    assert 2 * len(data.manifest.train) <= PLANNED_SHARDS
    counts = [data.batches_in_epochs(1), data.batches_in_epochs(2) - data.batches_in_epochs(1)]
    loader = data.train_dataloader()
    stream = iter(loader)
    for epoch, count in enumerate(counts):
        for _ in range(count):
            next(stream)
            assert loader.position.epoch == epoch
    next(stream)
    assert loader.position.epoch == 2


@pytest.mark.parametrize("shuffle_shards", [1, 3])
def test_the_length_of_many_epochs_or_shards_is_told_from_few_plans(
    folder: Path, monkeypatch: pytest.MonkeyPatch, shuffle_shards: int
) -> None:
    data = data_of(folder, training_batches=None, shuffle_shards=shuffle_shards)
    data.setup()
    planned: list[int] = []

    def counting(*args: Any, **options: Any) -> Plan:
        planned.append(options["shard_index"])
        return make_plan(*args, **options)

    every = data.train_dataloader().data.parts[0]
    epochs, shards = 40, len(data.manifest.train)
    expected = sum(every.num_batches(0, epoch, w) for epoch in range(epochs) for w in every.order.windows(epoch))
    monkeypatch.setattr("cloze.data.pretraining.dataset.make_plan", counting)
    assert data.batches_in_epochs(epochs) == pytest.approx(expected, rel=0.05)
    plans = PLANNED_SHARDS * len(every.order.windows(0)) // shards
    assert len(planned) == plans < epochs * shards
    assert set(planned) == set(range(shards)) or shuffle_shards > 1
    planned.clear()
    data.corpora[0].manifest = data.manifest = replace(data.manifest, train=data.manifest.train * 500)
    assert data.batches_in_epochs(1) == pytest.approx(expected * 500 / epochs, rel=0.1)
    assert len(planned) == PLANNED_SHARDS // shuffle_shards


def test_no_shard_at_a_time_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"data.shuffle_shards=0: expected at least 1"):
        data_of(folder, shuffle_shards=0)


def test_two_phases(folder: Path) -> None:
    data = data_of(folder, phases=[(0.9, 32), (0.1, 64)], training_batches=40)
    assert data.stages.max_length == 64
    data.setup()
    loader = data.train_dataloader()
    longest, epochs = [], []
    for batch in loader:
        longest.append(int(batch.packed.cu_seqlens.diff().max()))
        epochs.append(loader.position.epoch)
    assert len(longest) == 40
    assert max(longest[:36]) == 32
    assert max(longest[36:]) > 32
    assert epochs[36] > epochs[34]
    assert data.batches_in_epochs(1, phase=1) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_sequences": 4}, "exactly one"),
        ({"batch_tokens": None}, "exactly one"),
        ({"batch_tokens": 31}, "at least one sequence"),
        ({"heldout_tokens": 3}, "data.heldout_tokens"),
        ({"phases": [(0.5, 32), (0.4, 64)]}, "sum to 1"),
    ],
)
def test_bad_values_are_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        data_of(folder, **changes)


def test_phases_and_schedules_need_a_length(folder: Path) -> None:
    for changes in ({"phases": [(0.9, 32), (0.1, 64)]}, {"objective": MaskedLM(final_mask_rate=0.3)}):
        data = data_of(folder, training_batches=None, **changes)
        data.setup()
        with pytest.raises(InputError, match=r"trainer\.max_steps"):
            data.train_dataloader()


def test_what_does_not_match_is_refused(folder: Path, preparation: Preparation, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run cloze-prepare"):
        data_of(tmp_path).setup()
    other = replace(preparation, tokenizer=WordPiece(vocab_size=110))
    with pytest.raises(InputError, match=r"tokenizer\.vocab_size"):
        data_of(folder, preparation=other).prepare_data()


def test_one_document_in_every_shard_cannot_ask_for_the_next_sentence(tmp_path: Path) -> None:
    text = tmp_path / "book.txt"
    text.write_text("\n".join(f"This is sentence number {i} of the only document." for i in range(300)))
    preparation = Preparation(
        source=TextFiles(files=str(text)), sentences=English(), tokenizer=WordPiece(vocab_size=120), workers=0
    )
    data = data_of(tmp_path / "prepared", preparation=preparation)
    data.prepare_data()
    with pytest.raises(InputError, match="no random next sentence"):
        data.setup()
    alone = data_of(tmp_path / "prepared", objective=replace(OBJECTIVE, pairs="none"))
    alone.setup()
    assert alone.val_dataloader() == []
    assert next(iter(alone.train_dataloader())).num_tokens > 400
