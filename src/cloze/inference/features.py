"""Extract features from an input to a file of hidden states, and probe the layers for a label."""

import json
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from cloze.checkpoint.fingerprint import fingerprint
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.config.hardware import Hardware
from cloze.config.schema import Features
from cloze.config.sections import model_folder
from cloze.config.trust import import_packages
from cloze.data.extraction.chunks import Chunks
from cloze.data.extraction.feature_files import WrittenFeatures, feature_files
from cloze.data.extraction.feature_rows import RowTables
from cloze.data.extraction.features import (
    LONGEST_BYTES,
    PART_BYTES,
    FeatureWriter,
    Outcome,
    input_identity,
    resumable,
)
from cloze.data.extraction.options import Level, Sizes
from cloze.data.extraction.partial import PartialFeatures
from cloze.data.extraction.text_tokens import RowReader, TextEncoder
from cloze.data.extraction.vectors import Extractor, is_pooled
from cloze.data.tables.formats import STANDARD_INPUT, TableFormat
from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.model.architecture import architecture_of
from cloze.model.pooling import LayerChoice, LayerPlan
from cloze.model.task_heads import TASK_MODELS
from cloze.report.probe import probe_layers, probe_page, probe_picture
from cloze.run.hardware import check_attention, check_hardware, set_up
from cloze.runtime.spinner import waiting
from cloze.runtime.wording import counted
from cloze.text.progress import ConsoleProgress, LiveCount

PRECISIONS = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
OPTIONS = (
    "layers", "weights", "level", "dtype", "columns", "format", "delimiter", "quoting", "header", "on_bad_row",
    "max_length", "long_texts", "stride", "special_tokens", "probe",
)  # fmt: skip
"""What determines the output, besides the model, the input and the precision."""


def extract(config: Features) -> None:
    """Write the output, and the probe's report.

    Args:
        config: the root of `conf/features.yaml`, resolved and checked.

    Raises:
        InputError: for what only the input, the model, the machine or the output's place can show to be wrong.
    """
    config = _settled(config)
    import_packages(config.trust)
    hardware = config.hardware
    _check_hardware(hardware)
    output = Path(config.output)
    layout = TableFormat(format=config.format, delimiter=config.delimiter, quoting=config.quoting, header=config.header)
    if config.input != STANDARD_INPUT:
        layout.of(config.input)
    identity = input_identity(config.input)
    feature_files(PartialFeatures(output), as_folder=config.output.endswith("/"))  # reported before the model is read
    set_up(hardware)
    pretrained = _pretrained(config)
    plan = _plan(config, pretrained)
    sizes = _sizes(config, pretrained)
    asked = {
        "input": identity,
        "options": {**{name: getattr(config, name) for name in OPTIONS}, "columns": asdict(config.columns)},
        "model": fingerprint(pretrained),
        "hardware": hardware.of_results,
    }
    with resumable(output, asked) as partial:
        outcome, seconds = _write(config, layout, pretrained, plan, sizes, partial)
        print(_summary(outcome, output, seconds), file=sys.stderr)
        if config.probe is not None:
            _probe(output, plan, config.probe)


def _settled(config: Features) -> Features:
    """The configuration with what follows from other values."""
    level: Level = config.level or ("token" if config.probe is None else "mean")
    layers = config.layers if config.layers is not None else ("last" if config.probe is None else "all")
    columns = config.columns
    if config.format == "words" and columns.words is None:
        columns = replace(columns, words="words")
    if columns.words is not None and columns.text_pair is not None:
        raise InputError("columns.words and columns.text_pair: pairs are read as texts; set one of them to null")
    if level == "pooler" and layers != "last":
        if config.layers is not None:
            raise InputError(f"layers={layers}: the pooler reads the last layer only; leave layers out, or level=cls")
        layers = "last"
    if config.probe is not None and not is_pooled(level):
        raise InputError(f"level={level}: a probe needs one embedding a text; take level=mean, max, cls or pooler")
    return replace(config, level=level, layers=layers, columns=columns)


def _check_hardware(hardware: Hardware) -> None:
    check_hardware(hardware)
    if hardware.devices > 1 or hardware.num_nodes > 1:
        raise InputError("hardware.devices and num_nodes: features are computed on one device; set both to 1")
    if hardware.compile and not hardware.on_gpu:
        raise InputError("hardware.compile: on a CPU the encoder has its own fused products; set it to false")
    if hardware.precision == "fp8-mixed":
        raise InputError("hardware.precision is fp8-mixed, which is for training: take bf16-mixed")
    check_attention(0.0, hardware, key="model.attention_probs_dropout_prob")


def _pretrained(config: Features) -> Pretrained:
    folder = model_folder(config.model)
    if folder is None:
        raise InputError("model: a size has random weights; give model=FOLDER")
    if folder.weights == "random":
        raise InputError("model.weights=random: there is nothing to extract; leave it out")
    with waiting("reading the model"):
        return read_pretrained(Path(folder.folder))


