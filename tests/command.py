"""The type of the fixtures `train`, `finetune`, `shell_train` and `shell_finetune`."""

import subprocess
from collections.abc import Callable

Command = Callable[..., subprocess.CompletedProcess[str]]
