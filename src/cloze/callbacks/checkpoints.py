"""When a checkpoint is saved, which stay, and how a run is stopped without losing anything."""

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from torch.utils._pytree import tree_map_only

from cloze.checkpoint.saves import Saves, read_checkpoint
from cloze.errors import Stopped

STOPS = (signal.SIGTERM, signal.SIGINT)


class Checkpoints(Checkpoint):
    """Saves the whole state of training, and ends it when the process is told to end.

    A checkpoint is saved after an optimizer step: every so many steps or minutes, before each evaluation, at the end,
    and at once after SIGTERM or SIGINT. It remembers whether the evaluation of its step is still to come, which a run
    that goes on from it makes up for first.

    Args:
        saves: the folder of checkpoints.
        every_steps: optimizer steps between two of them, or None.
        every_minutes: minutes between two of them, or None.
        monitor: the metric of the evaluation by which the best one is kept, or None.
        asynchronous: write in the background; training goes on after a copy in memory.
    """

    def __init__(
        self,
        saves: Saves,
        *,
        every_steps: int | None = None,
        every_minutes: float | None = 10.0,
        monitor: str | None = None,
        asynchronous: bool = True,
    ) -> None:
        self.saves = saves
        self.every_steps = every_steps
        self.every_minutes = every_minutes
        self.monitor = monitor
        self.io = BackgroundIO(saves, asynchronous=asynchronous)
        self._step = 0  # the last optimizer step that this callback has seen
        self._saved_step = -1
        self._saved_time = time.monotonic()
        self._evaluation_due = False
        self._signal = 0
        self._handlers: dict[int, Any] = {}
        self._consensus = Consensus()

    @property
    def last_model_path(self) -> str:
        """The newest checkpoint, empty before the first."""
        complete = self.saves.complete()
        return str(self.saves.folder / complete[-1].file) if complete else ""

    def state_dict(self) -> dict[str, Any]:
        return {"evaluation_due": self._evaluation_due}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._evaluation_due = state_dict["evaluation_due"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in STOPS:  # Lightning's own handler talks to the other processes, and may wait for them for ever
            self._handlers[number] = signal.signal(number, self._told)
        self._consensus.begin(trainer)
        self._step = self._saved_step = trainer.global_step
        self._saved_time = time.monotonic()
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
        told, minutes_over = self._consensus.of(self._signal, self._minutes_over())
        if (
            told
            or minutes_over
            or self._evaluation_due
            or trainer.should_stop
            or (self.every_steps is not None and step % self.every_steps == 0)
        ):
            self._save(trainer)
        if told:
            self._stop(trainer, told)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        if self._signal and trainer.world_size == 1 and not trainer.sanity_checking:
            self._stop(trainer, self._signal)  # the checkpoint was saved before

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
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _told(self, number: int, _: FrameType | None) -> None:
        self._signal = self._signal or number

    def _minutes_over(self) -> bool:
        """Whether it is time, said once: with several processes the checkpoint comes a step later."""
        if self.every_minutes is None or time.monotonic() - self._saved_time < 60 * self.every_minutes:
            return False
        self._saved_time = time.monotonic()
        return True

    def _save(self, trainer: pl.Trainer) -> None:
        if self._saved_step != trainer.global_step:
            trainer.save_checkpoint(self.saves.folder / "step.ckpt")  # named by its step when it is written
        self._saved_step = trainer.global_step
        self._saved_time = time.monotonic()

    def _stop(self, trainer: pl.Trainer, number: int) -> None:
        self.io.wait()
        trainer.strategy.barrier()
        raise Stopped(number, f"stopped after step {trainer.global_step}; the same command goes on from there")


class BackgroundIO(CheckpointIO):
    """Writes checkpoints through `Saves`, one after the other, in a thread.

    Attributes:
        stall: seconds that training has waited for the last one.
    """

    def __init__(self, saves: Saves, *, asynchronous: bool = True) -> None:
        self.saves = saves
        self.asynchronous = asynchronous
        self.stall = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._last: Future[Any] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        began = time.monotonic()
        self.wait()  # never two copies in memory
        step = int(checkpoint["global_step"])
        if self.asynchronous:
            copied = tree_map_only(Tensor, _on_cpu, checkpoint)
            self._last = self._thread.submit(self.saves.write, copied, step)
        else:
            self.saves.write(checkpoint, step)
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
        """Lightning never does: `Saves` keeps house."""

    def teardown(self) -> None:
        self._thread.shutdown(wait=True)


class Consensus:
    """What any process was told, known to all of them at the same step, and without making a GPU wait.

    With several processes the answer is one step old: it is asked for in the background, over gloo, while the step
    after it is computed.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._asked: tuple[Tensor, Any] | None = None

    def begin(self, trainer: pl.Trainer) -> None:
        if trainer.world_size > 1:
            self._group = torch.distributed.new_group(backend="gloo")

    def of(self, number: int, flag: bool) -> tuple[int, bool]:
        """The largest number and whether any flag is set."""
        if self._group is None:
            return number, flag
        answer = self._answer()
        mine = torch.tensor([number, int(flag)])
        work = torch.distributed.all_reduce(mine, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True)
        self._asked = (mine, work)
        return answer

    def end(self) -> None:
        self._asked, self._group = None, None

    def _answer(self) -> tuple[int, bool]:
        if self._asked is None:
            return 0, False
        answer, work = self._asked
        work.wait()
        number, flag = answer.tolist()
        return number, bool(flag)


def _found(module: pl.LightningModule) -> bool:
    """Whether a module has state beside its parameters."""
    return type(module).get_extra_state is not torch.nn.Module.get_extra_state and bool(module.get_extra_state())


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
