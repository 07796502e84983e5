"""Pre-training: from raw text to a model folder."""

import math
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only

from cloze.callbacks.before import Before
from cloze.callbacks.length import Length
from cloze.config.hardware import Hardware
from cloze.config.nodes import Node
from cloze.config.schema import Pretraining as Config
from cloze.config.sections import Training
from cloze.data.pretraining.loader import telling_of_dead_workers
from cloze.data.pretraining.module import PretrainingData
from cloze.errors import InputError
from cloze.files.layout import METRICS
from cloze.launch.continuation import Beginning, beginning
from cloze.launch.placement import with_corpus, with_known_corpus
from cloze.launch.ranks import begin_ranks
from cloze.launch.reporting import leave_report
from cloze.launch.resuming import resumed
from cloze.launch.strategy import check_optimizer, compile_encoder, is_one_graph, losses_for
from cloze.launch.tracking import tracked
from cloze.launch.trainer import accumulate, lasting, make_recipe, make_trainer
from cloze.loggers import MetricsFile
from cloze.loggers.metrics_file import read_rows
from cloze.model.architecture import architecture_of
from cloze.model.bert import BertForPreTraining
from cloze.model.config import EncoderConfig
from cloze.model.kernels.fp8 import multiply_in_fp8
from cloze.run.folder import checkpoint_to_resume, is_finished, write_config
from cloze.run.hardware import check_attention, set_up
from cloze.run.summary import finished_summary, summary
from cloze.runtime.spinner import waiting
from cloze.tasks.pretraining import Pretraining
from cloze.text.manifest import MANIFEST
from cloze.text.progress import ConsoleProgress


def pretrain(config: Config) -> float | None:
    """Prepare the corpus if that has not been done, train, and write `runs/NAME/`.

    Args:
        config: the root, with the hardware as it is on this machine.

    Returns:
        The masked-token loss on held-out text, which a search makes small; None without held-out text.

    Raises:
        InputError: for what only the data, the machine or the run's folder can show to be wrong.
    """
    training, hardware, folder = config.trainer, config.hardware, Path(config.folder)
    check_optimizer(config.optimizer, hardware)
    ranks = begin_ranks(hardware)
    config, given = with_known_corpus(config), config
    if is_finished(config):
        told, loss = finished_summary(folder, read_rows(folder / METRICS))
        rank_zero_only(print)(told, flush=True)
        return loss
    checkpoint = ranks.decide("checkpoint", lambda: checkpoint_to_resume(config))
    start = beginning(config, resumed=checkpoint is not None)
    schedule = config.schedule.build()
    config = with_corpus(given, config, start, ranks)
    set_up(hardware)
    pl.seed_everything(config.seed, workers=True, verbose=False)

    data = prepared_data(config.data, hardware, start)
    warn_of(data)
    with waiting("planning the epochs"):
        length = training_length(training, data)
    data.training_batches = length.steps
    training = replace(training, log_every=length.log_every(training.log_every))
    with waiting("making the model"):
        model = make_model(config.model, hardware, data, start)
    recipe = make_recipe(config.optimizer, schedule, length, training)
    module = Pretraining(model=model, recipe=recipe, losses=losses_for(hardware))
    trainer = make_trainer(
        training,
        hardware,
        callbacks=[
            length,
            Before(),
            *lasting(config, monitor="val/masked_lm_loss"),
            *(callback.build() for callback in config.callbacks.values()),
        ],
        loggers=[],
    )
    checkpoint, step = resumed(checkpoint, trainer, module, data, config, ranks)
    trainer.loggers = [  # which drop what was logged after that step
        MetricsFile(folder / METRICS, resume_step=step),
        *(logger.build() for logger in config.logger.values()),
    ]
    accumulate(trainer, data, hardware.micro_batch_tokens, training.validate_every)
    if trainer.is_global_zero:
        write_config(config)
        if start is not None and checkpoint is None:
            start.save(folder, data, model.config)
    if start is not None and checkpoint is None:
        trainer.num_sanity_val_steps = float("inf")  # all held-out batches, for what the model knows before
    with telling_of_dead_workers(), tracked(trainer, config.recorded, asdict(data.manifest), resume_step=step):
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.is_global_zero:
        print(summary(trainer, data.manifest, folder), flush=True)
        leave_report(folder)
    last = trainer.callback_metrics.get("val/masked_lm_loss")
    return None if last is None else float(last)


def prepared_data(
    node: Node[PretrainingData], hardware: Hardware, start: Beginning | None, *, stage: str = "fit"
) -> PretrainingData:
    """The data module of a corpus that has been prepared: by rank zero, for which the others wait."""
    data = node.build(num_workers=hardware.workers, static_shapes=hardware.static_shapes, pin_memory=hardware.on_gpu)
    if getattr(rank_zero_only, "rank", 0) == 0:
        if data.preparation is not None:
            with ConsoleProgress() as progress:
                if start is not None:
                    start.tokenizer.prepare(data.preparation, data.folder, progress)
                else:
                    data.preparation.ensure(data.folder, progress)
    else:
        while not (data.folder / MANIFEST).exists():  # written last, by rename
            time.sleep(1.0)
    if start is not None:
        data.preparation = None  # done, with another tokenizer than its own: the trainer shall not ask for it again
    data.setup(stage)
    return data


@rank_zero_only
def warn_of(data: PretrainingData) -> None:
    """Says what the objective cannot learn from the corpus."""
    for warning in data.warnings():
        print(warning, file=sys.stderr, flush=True)


def training_length(training: Training, data: PretrainingData) -> Length:
    """The length of training in optimizer steps, each of one global batch, or in seconds."""
    if training.max_time is not None:
        return Length(seconds=training.seconds())
    if training.max_tokens is not None:
        return Length(steps=math.ceil(training.max_tokens / data.size.most_tokens(data.max_length)))
    if training.max_epochs is not None:
        return Length(steps=data.batches_in_epochs(training.max_epochs))
    return Length(steps=training.max_steps)


def make_model(
    node: Node[EncoderConfig], hardware: Hardware, data: PretrainingData, start: Beginning | None
) -> BertForPreTraining:
    """With random weights, or those of the model to start from."""
    shape = start.config if start is not None else node.build(vocab_size=data.manifest.vocab_size)
    check_shape(shape, data.max_length, hardware)
    model = start.model(data) if start is not None else architecture_of(shape).pretraining(shape)
    return fitted(model, hardware)


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


def fitted(model: BertForPreTraining, hardware: Hardware) -> BertForPreTraining:
    """The same model, computed as the hardware asks."""
    model.encoder.gradient_checkpointing = hardware.gradient_checkpointing
    model.encoder.use_kernel(hardware.attention)
    if hardware.precision == "fp8-mixed":
        multiply_in_fp8(model.encoder)
    if hardware.compile and not is_one_graph(hardware):
        compile_encoder(model.encoder, hardware, dynamic=not hardware.static_shapes)
    return model
