"""What a resumed run has to set right in the trainer."""

from lightning.pytorch import Trainer


def recount_micro_batches(trainer: Trainer) -> None:
    """Tell the trainer how many micro-batches it has seen, counted in those of this run.

    Lightning steps at multiples of the accumulation in its own count of micro-batches, and restores that count from
    the checkpoint, where another accumulation may have been in force.
    """
    seen = trainer.fit_loop.epoch_loop.batch_progress.current
    shift = trainer.global_step * trainer.accumulate_grad_batches - seen.ready
    for name in ("ready", "started", "processed", "completed"):
        setattr(seen, name, getattr(seen, name) + shift)
