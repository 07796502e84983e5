"""Fine-tuning: train a task model from a model folder or random weights, score it and predict."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_only

from cloze.callbacks.checkpoints import Checkpoints
from cloze.callbacks.progress import Progress
from cloze.checkpoint.saves import CheckpointStore, model_fault, read_checkpoint
from cloze.checkpoint.task_models import save_task_model
from cloze.config.schema import FineTuning as Config
from cloze.config.sections import model_folder
from cloze.config.trust import import_packages
from cloze.errors import InputError
from cloze.files.layout import BASELINE, MODEL, RESULTS
from cloze.inference.onnx_task import OnnxTask
from cloze.launch.branching import check_decay
from cloze.launch.ranks import Ranks, begin_ranks
from cloze.launch.reporting import leave_report
from cloze.launch.resuming import resumed
from cloze.launch.strategy import check_optimizer
from cloze.launch.task import TaskSetup, set_up_task
from cloze.launch.tracking import log_evaluation, tracked
from cloze.launch.trainer import accumulate, lasting, make_trainer
from cloze.model.sharding import load_whole, whole
from cloze.report.examples import write_examples
from cloze.report.results import Results, read_results, write_results
from cloze.report.split import write_report
from cloze.run.folder import CHECKPOINTS, RunFolder, warn
from cloze.run.hardware import set_up
from cloze.run.summary import task_summary
from cloze.tasks.finetuning import FineTuning, prefix
from cloze.tasks.thresholds import by_label


def finetune(config: Config) -> float | None:
    """Train, evaluate or predict as `stage` says, and write `runs/NAME/`.

    Args:
        config: the root, with the hardware as it is on this machine.

    Returns:
        The main score on the first dev set, which a search makes large; None without one.

    Raises:
        InputError: for what only the data, the model, the machine or the run's folder can show to be wrong.
    """
    import_packages(config.trust)
    check_optimizer(config.optimizer, config.hardware)
    ranks = begin_ranks(config.hardware)
    if config.stage != "train":
        results, baseline = _apply(config)
    else:
        compare = config.task.compare_random and has_weights(config)
        baseline = _train(_from_random_weights(config), ranks) if compare else None
        results = _train(config, ranks)
    other = "random weights" if config.onnx is None else "model folder"
    rank_zero_only(print)(task_summary(Path(config.folder), results, baseline, other), flush=True)
    leave_report(Path(config.folder))
    return _objective(config, results)


def _objective(config: Config, results: Results) -> float | None:
    """The score on the first dev set by which checkpoints are chosen."""
    scores = next((scores for split, scores in results.items() if split.startswith("dev")), {})
    main = getattr(config.task.module.type, "main_metric", None)
    return scores.get(main) if main is not None else next(iter(scores.values()), None)


def has_weights(config: Config) -> bool:
    """Whether it begins with a model's weights."""
    folder = model_folder(config.model)
    return folder is not None and folder.weights == "pretrained"


def _from_random_weights(config: Config) -> Config:
    folder = str(Path(config.folder) / BASELINE)
    loggers = {name: node.with_(folder=folder) for name, node in config.logger.items()}
    return config.with_(folder=folder, model=config.model.with_(weights="random"), resume="auto", logger=loggers)


def _train(config: Config, ranks: Ranks) -> Results:
    """Train, keep what was best on dev, evaluate and predict with it; a run that is finished just tells its results."""
    folder = RunFolder(Path(config.folder), config.recorded, RESULTS)
    if folder.is_finished():
        return _finished(folder.path)
    question = f"checkpoint of {config.folder}"
    checkpoint = ranks.decide(question, lambda: folder.checkpoint_to_resume(config.resume))
    check_decay(config, checkpoint)
    set_up(config.hardware, config.seed)
    setup = set_up_task(config)
    trainer = _trainer(config, setup)
    checkpoint, step = resumed(checkpoint, trainer, setup.module, setup.data, config, ranks)
    with tracked(trainer, config, setup.data.counts, resume_step=step):
        return _trained(config, setup, trainer, checkpoint)


