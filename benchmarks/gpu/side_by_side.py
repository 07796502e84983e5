"""Compiles several models at once, each in a process of its own; the table finds them in the compiler's cache."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable


def compile_side_by_side(units: Iterable[tuple[str, int, str]], options: list[str], seconds: float) -> None:
    """Make three steps of each; what does not end in time, or not well, is compiled where it is measured.

    Args:
        units: size, length and variant.
        options: of the table that decide what is compiled.
        seconds: for all together.
    """
    asked = list(units)
    threads = str(max(1, (os.cpu_count() or 1) // max(1, len(asked))))
    environment = {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": threads}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.gpu", "--kinds", "mixed", "--seconds", "0", "--output"]
        started = [
            subprocess.Popen(
                [*command, f"{folder}/{i}", "--sizes", size, "--lengths", str(length), "--variants", variant, *options],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for i, (size, length, variant) in enumerate(asked)
        ]  # fmt: skip
        deadline = time.monotonic() + seconds
        for process in started:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
