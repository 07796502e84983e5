"""Runs commands in forks of one process and tells how each ended.

    python -m tests.cli.mistakes CASES.json

The file holds a list of [command, words]; the answer is a list in the same order on standard output.
"""

import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import hydra.main
import hydra.utils  # noqa: F401 - once for all
import omegaconf  # noqa: F401

from cloze.config.arguments import conf_folder
from cloze.config.outline import outline
from cloze.config.schema import FineTuning, Pretraining

LIMIT = 60
"""Seconds that a command may take to refuse a word."""
HEAVY = ("torch", "lightning", "transformers", "datasets")


def run(command: str, words: list[str]) -> dict[str, Any]:
    """The exit status, what stderr says, the CPU seconds, and what was imported."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as answer:
        child = os.fork()
        if child == 0:
            began, status = time.process_time(), 1
            try:
                os.dup2(told.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                sys.argv = [f"cloze-{command}", *words]
                status = importlib.import_module(f"cloze.cli.{command}").main()
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            heavy = [name for name in HEAVY if name in sys.modules]
            json.dump({"status": status, "heavy": heavy, "seconds": time.process_time() - began}, answer)
            answer.flush()
            os._exit(0)
        deadline = time.monotonic() + LIMIT
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.005)
        answer.seek(0)
        told.seek(0)
        return {**json.load(answer), "error": told.read()}


if __name__ == "__main__":
    for name, schema in (("train", Pretraining), ("finetune", FineTuning)):  # what is read now, no fork reads again
        list(outline(conf_folder(), name, schema).all_entries())
    gc.freeze()  # the collector goes over none of it in each fork
    cases = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps([run(command, words) for command, words in cases]))
