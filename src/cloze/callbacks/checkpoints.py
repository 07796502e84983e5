"""When checkpoints are saved, which are kept, and how a run stops without losing work."""

import inspect
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from torch import Tensor
from torch.utils._pytree import tree_map_only

from cloze.callbacks.consensus import Consensus
from cloze.checkpoint.saves import CheckpointStore, read_checkpoint
from cloze.errors import TRY_AGAIN
from cloze.runtime.stopping import BEGAN, SIGNALLED, stop_request

CONFIGURATION = "configuration"
"""In a checkpoint, that of its run."""
UNKNOWN_SAVE = 10.0
"""Seconds that a checkpoint may take as long as none has been written."""
ENDING = 5.0
"""Seconds that a process takes to end."""
QUEUED_AGAIN = (TRY_AGAIN, SIGNALLED + signal.SIGUSR1)
"""SIGTERM is left out: it comes when a job is cancelled, too."""


class Checkpoints(Checkpoint):
    """Saves the whole state of training; ends it on a signal to stop, or before its time limit.

    A checkpoint is saved after an optimizer step: every few steps or minutes (`every_steps`, `every_minutes`), before
    each evaluation, at the end, and at once after SIGTERM, SIGINT or SIGUSR1. It remembers whether the evaluation of
    its step is still to come, which a resumed run makes up for first. All processes of a run stop at the same step,
    whichever of them received it.

    Args:
        saves: the folder of checkpoints.
        configuration: of the run, without secrets; a checkpoint tells it, so that a run that is resumed from it can
            tell what it changes.
        every_steps: optimizer steps between two of them, or None.
        every_minutes: minutes between two of them, or None.
        monitor: the metric of the evaluation by which the best one is kept, or None.
        asynchronous: write in the background; training continues after a copy in memory.
        stop_after: seconds after whose beginning this process must have saved and ended, or None.
        timeout: seconds to wait for the other processes.
        queue_again: called by rank zero once all is saved, when a scheduler's warning or `stop_after` ended the run.
    """

    def __init__(
        self,
        saves: CheckpointStore,
        *,
        configuration: Mapping[str, Any] | None = None,
        every_steps: int | None = None,
        every_minutes: float | None = 10.0,
        monitor: str | None = None,
        asynchronous: bool = True,
        stop_after: float | None = None,
        timeout: float = 600.0,
        queue_again: Callable[[], None] | None = None,
    ) -> None:
        self.saves = saves
        self.configuration = dict(configuration or {})
        self.every_steps = every_steps
        self.every_minutes = every_minutes
        self.monitor = monitor
        self.stop_after = stop_after
        self.queue_again = queue_again
        self.changed = False  # whether a checkpoint is loaded whose configuration decided otherwise
        self.io = BackgroundIO(saves, asynchronous=asynchronous)
        self._step = 0  # the last optimizer step that this callback has seen
        self._saved_step = -1
        self._saved_time = self._asked_time = time.monotonic()
        self._longest_step = 0.0
        self._minutes_over = False
        self._evaluation_due = False
        self._consensus = Consensus(timeout)

    @property
    def last_model_path(self) -> str:
        """The newest checkpoint, empty before the first."""
        complete = self.saves.complete()
        return str(self.saves.folder / complete[-1].file) if complete else ""

    def state_dict(self) -> dict[str, Any]:
        return {"evaluation_due": self._evaluation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._evaluation_due = state_dict["evaluation_due"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[CONFIGURATION] = self.configuration

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """What a callback was constructed with holds, where its state remembers what another one was."""
        _continue_epoch(checkpoint["loops"]["fit_loop"])
        states = checkpoint["callbacks"]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if self.changed and isinstance(callback, EarlyStopping):
                states.pop(callback.state_key, None)  # the best score so far is of something else
            state = states.get(callback.state_key, {})
            named = state.keys() & inspect.signature(type(callback)).parameters.keys() & vars(callback).keys()
            state.update((name, getattr(callback, name)) for name in named)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stop_request.note_only()
        self._consensus.begin(trainer)
        self._step = self._saved_step = trainer.global_step
        self._saved_time = self._asked_time = time.monotonic()
        if self._evaluation_due:
            evaluation = trainer.fit_loop.epoch_loop.val_loop
            evaluation.restarting = False
            trainer.validating = True
            evaluation.run()
            trainer.training = True

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        # Lightning counts the steps of its loggers apart, and by one too few after some checkpoints.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:
            return  # in the middle of an accumulation
        self._step = step = trainer.global_step
        self._evaluation_due = bool(sum(trainer.num_val_batches)) and (
            trainer.should_stop or step % (trainer.val_check_interval // trainer.accumulate_grad_batches) == 0
        )
        end = self._ask(trainer)
        if (
            end
            or self._minutes_over
            or self._evaluation_due
            or trainer.should_stop
            or (self.every_steps is not None and step % self.every_steps == 0)
        ):
            self._save(trainer)
        if end:
            self._stop(trainer, end)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if not trainer.sanity_checking and (end := self._ask(trainer)):
            self._stop(trainer, end)  # the checkpoint was saved before

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._evaluation_due or trainer.sanity_checking:
            return
        self._evaluation_due = False
        if _found(pl_module):  # by the evaluation, as a threshold: it belongs to these weights
            self._saved_step = -1
            self._save(trainer)
        score = trainer.callback_metrics.get(self.monitor or "")
        if score is not None and trainer.is_global_zero:
            self.io.score(trainer.global_step, float(score))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.io.wait()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._consensus.end()
        stop_request.raise_at_once()

    def _ask(self, trainer: pl.Trainer) -> int:
        """The exit status with which all processes must end now, or 0; notes whether it is time for a checkpoint."""
        now = time.monotonic()
        self._longest_step = max(self._longest_step, now - self._asked_time)
        self._asked_time = now
        minutes_over = self.every_minutes is not None and now - self._saved_time >= 60 * self.every_minutes
        number, save_now, time_over = self._consensus.of(stop_request.number, minutes_over, self._time_is_over(now))
        self._minutes_over = self._minutes_over or bool(save_now)
        if number:
            return SIGNALLED + number
        return TRY_AGAIN if time_over else 0

    def _time_is_over(self, now: float) -> bool:
        """Whether two more steps (with several processes the answer is a step old), and saving, could last too long."""
        if self.stop_after is None:
            return False
        save = self.io.longest or UNKNOWN_SAVE
        return now - BEGAN + 2 * self._longest_step + 2 * save + ENDING >= self.stop_after

    def _save(self, trainer: pl.Trainer) -> None:
        if self._saved_step != trainer.global_step:
            trainer.save_checkpoint(self.saves.folder / "step.ckpt")  # named by its step when it is written
        self._saved_step = trainer.global_step
        self._saved_time = time.monotonic()
        self._minutes_over = False

    def _stop(self, trainer: pl.Trainer, status: int) -> None:
        self.io.wait()
        trainer.strategy.barrier()
        stop_request.number = stop_request.number or max(
            0, status - SIGNALLED
        )  # others were signalled; all end in the same way
        if trainer.is_global_zero and self.queue_again is not None and status in QUEUED_AGAIN:
            self.queue_again()
        why = ", before checkpoint.stop_after is over" if status == TRY_AGAIN else ""
        raise stop_request.stop(
            status, f"stopped after step {trainer.global_step}{why}; the same command resumes from there"
        )


class BackgroundIO(CheckpointIO):
    """Writes checkpoints through `CheckpointStore`, one after the other, in a thread.

    Attributes:
        stall: seconds that training has waited for the last one.
        longest: seconds that it took to write one, at most so far.
    """

    def __init__(self, saves: CheckpointStore, *, asynchronous: bool = True) -> None:
        self.saves = saves
        self.asynchronous = asynchronous
        self.stall = self.longest = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._last: Future[Any] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        began = time.monotonic()
        self.wait()  # never two copies in memory
        step = int(checkpoint["global_step"])
        if self.asynchronous:
            copied = tree_map_only(Tensor, _on_cpu, checkpoint)
            self._last = self._thread.submit(self._write, copied, step)
        else:
            self._write(checkpoint, step)
        self.stall = time.monotonic() - began

    def score(self, step: int, score: float) -> None:
        """Note the score of a step, after what is being written."""
        self.wait()
        self._last = self._thread.submit(self.saves.score, step, score)

    def wait(self) -> None:
        """Until all is on disk.

        Raises:
            InputError: it could not be written.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Lightning never does: `CheckpointStore` keeps house."""

    def _write(self, checkpoint: dict[str, Any], step: int) -> None:
        began = time.monotonic()
        self.saves.write(checkpoint, step)
        self.longest = max(self.longest, time.monotonic() - began)

    def teardown(self) -> None:
        self._thread.shutdown(wait=True)


def _continue_epoch(loop: dict[str, Any]) -> None:
    """The last step of a training may be in the middle of a longer one: the epoch of Lightning's is never over."""
    loop["epoch_loop.batch_progress"]["is_last_batch"] = False
    for progress in loop["epoch_progress"].values():
        progress["processed"] = progress["completed"] = progress["ready"] - 1


def _found(module: pl.LightningModule) -> bool:
    """Whether a module has state besides its parameters."""
    return type(module).get_extra_state is not torch.nn.Module.get_extra_state and bool(module.get_extra_state())


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