def _trained(config: Config, setup: TaskSetup, trainer: pl.Trainer, checkpoint: Path | None) -> Results:
    trainer.fit(setup.module, datamodule=setup.data, ckpt_path=checkpoint, weights_only=True)
    _take_best(setup.module, trainer, setup.data.dev_splits)
    state = whole(setup.module.model.state_dict(), keep=trainer.is_global_zero)
    if trainer.is_global_zero:
        save_task_model(
            setup.module.model,
            setup.tokenizer,
            Path(config.folder) / MODEL,
            head=setup.module.head,
            labels=setup.labels,
            problem_type=setup.module.problem_type,
            record=setup.module.recorded(),
            state=state,
            tokenizer_files=setup.data.tokenizer_files,
        )
    results = _evaluate(config, setup, trainer)
    if trainer.is_global_zero:
        write_results(results, Path(config.folder))
        shutil.rmtree(Path(config.folder) / CHECKPOINTS, ignore_errors=True)  # the model folder holds the best of them
    return results


def _finished(folder: Path) -> Results:
    rank_zero_only(print)(f"{folder} is finished", flush=True)
    return read_results(folder)


def _apply(config: Config) -> tuple[Results, Results | None]:
    """Evaluate or predict with a fine-tuned model; again, its results are just reported.

    Returns:
        The scores; where they are those of a file for onnxruntime, those of the model itself, too.
    """
    if not has_weights(config):
        raise InputError(f"stage={config.stage} needs a fine-tuned model: give model=FOLDER")
    folder = RunFolder(Path(config.folder), config.recorded, RESULTS)
    if folder.is_finished():
        return _finished(folder.path), None
    folder.checkpoint_to_resume("never")
    set_up(config.hardware, config.seed)
    setup = set_up_task(config, freeze=config.onnx is None)
    trainer = make_trainer(config.trainer, config.hardware, [Progress()])
    if trainer.is_global_zero:
        folder.write_config()
    baseline = None
    if config.onnx is not None:
        onnx = OnnxTask(Path(config.onnx), setup.module.model)
        baseline = _evaluate(config, setup, trainer)
        setup.module.model = onnx  # type: ignore[assignment]  # which takes and gives the same
    results = _evaluate(config, setup, trainer)
    if trainer.is_global_zero:
        write_results(results, Path(config.folder))
    return results, baseline


def _trainer(config: Config, setup: TaskSetup) -> pl.Trainer:
    training = config.trainer
    callbacks: list[pl.Callback] = [setup.length, *(callback.build() for callback in config.callbacks.values())]
    best = f"{prefix(setup.data.dev_splits[0])}/{setup.module.main_metric}" if setup.data.dev_splits else None
    callbacks += lasting(config, monitor=best, higher_is_better=True)
    if training.patience is not None:
        if best is None:
            raise InputError("trainer.patience needs a dev set to look at: give task.data.dev=FILE")
        callbacks.append(EarlyStopping(best, mode="max", patience=training.patience, check_on_train_epoch_end=False))
    trainer = make_trainer(training, config.hardware, callbacks)
    every = training.validate_every or setup.data.steps(epochs=1)
    accumulate(trainer, setup.data, config.hardware.micro_batch_tokens, every)
    return trainer


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


def _best(saves: CheckpointStore, module: FineTuning[Any]) -> Path | None:
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


def _evaluate(config: Config, setup: TaskSetup, trainer: pl.Trainer) -> Results:
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
                Path(config.folder) / "predictions",
                name,
                labels=setup.labels,
                metrics=scores,
                thresholds=by_label(setup.module.get_extra_state()),
            )
            log_evaluation(trainer, predictions, name, labels=setup.labels, metrics=scores)
            if name in setup.data.dev_splits[:1]:
                write_examples(split.examples, Path(config.folder))
    return results
