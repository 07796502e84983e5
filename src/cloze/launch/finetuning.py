"""Fine-tuning: a task model from a model folder or from random weights, its scores and its predictions."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_only

from cloze.callbacks.checkpoints import Checkpoints
from cloze.callbacks.length import Length
from cloze.callbacks.progress import Progress
from cloze.checkpoint.saves import Saves, model_fault, read_checkpoint
from cloze.checkpoint.task_models import save_task_model
from cloze.config.construct import build
from cloze.config.sections import TaskTraining
from cloze.config.targets import locate
from cloze.errors import InputError
from cloze.launch.ranks import Ranks, begin_ranks
from cloze.launch.reporting import leave_report
from cloze.launch.resuming import resumed
from cloze.launch.strategy import check_optimizer
from cloze.launch.task import Job, TaskSetup, set_up_task
from cloze.launch.tracking import log_evaluation, tracked
from cloze.launch.trainer import accumulate, lasting, make_trainer
from cloze.loggers import MetricsFile
from cloze.loggers.metrics_file import METRICS
from cloze.model.sharding import load_whole, whole
from cloze.report.examples import write_examples
from cloze.report.results import RESULTS, Results, read_results, write_results
from cloze.report.split import write_report
from cloze.run.folder import CHECKPOINTS, MODEL, checkpoint_to_resume, is_finished, warn, write_config
from cloze.run.hardware import check_hardware, set_up
from cloze.run.summary import task_summary
from cloze.tasks.finetuning import FineTuning, prefix
from cloze.tasks.thresholds import by_label

BASELINE = "random_initialisation"
"""The folder, in that of the run, of the same encoder trained from random weights."""


def finetune(config: Mapping[str, Any]) -> float | None:
    """Train, evaluate or predict as `stage` says, and write `runs/NAME/`.

    Args:
        config: the root of `conf/finetune.yaml`, resolved and checked.

    Returns:
        The main score on the first dev set, which a search makes large; None without one.

    Raises:
        InputError: for what only the data, the model, the machine or the run's folder can show to be wrong.
    """
    job = Job.of(config)
    check_hardware(job.hardware)
    check_optimizer(config["optimizer"], job.hardware)
    ranks = begin_ranks(job.hardware)
    set_up(job.hardware)
    if job.stage != "train":
        results, baseline = _apply(job), None
    else:
        compare = job.task.compare_random and has_weights(job)
        baseline = _train(_from_random_weights(job), ranks) if compare else None
        results = _train(job, ranks)
    rank_zero_only(print)(task_summary(job.folder, results, baseline), flush=True)
    leave_report(job.folder)
    return _objective(job, results)


def _objective(job: Job, results: Results) -> float | None:
    """The score on the first dev set by which checkpoints are chosen."""
    scores = next((scores for split, scores in results.items() if split.startswith("dev")), {})
    main = getattr(locate(job.task.module["_target_"], "task.module"), "main_metric", None)
    return scores.get(main) if main is not None else next(iter(scores.values()), None)


def has_weights(job: Job) -> bool:
    """Whether it begins with a model's weights."""
    return job.model_folder is not None and job.model_folder.weights == "pretrained"


def _from_random_weights(job: Job) -> Job:
    folder = job.folder / BASELINE
    model = {**job.config["model"], "weights": "random"}
    loggers = {name: {**node, "folder": str(folder)} for name, node in job.config["logger"].items()}
    config = {**job.config, "folder": str(folder), "model": model, "resume": "auto", "logger": loggers}
    return Job.of(config)


def _train(job: Job, ranks: Ranks) -> Results:
    """Train, keep what was best on dev, evaluate and predict with it; a run that is finished just tells its results."""
    if is_finished(job.folder, job.config, finished=RESULTS):
        return _finished(job.folder)
    checkpoint = ranks.decide(
        f"checkpoint of {job.folder}",
        lambda: checkpoint_to_resume(job.folder, job.config, job.config["resume"], finished=RESULTS),
    )
    pl.seed_everything(job.config["seed"], workers=True, verbose=False)
    setup = set_up_task(job)
    trainer = _trainer(job, setup)
    checkpoint, step = resumed(checkpoint, trainer, setup.module, setup.data, job.config, ranks)
    trainer.loggers = [  # which drop what was logged after that step
        MetricsFile(job.folder / METRICS, resume_step=step),
        *(build(job.config["logger"], name) for name in job.config["logger"]),
    ]
    if trainer.is_global_zero:
        write_config(job.folder, job.config)
    with tracked(trainer, job.config, setup.data.counts, resume_step=step):
        return _trained(job, setup, trainer, checkpoint)


