"""The estimate of a whole run, as lines of text."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cloze.config.sections import Checkpointing
from cloze.launch.dry_run.placement import Placement
from cloze.launch.dry_run.step import Tried
from cloze.model.architecture import FP32
from cloze.model.memory import StepMemory
from cloze.runtime.shell import fitted
from cloze.runtime.wording import counted, duration

NAME = 12  # characters


class Cut(NamedTuple):
    """How a global batch is split.

    Attributes:
        tokens: of a global batch, at most.
        micro_tokens: of the micro-batch that was tried.
        accumulation: micro-batches of each process in an optimizer step.
    """

    tokens: int
    micro_tokens: int
    accumulation: int


class Extent(NamedTuple):
    """How long training is.

    Attributes:
        steps: optimizer steps, where they are known.
        seconds: or the time it is given.
        tokens_in_epoch: of the text, where it is known.
    """

    steps: int | None
    seconds: float | None
    tokens_in_epoch: float | None


class Output(NamedTuple):
    """Files that a run would leave.

    Attributes:
        place: where.
        what: they are.
        size: bytes, as far as it is known.
    """

    place: Path
    what: str
    size: int


def print_lines(lines: Sequence[str], checkpoint: Path | None) -> None:
    """Print the estimate.

    Args:
        lines: of it.
        checkpoint: from which the run would resume.
    """
    resumed = (
        [] if checkpoint is None else [line("resumes", f"from {checkpoint}; all figures are those of the whole run")]
    )
    print("\n".join(["dry run: nothing is written", *resumed, *lines]), flush=True)


def line(name: str, text: str) -> str:
    """A line, or the next one of the same name where the name is empty."""
    return fitted(f"{name:<{NAME}}{text}", NAME)


def hardware_lines(placement: Placement) -> list[str]:
    """Where the run would be, and where the step was tried."""
    asked = placement.asked
    processes = f"{placement.ranks} processes ({asked.strategy})" if placement.ranks > 1 else "one process"
    extras = ", compiled" if asked.compile else ""
    extras += ", activations checkpointed" if asked.gradient_checkpointing else ""
    head = line("hardware", f"{asked.accelerator}, {asked.precision}, {processes}{extras}")
    return [head, *(line("", note) for note in placement.notes)]


def step_lines(cut: Cut, tried: Tried, placement: Placement, expected: str) -> list[str]:
    """The step that was tried."""
    micro = f"{cut.accumulation} micro-batch{'es' if cut.accumulation > 1 else ''}"
    of_each = f" for each of {placement.ranks} processes" if placement.ranks > 1 else ""
    return [
        line("a step", f"at most {counted(cut.tokens, 'tokens')}, in {micro}{of_each}"),
        line("", f"tried: {counted(cut.micro_tokens, 'tokens')}, loss {tried.loss:.3f}{expected}"),
    ]


def memory_lines(memory: StepMemory, tried: Tried, per_token: float, placement: Placement) -> list[str]:
    """The formula next to what was measured."""
    parts = ", ".join(f"{name} {size(count)}" for name, count in zip(memory._fields, memory, strict=True))
    measured = "the most on the GPU" if placement.here.on_gpu else "this process at its most, libraries included"
    lines = [
        line("memory", f"{size(memory.total)} on each device by formula: {parts}"),
        line("", f"activations: {size(per_token)} a token of a micro-batch"),
    ]
    if placement.same_device:
        lines.append(line("", f"measured: {size(tried.peak_bytes)}, {measured}"))
    return lines


def time_lines(extent: Extent, cut: Cut, tried: Tried, placement: Placement) -> list[str]:
    """Seconds of a step and of all steps, and the tokens they see."""
    seconds = cut.accumulation * tried.compute + tried.update
    steps = extent.steps
    if steps is None and extent.seconds is not None and placement.same_device:
        steps = max(1, round(extent.seconds / seconds))
    lines = []
    if placement.same_device:
        told = f"{seconds:.3g} s a step after the first ({tried.first:.3g} s)"
        if extent.seconds is not None:
            told += f": about {steps:,} steps in {duration(extent.seconds)}, as trainer.max_time sets"
        elif steps is not None:
            told += f": {counted(steps, 'steps')} in about {duration(steps * seconds)}"
        lines.append(line("time", told))
        rest = "evaluations, checkpoints" + (", and what the processes send each other" if placement.ranks > 1 else "")
        lines.append(line("", f"besides: preparation of the data, {rest}"))
    if steps is None:
        return [
            *lines,
            line("tokens", "unknown until the corpus is prepared: trainer.max_epochs counts its passes"),
        ]
    tokens = steps * cut.tokens
    passes = f", {tokens / extent.tokens_in_epoch:.3g} passes over the text" if extent.tokens_in_epoch else ""
    return [*lines, line("tokens", f"at most {tokens:,} in {counted(steps, 'steps')}{passes}")]


def model_bytes(parameters: int) -> int:
    """Of a model folder's weights, in fp32."""
    return FP32 * parameters


def saves_output(run: Path, parameters: int, tried: Tried, section: Checkpointing) -> Output:
    """The checkpoints of a run at its end, the best one besides the newest."""
    count = section.keep_last + 1
    each = model_bytes(parameters) + tried.optimizer_bytes
    return Output(run / "checkpoints", f"at most {count} of {size(each)}", count * each)


def output_lines(outputs: Sequence[Output]) -> list[str]:
    """Where files would be written, and whether there is room for them."""
    lines = []
    for number, output in enumerate(outputs):
        lines.append(line("" if number else "writes", f"{output.place}  {output.what}"))
    for place, needed in _by_disk(outputs):
        free = shutil.disk_usage(place).free
        short = "; THERE IS NO ROOM: make some, or choose another folder=" if needed > free else ""
        lines.append(line("", f"{size(needed)} in all, {size(free)} free{short}"))
    return lines


def _by_disk(outputs: Iterable[Output]) -> list[tuple[Path, int]]:
    """For each file system a folder that exists there, and what would be written into it."""
    found: dict[int, tuple[Path, int]] = {}
    for output in outputs:
        whole = output.place.absolute()
        place = next(parent for parent in (whole, *whole.parents) if parent.exists())
        disk = place.stat().st_dev
        found[disk] = (place, found.get(disk, (place, 0))[1] + output.size)
    return list(found.values())


def size(count: float) -> str:
    """Bytes for a reader, in powers of 1,000 as disks have them.

    >>> size(29_184), size(1.5e9)
    ('29.2 kB', '1.50 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}" if count / scale >= 10 else f"{count / scale:.2f} {unit}"
    return f"{count:.0f} bytes"
