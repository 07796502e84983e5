"""Runs commands, each in a fork, so that everything is imported once: what is asked by `tests.forks.Server`."""

import fcntl
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import cloze.data.extraction.features
import cloze.inference.features
import cloze.inference.predict
import cloze.launch.finetuning
import cloze.launch.pretraining
import cloze.retrieval.embedding
import cloze.retrieval.evaluation  # noqa: F401 - so that a fork begins at once
from cloze.cli import convert, demo, embed, features, finetune, glue, mine, predict, prepare, report, search, train
from cloze.cli.roots import SCHEMAS
from cloze.config.arguments import conf_folder
from cloze.config.validation import check
from cloze.data.pretraining.dataset import MicroBatches, Order, Windows
from cloze.data.pretraining.loader import TrainingLoader
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.plan import BatchSize
from cloze.data.pretraining.stages import Stages
from cloze.data.pretraining.walk import CorpusWalk
from cloze.report.page.page import _environment
from cloze.runtime.peak import peak_flops
from tests.data.corpora import prose, vocabulary, write_shards
from tests.forks import Answer, Request
from tests.launch import disturbed, forked, forked_ranks


def script() -> None:
    """`python -c`."""
    exec(compile(sys.argv[1], "-c", "exec"), {"__name__": "__main__"})


COMMANDS: dict[str, Callable[[], int | None]] = {
    "train.py": train.main,
    "finetune.py": finetune.main,
    "cloze-prepare": prepare.main,
    "cloze-predict": predict.main,
    "cloze-features": features.main,
    "cloze-embed": embed.main,
    "cloze-mine": mine.main,
    "cloze-search": search.main,
    "cloze-demo": demo.main,
    "cloze-convert": convert.main,
    "cloze-glue": glue.main,
    "cloze-report": report.main,
    "-c": script,
    "tests.docs.shell": lambda: importlib.import_module("tests.docs.shell").main(Path(sys.argv[1])),  # it imports this
    "tests.launch.disturbed": lambda: disturbed.main(Path(sys.argv[1])),
    "tests.launch.forked_ranks": lambda: forked_ranks.main(Path(sys.argv[1])),
    "tests.launch.forked": lambda: forked.main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]),
}

WARMING = {"train": ["corpus=text", "corpus.files=a"], "finetune": ["task=classification", "task.data.train=a"]}
"""Commands, with words for what they must be given."""


def in_fork(work: Callable[[], int | None], *, seconds: float) -> Answer:
    """Do the work in a fork, as a process of its own would; it is killed after this many seconds."""
    output, error = _pipe(), _pipe()  # no files: a limit on the size of files would be one on messages, too
    child = os.fork()
    if child == 0:
        os.setpgrp()
        be_a_program()
        for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output[1], error[1])):
            os.dup2(descriptor, number)
        status = 1
        try:
            status = work() or 0
        except SystemExit as early:
            if isinstance(early.code, str):
                print(early.code, file=sys.stderr)
            status = early.code if isinstance(early.code, int) else int(early.code is not None)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return Answer(status=forked.end(child, seconds), output=_text(output), error=_text(error))


def be_a_program() -> None:
    """In a fork: the workers that it starts import its main module, which is to be no server with all its imports."""
    sys.modules["__main__"] = ModuleType("__main__")


def _pipe() -> tuple[int, int]:
    """A pipe that takes all that a command writes."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.set_blocking(reading, False)
    return reading, writing


def _text(pipe: tuple[int, int]) -> str:
    os.close(pipe[1])
    with open(pipe[0], "rb", buffering=0) as stream:  # noqa: PTH123 - a descriptor
        found = b""
        while part := stream.read(1 << 20):
            found += part
        return found.decode(errors="replace")


def run(request: Request) -> int | None:
    """In a fork."""
    if request["cwd"] is not None:
        os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    if request["file_bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the system then says EFBIG, as it says ENOSPC
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], request["file_bytes"]))
    # Of a process that is started, Python reads this itself.
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]
    sys.argv = list(request["words"])
    return COMMANDS[Path(request["words"][0]).name]()


def warm() -> None:
    """What a first command imports late, reads in, measures and compiles, where no thread comes from it.

    pandas is taken by pyarrow with its first table; the parsers of Hydra and OmegaConf learn from what they read, and
    the check of a configuration reads the sources of some 70 modules; numba reads in what it knows of types with the
    first function, and each from its cache; the template of a run's page becomes Python. All forks have it then, and
    none of it is looked at by the garbage collector again: in each fork it would go over a million objects, whose pages
    are copied, and cost as much as the work itself.
    """
    importlib.import_module("pandas")
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        for name, words in WARMING.items():
            plain = OmegaConf.to_container(compose(name, ["++run=warm", *words]), resolve=True)
            check({str(key): value for key, value in plain.items()}, SCHEMAS[name])  # type: ignore[union-attr]
    _read_batch()
    _environment().get_template("page.html")
    if torch.get_num_threads() == 1:
        peak_flops(torch.device("cpu"), "32-true")
    gc.collect()
    gc.freeze()


def _read_batch() -> None:
    """The first batch of a little text, so that what numba has compiled for it is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        stages = Stages.of(None, MaskedLM(), BatchSize(tokens=2048))
        order = Order(
            shards=write_shards(Path(folder), prose(9, 1)), vocabulary=vocabulary(), objectives=stages.objectives,
            sizes=stages.sizes, seed=1,
        )  # fmt: skip
        data = MicroBatches(Windows(order), micro_batches=1)
        next(iter(TrainingLoader(data, walk=CorpusWalk(data.parts[0], stages.course(1), stages.own_positions))))


def serve(ready: dict[str, object]) -> None:
    """Answer until the end of standard input."""
    warm()
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        request: Request = json.loads(line)
        print(json.dumps(in_fork(lambda request=request: run(request), seconds=request["seconds"])), flush=True)  # type: ignore[misc]


if __name__ == "__main__":
    serve({})
