"""`python train.py ... --dry-run`."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cloze.batch import TokenBatch
from cloze.callbacks.length import Length
from cloze.config.hardware import Hardware
from cloze.config.schema import Pretraining as Config
from cloze.config.sections import Training
from cloze.data.pretraining.module import PretrainingData
from cloze.data.pretraining.packing import StaticShape
from cloze.data.pretraining.plan import random_sequences
from cloze.launch.continuation import Beginning
from cloze.launch.dry_run import estimate
from cloze.launch.dry_run.estimate import Cut, Extent, Output
from cloze.launch.dry_run.placement import Placement, alone
from cloze.launch.dry_run.step import Tried, try_step
from cloze.launch.module import computed, make_module
from cloze.launch.placement import with_corpus
from cloze.launch.pretraining import begin, begun_module, check_shape, training_length, warn_of
from cloze.launch.ranks import Ranks
from cloze.launch.teacher import check_student
from cloze.model.architecture import Kernels
from cloze.model.config import EncoderConfig
from cloze.model.heads import PretrainingModel
from cloze.model.memory import activation_bytes, step_memory
from cloze.runtime.wording import counted
from cloze.tasks.pretraining import Pretraining
from cloze.tasks.teacher import Teacher
from cloze.text.manifest import MANIFEST
from cloze.text.progress import silent


class _Parts(NamedTuple):
    """What a step needs; of a corpus that is not prepared `data` has not been read."""

    data: PretrainingData
    prepared: bool
    batch: TokenBatch
    module: Pretraining[Any]
    length: Length | None


def dry_run(config: Config) -> None:
    """Try the first step, and print what the run would take and write.

    Args:
        config: the root, with the hardware as it was asked for.

    Raises:
        InputError: as the run itself would, as far as that is possible without writing.
    """
    placement, ranks = alone(config), Ranks(0, None)
    config = replace(config, hardware=placement.here)
    if (run := begin(config, ranks, claiming=False)) is None:
        print(f"dry run: {config.folder} is finished, and the same command does nothing more", flush=True)
        return
    config = with_corpus(config, run.config, run.start, ranks)
    if run.teacher is not None:
        check_student(run.teacher, config, run.start)
    for node in (*config.callbacks.values(), *config.logger.values()):
        node.build()
    parts = _parts(config, placement, run.start, run.teacher)
    accumulation = parts.data.accumulation(placement.asked.micro_batch_tokens, placement.ranks)
    cut = Cut(parts.data.stages.most_tokens, parts.batch.num_tokens, accumulation)
    tried = try_step(parts.module, parts.batch, config.trainer, config.hardware, seed=config.seed)
    estimate.print_lines(_lines(config, placement, parts, cut, tried), run.checkpoint)


def _parts(
    config: Config, placement: Placement, start: Beginning | None, teacher: Teacher[PretrainingModel] | None
) -> _Parts:
    """From the corpus where it is prepared, else with random tokens."""
    training, here, asked = config.trainer, placement.here, placement.asked
    data = config.data.build(num_workers=0, static_shapes=here.static_shapes, pin_memory=False)
    accumulation = data.accumulation(asked.micro_batch_tokens, placement.ranks)
    if (data.folder / MANIFEST).exists():
        if data.preparation is not None and start is not None:
            start.tokenizer.prepare(data.preparation, data.folder, silent)  # which then only compares
        elif data.preparation is not None:
            data.preparation.ensure(data.folder)
        data.setup()
        length: Length | None = (
            training_length(training, data) if data.caches == [None] else _stated_length(training, data)
        )
        module = begun_module(config, data, start, length or Length(steps=1), teacher)
        check_shape(module.model.config, data.stages.max_length, asked)
        if data.caches == [None]:  # a cache would be filled
            warn_of(data)
            data.training_batches = length.steps if length is not None else None
            batch = data.largest_batch(placement.ranks, accumulation)
            return _Parts(data, True, batch, module, length)
    else:
        length = _stated_length(training, data)
        shape = _shape(config, start)
        check_shape(shape, data.stages.max_length, asked)
        module = computed(make_module(config, shape, length or Length(steps=1), teacher), here)
    batch = _synthetic(data, accumulation * placement.ranks, module.model.config, here)
    return _Parts(data, False, batch, module, length)


def _stated_length(training: Training, data: PretrainingData) -> Length | None:
    """None for passes over a text that has not been read."""
    return None if training.max_epochs is not None else training_length(training, data)


def _shape(config: Config, start: Beginning | None) -> EncoderConfig:
    """With the vocabulary that the preparation would make."""
    if start is not None:
        rows = start.tokenizer.rows(start.config.vocab_size, start.tokenizer.planned)
        return replace(start.config, vocab_size=rows)
    return config.model.build(vocab_size=config.tokenizer.build().planned_size())


def _synthetic(data: PretrainingData, count: int, shape: EncoderConfig, hardware: Hardware) -> TokenBatch:
    """Random tokens in the shape of the largest micro-batch of `count`."""
    longest = data.stages.max_length
    tokens = max(longest, math.ceil(data.stages.most_tokens / count))
    if hardware.static_shapes:
        tokens = StaticShape.of(data.stages.most_tokens, longest, count).tokens
    lengths = [longest] * (tokens // longest) + [rest for rest in (tokens % longest,) if rest]
    objective = replace(data.objective, max_length=longest)
    sequences = random_sequences(sorted(lengths), objective, shape.vocab_size)
    batch: TokenBatch = objective.batch(sequences, objective.counts(sequences), None)
    return batch


def _lines(config: Config, placement: Placement, parts: _Parts, cut: Cut, tried: Tried) -> list[str]:
    data, shape, asked = parts.data, parts.module.model.config, placement.asked
    parameters = sum(parameter.numel() for parameter in parts.module.parameters())
    lengths = parts.batch.packed.cu_seqlens.diff().double()
    mean = float((lengths**2).sum() / lengths.sum())
    kernels = Kernels.of(asked.of_lightning, on_gpu=asked.on_gpu)
    checkpointing = asked.gradient_checkpointing
    tokens = int(lengths.sum())
    of_one = partial(
        step_memory,
        kernels=kernels,
        tokens=tokens,
        length=mean,
        optimizer_bytes=tried.optimizer_bytes / parameters,
        checkpointing=checkpointing,
        shards=placement.ranks if asked.strategy == "fsdp" else 1,
    )
    memory = parts.module.memory(of_one, kernels, tokens, len(parts.module.masked_labels(parts.batch)))
    encoders = (encoder.config for encoder in parts.module.model.encoders)
    per_token = sum(activation_bytes(each, kernels, mean, checkpointing=checkpointing) for each in encoders)
    extent = Extent(
        parts.length.steps if parts.length else None,
        parts.length.seconds if parts.length else None,
        data.tokens_in_epoch if parts.prepared else None,
    )
    teacher = parts.module.teacher
    chance = parts.module.chance_loss(data.objective, shape.vocab_size)
    return [
        *estimate.hardware_lines(placement),
        estimate.line("data", _told(parts)),
        estimate.line("model", f"{counted(parameters, 'parameters')}, {counted(shape.vocab_size, 'tokens')}"),
        *([] if teacher is None else [estimate.line("teacher", teacher.told())]),
        *estimate.step_lines(cut, tried, placement, _expected(chance)),
        *estimate.memory_lines(memory, tried, per_token, placement),
        *estimate.time_lines(extent, cut, tried, placement),
        *estimate.output_lines(_outputs(config, parts, parameters, tried)),
    ]


def _told(parts: _Parts) -> str:
    folder = parts.data.folder
    if parts.prepared:
        tokens = sum(info.tokens for info in parts.data.manifest.train)
        return f"{folder}: {counted(tokens, 'tokens')} of text; the step is on real ones"
    if parts.data.caches != [None]:
        return f"{folder} is elsewhere and would be copied: the step is on random tokens of the same shapes"
    return f"{folder} is not prepared yet: the step is on random tokens of the same shapes"


def _expected(chance: float | None) -> str:
    """What a model that knows nothing says; of a model to start from, a smaller number is good news."""
    return "" if chance is None else f" ({chance:.3f} for one that knows nothing)"


def _outputs(config: Config, parts: _Parts, parameters: int, tried: Tried) -> list[Output]:
    run = Path(config.folder)
    outputs = [
        Output(run, "config.yaml, metrics.csv, samples.txt, report.html", 0),
        Output(run / "model", f"the model, {estimate.size(estimate.model_bytes(parameters))}", 4 * parameters),
        estimate.saves_output(run, parameters, tried, config.checkpoint),
    ]
    if not parts.prepared and isinstance(parts.data.folder, Path):
        outputs.insert(0, Output(parts.data.folder, "the corpus, once; its size follows from the text", 0))
    if parts.data.caches != [None]:
        cache = Path(config.data.arguments.get("cache") or "data/cache")
        outputs.insert(0, Output(cache, "copies of the shards in use", 0))
    return outputs
