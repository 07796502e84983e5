"""Read a run from its folder: finished, stopped or in progress, with or without an evaluation."""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cloze.errors import InputError
from cloze.files.bounded import parse_json, parse_yaml, read_json, read_text
from cloze.files.layout import BEGINNING, BEGUN_TOKENS, CONFIG, METRICS, MODEL, RESULTS
from cloze.report.page.metrics import Metrics, read_metrics
from cloze.report.results import Results, read_results
from cloze.runtime.redaction import masked
from cloze.text.special_tokens import CONFIG as CONFIG_OF_TOKENIZER
from cloze.text.special_tokens import SPECIAL, named_tokens
from cloze.text.tokenizer import MASK

PRETRAINING, TASK = "pre-training", "fine-tuning"


class Run(NamedTuple):
    """What the folder holds.

    Attributes:
        folder: the run's.
        name: on the page.
        kind: `PRETRAINING` or `TASK`, empty where neither configuration nor metrics tell.
        config: nested, as `config.yaml` has it; empty without that file.
        origin: command, revision and versions, from the comments above the configuration.
        metrics: the curves.
        results: split -> metric -> value, of a finished fine-tuning.
        finished: whether training has come to its end.
    """

    folder: Path
    name: str
    kind: str
    config: Mapping[str, Any]
    origin: Mapping[str, str]
    metrics: Metrics
    results: Results
    finished: bool

    @property
    def task(self) -> Mapping[str, Any]:
        """The section `task`, empty for pre-training."""
        return section(self.config, "task")


def section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A nested section, empty where there is none."""
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def read_run(folder: Path, name: str) -> Run:
    """Read what is small; predictions and samples are read when they are shown.

    Raises:
        InputError: a file of the run is broken.
    """
    config, origin = _config(folder / CONFIG)
    metrics = read_metrics(folder / METRICS)
    results = read_results(folder) if (folder / RESULTS).exists() else {}
    if not _is_scores(results):
        raise InputError(f"{folder / RESULTS}: expected split -> metric -> number; run the evaluation again")
    kind = _kind(config, metrics, results)
    finished = (folder / (RESULTS if kind == TASK else f"{MODEL}/config.json")).exists()
    return Run(folder, name, kind, config, origin, metrics, results, finished)


def _config(file: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    if not file.exists():
        return {}, {}
    try:
        text = read_text(file)
        config = parse_yaml(text)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}): it should be the YAML file that training writes") from error
    if not isinstance(config, dict):
        raise InputError(f"{file}: expected keys and values, as training writes them")
    lines = (line.removeprefix("#").strip() for line in text.split("\n") if line.startswith("#"))
    pairs = (line.partition(": ") for line in lines)
    origin = {key: value for key, colon, value in pairs if colon and key in ("command", "revision", "versions")}
    return masked(config), masked(origin)  # training masks secrets, too; a page is made to be sent


def _is_scores(results: Any) -> bool:
    return isinstance(results, dict) and all(
        isinstance(split, dict) and all(isinstance(value, int | float) for value in split.values())
        for split in results.values()
    )


def _kind(config: Mapping[str, Any], metrics: Metrics, results: Results) -> str:
    if "task" in config or results:
        return TASK
    masked = any("masked_lm" in name for name in metrics.curves)
    return PRETRAINING if "objective" in config or masked else ""


def count_parameters(model: Path) -> int | None:
    """The numbers in `model.safetensors`, from its head alone; None where there is no such file.

    The head is a little-endian length and JSON (https://github.com/huggingface/safetensors, "Format").
    """
    file = model / "model.safetensors"
    try:
        with file.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            tensors: dict[str, dict[str, list[int]]] = parse_json(stream.read(size)) if size < 2**26 else {}
    except (OSError, struct.error, ValueError):
        return None
    return sum(math.prod(tensor["shape"]) for key, tensor in tensors.items() if key != "__metadata__")


def mask_token(run: Run) -> str:
    """The token for masks, as the files of the model name it, or, while it trains, those of its corpus; else BERT's."""
    data = section(run.config, "data").get("folder")
    corpus = beside_run(run, data) if isinstance(data, str) else None
    for folder in (run.folder / MODEL, *([] if corpus is None else [corpus / "tokenizer"])):
        files = [folder / name for name in (CONFIG_OF_TOKENIZER, SPECIAL)]
        try:
            named = named_tokens({file.name: file.read_bytes() for file in files if file.is_file()})
        except (OSError, ValueError, TypeError):  # of another making: a page does not stop for it
            continue
        if "mask_token" in named:
            return named["mask_token"]
    return MASK


def begun_tokens(run: Run) -> dict[str, int]:
    """How the tokens of a run began whose model had another vocabulary before; empty for any other run."""
    try:
        counts = read_json(run.folder / BEGINNING / BEGUN_TOKENS)
    except (OSError, ValueError):
        return {}
    fits = isinstance(counts, dict) and "kept" in counts and all(isinstance(value, int) for value in counts.values())
    return counts if fits else {}


def beside_run(run: Run, path: str) -> Path | None:
    """A file or folder that the configuration names relative to where the command was given; None if it is not there.

    Looked for from the present folder, and from the one that `folder` of the configuration places the run in.
    """
    return beside(run.folder, run.config, path)


def beside(folder: Path, config: Mapping[str, Any], path: str) -> Path | None:
    """The same of a run's folder and its configuration."""
    if "://" in path:
        return None
    candidates = [Path(path)]
    own, there = folder.resolve(), Path(str(config.get("folder", "")))
    if there.parts and not there.is_absolute() and own.parts[-len(there.parts) :] == there.parts:
        candidates.append(own.parents[len(there.parts) - 1] / path)
    return next((candidate for candidate in candidates if candidate.exists()), None)
