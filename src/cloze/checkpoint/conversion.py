"""Convert any encoder to another format: Hugging Face's, Google's TensorFlow, ONNX."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor

from cloze.batch import Packed
from cloze.checkpoint.averaging import average
from cloze.checkpoint.cutting import first_layers
from cloze.checkpoint.folder import GENERATOR, Contents, head_of_parts, read_folder
from cloze.checkpoint.google import write_google
from cloze.checkpoint.onnx import (
    TOLERANCE,
    check_packages,
    difference,
    padded_model,
    random_tokens,
    rounding,
    write_onnx,
    write_quantised,
)
from cloze.checkpoint.pretrained import Pretrained, pretrained_of
from cloze.checkpoint.record import EARLIER, HEAD, RECORD, Record
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.checkpoint.training import write_model_folder
from cloze.checkpoint.writing import Model, write_folder
from cloze.errors import InputError
from cloze.files.atomic import whole_folder
from cloze.model.families.bert import BERT
from cloze.model.task_heads import TASK_MODELS
from cloze.runtime.wording import counted
from cloze.text.bert_rules import LONGEST_WORD, bert_rules, own_tokens

Format = Literal["hf", "google", "onnx"]
PASSING = ("transformers_version", "torch_dtype", "dtype", "_name_or_path", "tie_word_embeddings", "use_cache")
"""Settings of the one who wrote the folder, not of the model."""


class Conversion(NamedTuple):
    """What was read and what was written, a line each."""

    read: str
    written: str


def convert(
    source: Path | str | Sequence[str],
    to: Path,
    target: Format = "hf",
    *,
    quantize: Literal["int8"] | None = None,
    texts: Sequence[str] = (),
    layers: int | None = None,
) -> Conversion:
    """Write a model in another format, all of it or nothing.

    Args:
        source: any that ``read_folder`` takes, or a checkpoint of a training, whatever it ran on; of several ones the
            mean is written.
        to: a folder that does not exist yet.
        target: its format. Parameters are written in fp32, which loses nothing.
        quantize: the weights of ONNX as int8; what that changes of the outputs is reported.
        texts: on which that is measured; none for random tokens.
        layers: of the encoder that are kept, the first ones; None for all.

    Raises:
        InputError: ``to`` exists, the source cannot be read, its head has no place in the format or needs all layers,
            or several sources have no mean.
    """
    if target != "onnx" and (quantize or texts):
        raise InputError(f"quantize and texts are for format=onnx, but format is {target}: leave them out")
    if texts and not quantize:
        raise InputError("texts= measure what quantize=int8 changes: give it, too, or leave them out")
    if to.exists():
        raise InputError(f"to={to} exists already: give another folder, or remove it")
    if target == "onnx":
        check_packages("onnx", "onnxscript", "onnxruntime")
    if not isinstance(source, Path | str):
        return _convert_mean(source, to, target, quantize, texts, layers)
    if Path(source).suffix == ".ckpt" and Path(source).is_file():
        with TemporaryDirectory() as beside:
            folder = Path(beside) / "model"
            write_model_folder(Path(source), folder)
            done = convert(folder, to, target, quantize=quantize, texts=texts, layers=layers)
        return Conversion(done.read.replace(str(folder), str(source)), done.written)
    contents = read_folder(source)
    if layers is not None:
        contents = first_layers(contents, layers)
    pretrained = pretrained_of(contents)
    if layers is not None and pretrained.head in TASK_MODELS and pretrained.head != "embedding":
        raise InputError(f"layers={layers}: {source} is a {pretrained.kind}, whose head needs all: cut its encoder")
    names = contents.names
    kept = {name: tensor.float() for name, tensor in contents.theirs.items() if names.is_known(name)}
    if f"{names.decoder}.weight" in contents.theirs:  # not tied: without it, its bias and transform mean nothing
        head = str(names.decoder).rpartition(".")[0]
        kept = {name: tensor for name, tensor in kept.items() if not name.startswith(f"{head}.")}
    settings = _settings(contents, pretrained)
    note = ""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        if target == "hf":
            _write_hugging_face(contents, pretrained, kept, settings, to)
        elif target == "google":
            _write_google(contents, pretrained, kept, settings, to)
        else:
            note = _write_onnx(pretrained, settings, to, quantize is not None, texts)
    except (OSError, SafetensorError) as error:
        raise InputError(f"to={to} cannot be written ({error}): nothing is left there") from error
    return Conversion(_read(contents, pretrained, source), f"{_size(to)} in {to}{note}")


def _convert_mean(
    sources: Sequence[str],
    to: Path,
    target: Format,
    quantize: Literal["int8"] | None,
    texts: Sequence[str],
    layers: int | None,
) -> Conversion:
    """``convert`` of the mean of several models."""
    if not sources:
        raise InputError("from=[] names no model: give one, or several whose mean is taken")
    with TemporaryDirectory() as beside:
        folders = [Path(beside) / str(number) for number in range(len(sources))]
        for source, folder in zip(sources, folders, strict=True):
            convert(source, folder)
        mean = Path(beside) / "mean"
        average(folders, sources, mean)
        done = convert(mean, to, target, quantize=quantize, texts=texts, layers=layers)
    return Conversion(done.read.replace(str(mean), f"mean of {', '.join(sources)}"), done.written)


def _settings(contents: Contents, pretrained: Pretrained) -> dict[str, Any]:
    """What the configuration says beyond the shape, with the class that the heads are those of."""
    settings = {name: value for name, value in contents.settings.items() if name not in (*PASSING, *EARLIER)}
    if pretrained.head is None:
        settings["architectures"] = [contents.architecture.class_of(head_of_parts(pretrained.parts))]
    return settings


def _record(pretrained: Pretrained) -> dict[str, bytes]:
    """The file that says what made the model, where that is known or it is one of a task."""
    is_known = pretrained.labels is not None or pretrained.record.module.target is not None
    return {RECORD: pretrained.record.as_bytes()} if is_known else {}


def _write_hugging_face(
    contents: Contents, pretrained: Pretrained, kept: dict[str, Tensor], settings: Mapping[str, Any], to: Path
) -> None:
    if pretrained.head == "embedding":  # with the files that sentence-transformers reads
        model = task_model("embedding", pretrained, labels=[], adaptation=pretrained.adaptation)
        files, record = pretrained.tokenizer_files, pretrained.record
        save_task_model(
            model, pretrained.tokenizer, to, head="embedding", labels=[], record=record, tokenizer_files=files
        )
        return
    own = {HEAD: (contents.folder / HEAD).read_bytes()} if (contents.folder / HEAD).is_file() else {}
    own |= {**pretrained.tokenizer_files, **_record(pretrained)}
    kept = contents.names.as_in(pretrained.head, kept)
    inner = {}
    if any(name.startswith(f"{GENERATOR}.") for name in pretrained.own_heads) and contents.architecture.detects:
        generator = read_folder(contents.folder / GENERATOR)
        known = {name: tensor.float() for name, tensor in generator.theirs.items() if generator.names.is_known(name)}
        inner[GENERATOR] = Model(generator.config, known, _settings(generator, pretrained_of(generator)))
    write_folder(to, pretrained.tokenizer, contents.config, kept, settings, own, inner)


def _write_google(
    contents: Contents, pretrained: Pretrained, kept: dict[str, Tensor], settings: Mapping[str, Any], to: Path
) -> None:
    if contents.architecture is not BERT:
        title = contents.architecture.title
        raise InputError(f"{contents.folder} is a {title}, but Google's format is for BERT alone: give format=hf")
    if pretrained.record.head is not None or pretrained.own_heads:
        raise InputError(
            f"{contents.folder} has a head of its own ({RECORD}), which has no place in Google's format: give format=hf"
        )
    tokenizer = pretrained.tokenizer
    if why := _beyond_google(tokenizer):
        raise InputError(
            f"{contents.folder}: its tokenizer {why}, which Google's format has no place for, so that its code would "
            "give other ids: give format=hf"
        )
    ids = tokenizer.get_vocab(with_added_tokens=True)
    pieces = [f"[unused_id_{number}]" for number in range(max(ids.values()) + 1)]
    for piece, number in ids.items():
        pieces[number] = piece
    files = {} if pretrained.record == Record() else _record(pretrained)  # Google's format has no file for it
    write_google(to, settings, kept, pieces, lowercase=tokenizer.normalizer.lowercase, files=files)


def _beyond_google(tokenizer: Tokenizer) -> str | None:
    """What of a tokenizer google-research/bert, which has a vocabulary and lower case or not, would not do."""
    rules = bert_rules(tokenizer)
    if rules is None:
        return "has other rules than BERT's"
    if own := own_tokens(tokenizer):
        return f"has tokens of its own ({', '.join(token.content for token in own[:5])})"
    if rules["strip_accents"] not in (None, rules["do_lower_case"]):
        return f"has strip_accents={json.dumps(rules['strip_accents'])}"
    if not rules["tokenize_chinese_chars"]:
        return "has tokenize_chinese_chars=false"
    if (longest := tokenizer.model.max_input_chars_per_word) != LONGEST_WORD:
        return f"reads words of up to {counted(longest, 'characters')}"
    return None


def _write_onnx(
    pretrained: Pretrained, settings: Mapping[str, Any], to: Path, quantised: bool, texts: Sequence[str]
) -> str:
    """Write the graph, the configuration and the tokenizer; say how far onnxruntime is from our model."""
    model = padded_model(pretrained)
    with whole_folder(to) as beside:
        own = {**pretrained.tokenizer_files, **_record(pretrained)}
        write_folder(beside, pretrained.tokenizer, pretrained.config, {}, settings, own)
        if quantised:
            write_quantised(model, beside)
            batches = _batches(pretrained, texts, pair=model.choices)
            on = counted(len(texts), "texts") if texts else "random tokens"
            changed = rounding(model, beside, batches)
            return f": {', '.join(model.outputs)}; on {on} int8 {changed}"
        write_onnx(model, beside)
        apart = difference(model, beside)
        if not apart <= TOLERANCE:
            raise RuntimeError(f"onnxruntime is {apart:.1e} away from the packed model, more than {TOLERANCE:.0e}")
    return f": {', '.join(model.outputs)}; onnxruntime is at most {apart:.0e} away from the packed model"


def _batches(pretrained: Pretrained, texts: Sequence[str], *, pair: bool) -> list[Packed]:
    """The texts, cut to the positions of the model, in batches of two; random tokens where there are none."""
    most = pretrained.config.max_position_embeddings
    if not texts:
        return [random_tokens(tuple(min(most, 8 * each) for each in range(1, 9)), pretrained.config.vocab_size)]
    cutter = pretrained.tokenizer.from_str(pretrained.tokenizer.to_str())
    cutter.enable_truncation(most)
    read = cutter.encode_batch([*texts, *texts[-1:]] if pair and len(texts) % 2 else list(texts))
    return [
        Packed.of([each.ids for each in two], [each.type_ids for each in two])
        for two in (read[first : first + 2] for first in range(0, len(read), 2))
    ]


def _read(contents: Contents, pretrained: Pretrained, source: Path | str) -> str:
    tensors = contents.theirs
    kind = "TensorFlow checkpoint, " if contents.is_google else ""
    size = f"{counted(len(tensors), 'tensors')}, {_numbers(tensors)} numbers"
    line = f"{source}: {kind}{pretrained.told()}; {size}"
    if contents.skipped:
        line += f"; {counted(contents.skipped, 'variables')} of its training skipped"
    if contents.unknown:
        title, first = contents.architecture.title, contents.unknown[0]
        line += f"; {len(contents.unknown)} that are no part of a {title} left out ({first}, ...)"
    return line


def _numbers(tensors: Mapping[str, Tensor]) -> str:
    return f"{sum(tensor.numel() for tensor in tensors.values()):,}"


def _size(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    return f"{', '.join(str(file.relative_to(folder)) for file in files)} ({size / 2**20:,.1f} MiB)"
