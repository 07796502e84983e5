"""`python finetune.py ... --dry-run`."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cloze.batch import TaskBatch
from cloze.config.nodes import Node
from cloze.config.schema import FineTuning as Config
from cloze.config.trust import import_packages
from cloze.data.finetuning.batching import TaskLoader
from cloze.files.layout import RESULTS
from cloze.launch.branching import check_decay
from cloze.launch.dry_run import estimate
from cloze.launch.dry_run.estimate import Cut, Extent, Output
from cloze.launch.dry_run.placement import Placement, alone
from cloze.launch.dry_run.step import Tried, try_step
from cloze.launch.finetuning import has_weights
from cloze.launch.task import TaskSetup, set_up_task
from cloze.model.architecture import FP32, Kernels
from cloze.model.memory import StepMemory, activation_bytes
from cloze.run.folder import RunFolder
from cloze.run.hardware import set_up
from cloze.runtime.wording import counted


def dry_run(config: Config) -> None:
    """Try the first step on the data of the task, and print what the run would take and write.

    Args:
        config: the root, with the hardware as it was asked for.

    Raises:
        InputError: as the run itself would, as far as that is possible without writing.
    """
    placement = alone(config)
    import_packages(config.trust)
    folder = RunFolder(Path(config.folder), config.recorded, RESULTS)
    if folder.is_finished():
        print(f"dry run: {config.folder} is finished, and the same command does nothing more", flush=True)
        return
    resumed = folder.checkpoint_to_resume(config.resume, claiming=False)
    check_decay(config, resumed)
    for node in (*config.callbacks.values(), *config.logger.values()):
        node.build()
    set_up(placement.here, config.seed)
    with _without_cache(config) as without:
        setup = set_up_task(replace(without, hardware=placement.here), freeze=False)
    data = setup.data
    accumulation = data.accumulation(placement.asked.micro_batch_tokens, placement.ranks)
    loader = TaskLoader(
        data.splits["train"].items, data.batching, training_batches=1, accumulation=accumulation, ranks=placement.ranks
    )
    batch = next(iter(loader))
    tokens = data.tokens_in_epoch / max(1, data.steps(1))
    cut = Cut(round(tokens), batch.num_tokens, accumulation)
    tried = try_step(setup.module, batch, config.trainer, placement.here, seed=config.seed)
    estimate.print_lines(_lines(config, placement, setup, batch, cut, tried), resumed)


@contextmanager
def _without_cache(config: Config) -> Iterator[Config]:
    """With a folder that vanishes for what the reading of the data would leave for the next run."""
    source = Node[Any]("data.source", config.data.plain["source"])
    default = inspect.signature(source.type).parameters.get("cache")
    if default is None or Path(source.arguments.get("cache", default.default)).exists():
        yield config
        return
    with TemporaryDirectory() as folder:
        yield config.with_(data=config.data.with_(source=source.with_(cache=folder).plain))


def _lines(
    config: Config, placement: Placement, setup: TaskSetup, batch: TaskBatch, cut: Cut, tried: Tried
) -> list[str]:
    model, data, asked = setup.module.model, setup.data, placement.asked
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    kernels = Kernels.of(asked.of_lightning, on_gpu=asked.on_gpu)
    lengths = batch.packed.cu_seqlens.diff().double()
    mean = float((lengths**2).sum() / lengths.sum())
    per_token = activation_bytes(model.config, kernels, mean, checkpointing=asked.gradient_checkpointing)
    at_once = float(lengths.sum())
    if getattr(data.features, "whole_batches", False):  # which are computed in chunks
        at_once = min(at_once, asked.micro_batch_tokens)
    shards = placement.ranks if asked.strategy == "fsdp" else 1
    memory = StepMemory(
        parameters=(FP32 + kernels.compute % FP32) * parameters // shards,
        gradients=FP32 * trained // shards,
        optimizer=tried.optimizer_bytes // shards,
        activations=round(per_token * at_once),
        head=0,
    )
    examples = ", ".join(f"{name} {counts['examples']:,}" for name, counts in data.counts.items())
    extent = Extent(setup.length.steps, setup.length.seconds, data.tokens_in_epoch)
    notes = []
    if model.adaptation.is_frozen:
        notes.append("the encoder is frozen: the run computes its hidden states once, into adaptation.cache;")
        notes.append("the step was tried through the encoder, so that one of the run is faster")
    if config.task.compare_random and has_weights(config):
        notes.append("the same encoder is trained from random weights, too: twice the time and the steps")
    return [
        *estimate.hardware_lines(placement),
        estimate.line(
            "data", f"{config.task.name}: {examples}; {counted(len(setup.labels), 'labels')}; the step is on real ones"
        ),
        estimate.line("model", f"{counted(parameters, 'parameters')}, {trained:,} of them trained"),
        *(estimate.line("", note) for note in notes),
        *estimate.step_lines(cut, tried, placement, ""),
        *estimate.memory_lines(memory, tried, per_token, placement),
        *estimate.time_lines(extent, cut, tried, placement),
        *estimate.output_lines(_outputs(config, parameters, tried)),
    ]


def _outputs(config: Config, parameters: int, tried: Tried) -> list[Output]:
    weights = estimate.model_bytes(parameters)
    return [
        Output(Path(config.folder), "config.yaml, metrics.csv, results.json, predictions/, report.html", 0),
        Output(Path(config.folder) / "model", f"the best model, {estimate.size(weights)}", weights),
        estimate.saves_output(Path(config.folder), parameters, tried, config.checkpoint),
    ]
