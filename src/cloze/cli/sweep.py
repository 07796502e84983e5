"""Actions at the end of a Hydra sweep, with any launcher.

Hydra makes these at the start of every command, so what they need is imported when there is something to do.
"""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SeedsSummary(Callback):
    """Prints the table of a sweep's runs, and writes it into the folder of the sweep."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from cloze.report.seeds import summarise_sweep

        print(summarise_sweep(Path(config.hydra.sweep.dir)), flush=True)


class Comparison(Callback):
    """Writes the page on which the sweep's runs lie over each other."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from cloze.launch.reporting import leave_comparison

        leave_comparison(Path(config.hydra.sweep.dir))
