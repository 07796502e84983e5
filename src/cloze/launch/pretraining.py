"""Pre-training: from raw text to a model folder."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

from cloze.callbacks.average import WeightAverage
from cloze.callbacks.before import Before
from cloze.callbacks.length import Length
from cloze.callbacks.phases import PhaseChanges, check_phases
from cloze.config.hardware import Hardware
from cloze.config.schema import Pretraining as Config
from cloze.config.sections import Training
from cloze.config.trust import import_packages
from cloze.data.pretraining.loader import telling_of_dead_workers
from cloze.data.pretraining.module import PretrainingData
from cloze.data.pretraining.objective import checked_words
from cloze.errors import InputError
from cloze.files.layout import METRICS, MODEL, MODEL_AVERAGE
from cloze.launch.branching import check_decay
from cloze.launch.continuation import Beginning, beginning
from cloze.launch.module import check_module, check_values, computed, make_module
from cloze.launch.placement import with_corpus, with_known_corpus
from cloze.launch.ranks import Ranks, begin_ranks
from cloze.launch.reporting import leave_report
from cloze.launch.resuming import resumed
from cloze.launch.strategy import check_optimizer
from cloze.launch.teacher import check_student
from cloze.launch.tracking import tracked
from cloze.launch.trainer import accumulate, in_phases, lasting, make_trainer
from cloze.loggers.metrics_file import read_rows
from cloze.model.architecture import architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.heads import PretrainingModel
from cloze.run.folder import RunFolder, note
from cloze.run.hardware import check_attention, set_up
from cloze.run.summary import finished_summary, summary
from cloze.runtime.spinner import waiting
from cloze.tasks.pretraining import Pretraining
from cloze.tasks.teacher import Teacher, read_teacher
from cloze.text.manifest import MANIFEST
from cloze.text.prepare import Preparation
from cloze.text.progress import ConsoleProgress
from cloze.text.tokenizer import FolderTokenizer


class Begun(NamedTuple):
    """A run whose corpus is still to be found.

    Attributes:
        config: the root, with the folder of the corpus as far as it is known.
        checkpoint: from which it resumes; None for a new run.
        start: what continued pre-training begins with.
        teacher: from which the model learns.
    """

    config: Config
    checkpoint: Path | None
    start: Beginning | None
    teacher: Teacher[PretrainingModel] | None


def pretrain(config: Config) -> float | None:
    """Prepare the corpus if that has not been done, train, and write `runs/NAME/`.

    Args:
        config: the root, with the hardware as it is on this machine.

    Returns:
        What the module monitors on held-out text, which a search makes small; None without held-out text.

    Raises:
        InputError: for what only the data, the machine or the run's folder can show to be wrong.
    """
    check_optimizer(config.optimizer, config.hardware)
    folder, ranks = Path(config.folder), begin_ranks(config.hardware)
    if (run := begin(config, ranks)) is None:
        told, loss = finished_summary(folder, read_rows(folder / METRICS), config.module.class_.monitor)
        rank_zero_only(print)(told, flush=True)
        return loss
    config, start = with_corpus(config, run.config, run.start, ranks), run.start
    if run.teacher is not None:
        check_student(run.teacher, config, start)
    data = prepared_data(config, start)
    warn_of(data)
    with waiting("planning the epochs"):
        length = training_length(config.trainer, data)
    data.training_batches = length.steps
    with waiting("making the model"):
        module = begun_module(config, data, start, length, run.teacher)
    trainer = _trainer(config, data, length, monitor=f"val/{module.monitor}")
    checkpoint, step = resumed(run.checkpoint, trainer, module, data, config, ranks)
    if start is not None and checkpoint is None:
        trainer.num_sanity_val_steps = float("inf")  # all held-out batches, for what the model knows before
    with telling_of_dead_workers(), tracked(trainer, config, asdict(data.manifest), resume_step=step):
        if start is not None and trainer.is_global_zero:
            start.save(folder, data, module.model.config)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.is_global_zero:
        print(summary(trainer, module, data.manifest, folder), flush=True)
        leave_report(folder)
    last = trainer.callback_metrics.get(f"val/{module.monitor}")
    return None if last is None else float(last)


def begin(
    config: Config, ranks: Ranks, *, finished: str = MODEL, policy: str | None = None, claiming: bool = True
) -> Begun | None:
    """Set up the machine, and decide what comes before the corpus; None where this very run has come to its end.

    Args:
        config: the root, as it was given.
        ranks: of which the first one decides.
        finished: what lies in the folder of a run that has come to its end.
        policy: in place of `resume`.
        claiming: make the run ours, as whoever trains it must.

    Raises:
        InputError: the module, the folder, the model to start from, the teacher or the schedule is refused.
    """
    import_packages(config.trust)
    check_module(config)
    config = with_known_corpus(config)
    folder = RunFolder(Path(config.folder), config.recorded, finished)
    if folder.is_finished():
        return None
    checkpoint = ranks.decide(
        "checkpoint", lambda: folder.checkpoint_to_resume(policy or config.resume, claiming=claiming)
    )
    check_decay(config, checkpoint)
    teacher = None if config.teacher is None else read_teacher(config.teacher)
    set_up(config.hardware, config.seed)
    start = beginning(config, resumed=checkpoint)
    config.schedule.build()  # an error in it, or in the module, comes before the corpus is prepared
    check_values(config, config.model.build(vocab_size=1) if start is None else start.config, teacher)
    return Begun(config, checkpoint, start, teacher)


def _trainer(config: Config, data: PretrainingData, length: Length, *, monitor: str) -> pl.Trainer:
    callbacks = [
        length,
        PhaseChanges(data.stages.phases, data.course),
        Before(),
        *lasting(config, monitor=monitor),
        *averaging(config, length),
        *(callback.build() for callback in config.callbacks.values()),
    ]
    trainer = make_trainer(config.trainer, config.hardware, callbacks)
    accumulate(trainer, data, config.hardware.micro_batch_tokens, config.trainer.validate_every)
    return trainer


def averaging(config: Config, length: Length) -> list[WeightAverage]:
    """The callback that averages, before those that end a run: a run whose model is written has its average, too."""
    asked = config.average
    if asked.kind is None:
        return []
    return [
        WeightAverage(
            kind=asked.kind,
            start=asked.start if asked.start is not None else 0.75 if asked.kind == "uniform" else 0.0,
            every=asked.every,
            decay=0.999 if asked.decay is None else asked.decay,
            length=length,
            folder=Path(config.folder) / MODEL_AVERAGE,
        )
    ]


def prepared_data(config: Config, start: Beginning | None, *, stage: str = "fit") -> PretrainingData:
    """The data module of a corpus that has been prepared: by rank zero, for which the others wait."""
    asked = config.hardware
    data = config.data.build(num_workers=asked.workers, static_shapes=asked.static_shapes, pin_memory=asked.on_gpu)
    if getattr(rank_zero_only, "rank", 0) == 0:
        if data.preparation is not None:
            with ConsoleProgress() as progress:
                if start is not None:
                    start.tokenizer.prepare(data.preparation, data.folder, progress)
                else:
                    check_given_tokenizer(data, data.preparation)
                    data.preparation.ensure(data.folder, progress)
    else:
        while not (data.folder / MANIFEST).exists():  # written last, by rename
            time.sleep(1.0)
    if start is not None:
        data.preparation = None  # done, with another tokenizer than its own: the trainer must not ask for it again
    data.setup(stage)
    return data


def check_given_tokenizer(data: PretrainingData, preparation: Preparation) -> None:
    """Refuse a tokenizer that does not do for the objective before a corpus is prepared with it."""
    source = preparation.tokenizer
    if source.is_given and not (data.folder / MANIFEST).exists():
        given, segmented = source.given(), preparation.words != "tokenizer"
        name = getattr(source, "vocab", "tokenizer")  # a source of the user's own may have none
        checked_words(data.objective, given.tokenizer, given.special, name, segmented=segmented)


@rank_zero_only
def warn_of(data: PretrainingData) -> None:
    """Says what the objective cannot learn from the corpus."""
    for warning in data.warnings():
        print(warning, file=sys.stderr, flush=True)


def training_length(training: Training, data: PretrainingData) -> Length:
    """The length of training in optimizer steps, each of one global batch, or in seconds."""
    if training.max_time is not None:
        return Length(seconds=training.seconds())
    steps = training.max_steps if training.max_epochs is None else data.batches_in_epochs(training.max_epochs)
    return Length(steps=sum(data.stages.steps(steps, training.max_tokens)))


def begun_module(
    config: Config,
    data: PretrainingData,
    start: Beginning | None,
    length: Length,
    teacher: Teacher[PretrainingModel] | None = None,
) -> Pretraining[Any]:
    """With random weights, or those of the model to start from; computed as the hardware asks."""
    vocabulary = data.manifest.vocab_size
    shape = start.shape(data) if start is not None else config.model.build(vocab_size=vocabulary)
    check_shape(shape, data.stages.max_length, config.hardware)
    check_phases(data.stages.phases, shape)
    module = make_module(config, shape, length, teacher)
    module.recipe = in_phases(module.recipe, data.stages.phases, data.stages.course(length.steps))
    tell_of_kin(shape)
    tell_of_segments(shape, data)
    if start is not None:
        start.load(module.model, data, module.needed_parts(data.objective))
    return computed(module, config.hardware)


@rank_zero_only
def tell_of_kin(shape: EncoderConfig) -> None:
    """Says of a shape that transformers does not compute who reads its folders."""
    if (kin := architecture_of(shape).kin) is not None:
        told = ", ".join(f"{name}={str(value).lower():.60}" for name, value in kin.beyond(shape).items())
        note(f"no class of transformers computes a {kin.title} with {told}: only cloze reads the model's folder")


@rank_zero_only
def tell_of_segments(shape: EncoderConfig, data: PretrainingData) -> None:
    """Says that the model's folder gets another ``tokenizer.json`` than the one that was given."""
    if shape.type_vocab_size > 1 and not FolderTokenizer(data.tokenizer, {}).has_segments:
        note(
            f"the tokenizer gives both texts of a pair the segment 0, but the model has {shape.type_vocab_size}: here, "
            "and in the tokenizer.json of the model's folder, the second text has the segment 1"
        )


def check_shape(shape: EncoderConfig, max_length: int, hardware: Hardware) -> None:
    """Compare a shape with the longest sequences and with the hardware.

    Raises:
        InputError: it has too few positions, or drops what the hardware's kernel cannot drop.
    """
    if max_length > shape.max_position_embeddings:
        raise InputError(
            f"objective.max_length is {max_length}, but the model has only "
            f"{shape.max_position_embeddings} positions: take a shorter one, or set model.max_position_embeddings"
        )
    check_attention(shape.attention_probs_dropout_prob, hardware, key="model.attention_probs_dropout_prob")