def _trained(job: Job, setup: TaskSetup, trainer: pl.Trainer, checkpoint: Path | None) -> Results:
    trainer.fit(setup.module, datamodule=setup.data, ckpt_path=checkpoint, weights_only=True)
    _take_best(setup.module, trainer, setup.data.dev_splits)
    state = whole(setup.module.model.state_dict(), keep=trainer.is_global_zero)
    if trainer.is_global_zero:
        save_task_model(
            setup.module.model,
            setup.tokenizer,
            job.folder / MODEL,
            architecture=setup.module.architecture,
            labels=setup.labels,
            problem_type=setup.module.problem_type,
            task_state=setup.module.get_extra_state(),
            task_classes=setup.module.task_classes,
            task_features=setup.module.task_features,
            state=state,
            tokenizer_files=setup.data.tokenizer_files,
        )
    results = _evaluate(job, setup, trainer)
    if trainer.is_global_zero:
        write_results(results, job.folder)
        shutil.rmtree(job.folder / CHECKPOINTS, ignore_errors=True)  # the model folder holds the best of them
    return results


def _finished(folder: Path) -> Results:
    rank_zero_only(print)(f"{folder} is finished", flush=True)
    return read_results(folder)


def _apply(job: Job) -> Results:
    """Evaluate or predict with a fine-tuned model; again, its results are just told."""
    if not has_weights(job):
        raise InputError(f"stage={job.stage} needs a fine-tuned model: give model=FOLDER")
    if (resume := job.config["resume"]) not in ("auto", "never"):
        raise InputError(f"resume={resume} is for stage=train, but stage is {job.stage}: leave one of them out")
    if is_finished(job.folder, job.config, finished=RESULTS):
        return _finished(job.folder)
    checkpoint_to_resume(job.folder, job.config, "never", finished=RESULTS)
    setup = set_up_task(job)
    trainer = make_trainer(job.training, job.hardware, callbacks=[Progress()], loggers=[])
    if trainer.is_global_zero:
        write_config(job.folder, job.config)
    results = _evaluate(job, setup, trainer)
    if trainer.is_global_zero:
        write_results(results, job.folder)
    return results


def _trainer(job: Job, setup: TaskSetup) -> pl.Trainer:
    training, config = job.training, job.config
    callbacks: list[pl.Callback] = [setup.length, *(build(config["callbacks"], name) for name in config["callbacks"])]
    best = f"{prefix(setup.data.dev_splits[0])}/{setup.module.main_metric}" if setup.data.dev_splits else None
    callbacks += lasting(config, monitor=best, higher_is_better=True)
    if training.patience is not None:
        if best is None:
            raise InputError("trainer.patience needs a dev set to look at: give task.data.dev=FILE")
        callbacks.append(EarlyStopping(best, mode="max", patience=training.patience, check_on_train_epoch_end=False))
    trainer = make_trainer(
        _logged_in_time(training, setup.length),
        job.hardware,
        callbacks=callbacks,
        loggers=[],
    )
    every = training.validate_every or setup.data.steps(epochs=1)
    accumulate(trainer, setup.data, job.hardware.micro_batch_tokens, every)
    return trainer


def _logged_in_time(training: TaskTraining, length: Length) -> TaskTraining:
    return replace(training, log_every=length.log_every(training.log_every))


def _take_best(module: FineTuning[Any], trainer: pl.Trainer, dev_splits: Sequence[str]) -> None:
    """Load the weights that did best on dev; without a dev set, or where no checkpoint is whole, the last ones stay."""
    checkpoints = trainer.checkpoint_callback
    assert isinstance(checkpoints, Checkpoints)
    trainer.strategy.barrier()  # until rank zero has written it
    best = trainer.strategy.broadcast(_best(checkpoints.saves, module) if trainer.is_global_zero else None)
    if best is not None:
        load_whole(module, read_checkpoint(best)["state_dict"])
    elif dev_splits and trainer.is_global_zero:
        warn(f"{checkpoints.saves.folder}: no checkpoint that did well on dev is whole; the last weights are used")


def _best(saves: Saves, module: FineTuning[Any]) -> Path | None:
    def fault(file: Path) -> str | None:
        try:
            found = model_fault(read_checkpoint(file)["state_dict"], module.state_dict())
        except InputError:
            return "cannot be read"
        return None if found is None else f"is damaged ({found})"

    try:
        return saves.best_good(lambda sentence: warn(f"{sentence}; another one is used"), fault)
    except InputError as error:
        warn(str(error).partition(": give ")[0])
        return None


def _evaluate(job: Job, setup: TaskSetup, trainer: pl.Trainer) -> Results:
    """Predict every split but train; score those that are labelled; write predictions and reports."""
    results: Results = {}
    for name, split in setup.data.splits.items():
        if name == "train":
            continue
        parts = trainer.predict(setup.module, dataloaders=setup.data.evaluation_loader(name)) or []
        outputs = setup.module.gathered({n: row for part in parts for n, row in part.items()}, len(split.items))  # type: ignore[union-attr]
        predictions = setup.module.predictions(split.examples, split.items, outputs)
        scores = setup.module.metrics(split.examples, predictions) if split.labelled else {}
        if scores:
            results[name] = scores
        if trainer.is_global_zero:
            write_report(
                predictions,
                job.folder / "predictions",
                name,
                labels=setup.labels,
                metrics=scores,
                thresholds=by_label(setup.module.get_extra_state()),
            )
            log_evaluation(trainer, predictions, name, labels=setup.labels, metrics=scores)
            if name in setup.data.dev_splits[:1]:
                write_examples(split.examples, job.folder)
    return results
