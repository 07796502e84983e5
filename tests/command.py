"""The type of the fixtures `train` and `finetune`."""

import subprocess
from collections.abc import Callable

Command = Callable[..., subprocess.CompletedProcess[str]]
