"""Predict rows of any input into an output that is complete or can be resumed."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.config.keys import nearest
from cloze.config.schema import Predicting
from cloze.config.trust import import_packages
from cloze.data.tables.formats import STANDARD_INPUT, TableFormat
from cloze.data.tables.output import check_output, is_delimited, open_output
from cloze.data.tables.row_examples import ExampleMaker, Make
from cloze.data.tables.stream import StreamRow, stream_rows
from cloze.errors import InputError
from cloze.inference.choose import TASKS, make_predictor, task_of
from cloze.inference.predictor import ROWS_AT_ONCE, Inference, Options, RowPredictor, checked_model, chunks
from cloze.runtime.spinner import waiting
from cloze.runtime.wording import counted
from cloze.text.progress import LiveCount

NOT_IN_RESULTS = ("hardware", "output")
"""Sections of the configuration that may differ when a run resumes."""


def predict(config: Predicting, texts: Sequence[str] = (), pairs: Sequence[str] = ()) -> None:
    """Predict every row of the input, and write what is said of each.

    Args:
        config: the root of `conf/predict.yaml`, resolved and checked.
        texts: in place of an input.
        pairs: the second texts to `texts`; of one text several are its choices.

    Raises:
        InputError: for what only the input, the model or the machine can show to be wrong.
    """
    path, direct = config.input or STANDARD_INPUT, bool(texts)
    layout = TableFormat(format=config.format, delimiter=config.delimiter, quoting=config.quoting, header=config.header)
    folder = _checked_folder(config, path, layout, direct=direct)
    trust = import_packages(config.trust)
    with waiting("reading the model"):
        pretrained = read_pretrained(Path(folder))
    task = config.task or task_of(pretrained)
    live = LiveCount(shown=config.output is not None or not os.isatty(1))
    inference = Inference.on(config.hardware, lambda share: live(rows=output.done + round(share * held)))
    options = Options(
        top_k=config.top_k,
        targets=config.targets or (),
        max_length=config.max_length,
        threshold=config.threshold,
        n_best=config.n_best,
        max_answer_length=config.max_answer_length,
        no_answer=config.no_answer,
    )
    predictor, make = make_predictor(task, pretrained, inference, options, trust=trust)
    rows = RowPredictor(
        maker=partial(make, ExampleMaker(config.columns)),
        predictor=predictor,
        keep=config.keep and not direct,
        flat=is_delimited(config.output),
        on_bad_row=None if direct else config.on_bad_row,
    )
    resumes = not direct and path != STANDARD_INPUT
    command = _command(config, task, path, pretrained) if resumes else None
    with open_output(config.output, predictor.fields, command, config.delimiter) as output, live:
        held = 0
        live(rows=output.done)
        if direct:
            read: Iterable[StreamRow] = _direct(texts, pairs, make)
        else:
            read = stream_rows(path, layout, skip=output.done, on_bad_row=config.on_bad_row, counts=output.counts)
        for chunk in chunks(read, _rows_at_once(path)):
            held = chunk[-1].number + 1 - output.done
            output.write(rows.predict(chunk, output.counts), chunk[-1].number + 1)
            live(rows=output.done)
    _tell({**{f"rows left out: {kind}": n for kind, n in output.counts.items()}, **predictor.counts})
    if config.output is not None:
        print(f"The predictions are in {config.output}", file=sys.stderr)


def _checked_folder(config: Predicting, path: str, layout: TableFormat, *, direct: bool) -> str:
    """The folder of the model, once everything is fine that can be checked before it is read."""
    folder = checked_model(config.hardware, config.model)
    task = config.task
    if task is not None and task not in TASKS:
        raise InputError(f"task is '{task}', but must be one of {', '.join(TASKS)}{nearest(task, TASKS)}")
    check_output(config.output)
    if direct and config.input is not None:
        raise InputError("text and input: both are given; leave one out")
    if direct or path == STANDARD_INPUT:
        return folder
    if not Path(path).is_file() and not Path(path).is_fifo():
        what = (
            "is a folder" if Path(path).is_dir() else "is no file" if Path(path).exists() else "there is no such file"
        )
        raise InputError(f"input={path}: {what}; give a file, - for standard input, or text='...'")
    layout.of(path)
    return folder


def _direct(texts: Sequence[str], pairs: Sequence[str], make: Make) -> Iterator[StreamRow]:
    """The texts of the command line as rows."""
    if make is ExampleMaker.choice and len(texts) > 1:
        raise InputError("text: multiple choice takes one text, with a text_pair=... for each choice")
    if make is not ExampleMaker.choice and pairs and len(pairs) != len(texts):
        raise InputError(f"text_pair: given {len(pairs)} times, but text {len(texts)} times; give one for each")
    for number, text in enumerate(texts):
        second: dict[str, Any] = {"text_pair": pairs[number]} if pairs else {}
        if make is ExampleMaker.choice:
            second = {"text_pair": list(pairs)}
        yield StreamRow(number, f"text={text[:40]!r}", {"text": text, **second})


def _command(config: Predicting, task: str, path: str, pretrained: Pretrained) -> dict[str, Any]:
    """What determines the results: an interrupted run resumes only where all of it is the same."""
    state, folder = Path(path).stat(), pretrained.folder
    files = sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []
    return {
        **{key: value for key, value in config.plain.items() if key not in NOT_IN_RESULTS},
        "targets": config.targets,
        "task": task,
        "input": [path, state.st_size, state.st_mtime_ns],
        "model": [str(folder), *([file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files)],
    }


def _rows_at_once(path: str) -> int:
    """One where somebody sits there and waits for the answer to each line."""
    return 1 if path == STANDARD_INPUT and sys.stdin is not None and sys.stdin.isatty() else ROWS_AT_ONCE


def _tell(notes: Mapping[str, int]) -> None:
    for what, count in sorted(notes.items()):
        print(f"note: {counted(count, what)}", file=sys.stderr)
