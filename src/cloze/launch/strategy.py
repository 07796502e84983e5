"""How the processes of a run work together, as a strategy of Lightning."""

from datetime import timedelta

from lightning.pytorch.strategies import DDPStrategy, Strategy

from cloze.config.sections import Hardware


def make_strategy(hardware: Hardware) -> str | Strategy:
    """The strategy; with a limit to how long a process waits for the others."""
    if hardware.strategy == "ddp":
        return DDPStrategy(timeout=timedelta(seconds=hardware.collective_timeout))
    return hardware.strategy