def _plan(config: Features, pretrained: Pretrained) -> LayerPlan:
    assert config.layers is not None  # once settled
    choice = LayerChoice(layers=config.layers, weights=config.weights)
    of_tokens = pretrained.head in TASK_MODELS and not TASK_MODELS[pretrained.head].takes_whole_sequences
    if config.level == "pooler" and ("pooler" not in pretrained.parts or of_tokens):
        raise InputError(f"level=pooler: {pretrained.folder} has no pooler; take level=cls or mean")
    try:
        return choice.plan(pretrained.config.num_hidden_layers, pretrained.config.hidden_size)
    except ValueError as error:
        raise InputError(str(error)) from error


def _sizes(config: Features, pretrained: Pretrained) -> Sizes:
    positions = pretrained.config.max_position_embeddings
    longest = positions if config.max_length is None else config.max_length
    if longest > positions:
        raise InputError(f"max_length={longest}: must be at most {positions}, the model's positions")
    stride = config.stride
    if stride is not None and not 1 <= stride < longest:
        raise InputError(f"stride={stride}: must be at least 1 and below max_length={longest}")
    return Sizes(max_length=longest, stride=stride, long_texts=config.long_texts, special_tokens=config.special_tokens)


def _write(
    config: Features,
    layout: TableFormat,
    pretrained: Pretrained,
    plan: LayerPlan,
    sizes: Sizes,
    partial: PartialFeatures,
) -> tuple[Outcome, float]:
    level, columns = config.level, config.columns
    assert level is not None
    tables = RowTables(
        [pretrained.tokenizer.id_to_token(number) or "" for number in range(pretrained.config.vocab_size)],
        columns,
        level,
        special_tokens=sizes.special_tokens,
        labelled=config.probe is not None,
    )
    encoder = TextEncoder(tokenizer=pretrained.tokenizer, sizes=sizes, wants_places=not is_pooled(level))
    extractor = _extractor(pretrained, config.hardware, plan, sizes, level, config.dtype)
    chunks = Chunks(
        reader=RowReader(columns=columns, label=config.probe),
        encoder=encoder,
        bytes_of=extractor.bytes_of,
        most_bytes=PART_BYTES,
        longest_bytes=LONGEST_BYTES,
        on_bad_row=config.on_bad_row,
        counts=Counter(),
    )
    started = time.monotonic()
    with LiveCount() as live:
        writer = FeatureWriter(
            chunks=chunks,
            extractor=extractor,
            tables=tables,
            files=feature_files(partial, as_folder=config.output.endswith("/")),
            partial=partial,
            tell=lambda texts, tokens: live(texts=texts, tokens=tokens),
            resumes_parts=config.input != STANDARD_INPUT,
        )
        outcome = writer.write_table(config.input, layout)
    return outcome, time.monotonic() - started


def _extractor(
    pretrained: Pretrained, hardware: Hardware, plan: LayerPlan, sizes: Sizes, level: Level, dtype: str
) -> Extractor:
    device = torch.device("cuda" if hardware.on_gpu else "cpu")
    precision = PRECISIONS[hardware.precision.partition("-")[0]]
    state = pretrained.state
    with torch.device("meta"):  # nothing is drawn only to be replaced
        record = architecture_of(pretrained.config)
        encoder = record.encoder(pretrained.config)
        pooler = record.pooler(pretrained.config) if level == "pooler" and record.pooler is not None else None
    parts: list[tuple[torch.nn.Module, str]] = [(encoder, "encoder.")]
    if pooler is not None:
        parts.append((pooler, "pooler."))
    for module, prefix in parts:
        own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        module.load_state_dict(own, assign=True)
        module.to(device, precision).eval().requires_grad_(False)
    state.clear()  # the packed weights take their place
    encoder.use_kernel(hardware.attention)
    if hardware.compile:
        for block in encoder.blocks:
            block.compile(dynamic=True)
    return Extractor(
        encoder=encoder.pack(),
        pooler=pooler,
        plan=plan,
        level=level,
        sizes=sizes,
        dtype=np.dtype(dtype),
        batch_tokens=hardware.micro_batch_tokens,
    )


def _summary(outcome: Outcome, output: Path, seconds: float) -> str:
    notes = [counted(count, note) for note, count in sorted(outcome.notes.items())]
    notes += [f"{counted(count, kind)} left out" for kind, count in sorted(outcome.left_out.items())]
    lines = [f"note: {note}" for note in notes]
    before = f"; {counted(outcome.resumed, 'texts')} already there" if outcome.resumed else ""
    lines.append(
        f"{output}: {counted(outcome.texts, 'texts')}, {counted(outcome.tokens, 'tokens')} in {seconds:,.1f} s{before}"
    )
    return "\n".join(lines)


def _probe(output: Path, plan: LayerPlan, label: str) -> None:
    with ConsoleProgress() as progress:
        report = probe_layers(WrittenFeatures(output, plan.names), label, progress)
    page = probe_page(report)
    beside = output.with_name(f"{output.name}.probe")
    write_atomically(beside.with_name(f"{beside.name}.md"), (page + "\n").encode())
    content = json.dumps(report.as_dict(), indent=1, ensure_ascii=False) + "\n"
    write_atomically(beside.with_name(f"{beside.name}.json"), content.encode())
    write_atomically(beside.with_name(f"{beside.name}.png"), probe_picture(report))
    print(f"{page}\n\n{beside}.md, .json, .png")
