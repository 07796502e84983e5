"""The files with which sentence-transformers reads an embedding model, and those that it writes.

Written are the names and keys of version 2, which all versions up to 6 read without a warning; read are those of both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from cloze.checkpoint.record import Made, Record
from cloze.checkpoint.weights import TOKENIZER_CONFIG, WEIGHTS, damaged, read_json, read_tensors
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation, Pooling

MODULES, SETTINGS, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
PASSAGE_PROMPTS = ("document", "passage", "corpus")
"""Names of the prompt before a passage, the first of which counts."""
MOST_TOKENS = 10**6
"""What transformers writes for a tokenizer without a length is larger."""

POOLINGS: Mapping[Pooling, tuple[str, str]] = {
    "cls": ("cls", "pooling_mode_cls_token"),
    "mean": ("mean", "pooling_mode_mean_tokens"),
    "max": ("max", "pooling_mode_max_tokens"),
    "weighted_mean": ("weightedmean", "pooling_mode_weightedmean_tokens"),
    "last": ("lasttoken", "pooling_mode_lasttoken"),
}
"""The names of version 6, and the keys of earlier ones."""
SQRT = "pooling_mode_mean_sqrt_len_tokens"
ACTIVATIONS = {"identity": "torch.nn.modules.linear.Identity", "tanh": "torch.nn.modules.activation.Tanh"}


@dataclass(frozen=True, kw_only=True)
class EmbeddingFolder:
    """What a folder says of its embedding model beyond the encoder.

    Attributes:
        adaptation: the modules after the encoder.
        state: of the dense layer, under our names.
        module: arguments of `cloze.tasks.embedding.Embedding`.
        features: arguments of `cloze.data.finetuning.embedding.EmbeddingFeatures`.
    """

    adaptation: Adaptation
    state: dict[str, Tensor] = field(default_factory=dict)
    module: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """The same as `cloze.json` has it."""
        return Record(module=Made(arguments=self.module), features=Made(arguments=self.features))


def read_embedding(folder: Path, positions: int) -> EmbeddingFolder | None:
    """What sentence-transformers has written next to an encoder; None where it has not, or another kind of model.

    Args:
        folder: of the model.
        positions: that the encoder has.

    Raises:
        InputError: the model has modules that are not read, or a file is damaged.
    """
    if not (folder / MODULES).is_file():
        return None
    found = read_json(folder / MODULES, list)
    modules = {}
    for number, module in enumerate(found):
        if not isinstance(module, dict) or not all(isinstance(module.get(key), str) for key in ("type", "path")):
            raise damaged(folder / MODULES, "each module must have a type and a path")
        modules[module["type"].rpartition(".")[2]] = (number, module["path"])
    order = [name for name in ("Transformer", "Pooling", "Dense", "Normalize") if name in modules]
    if order == ["Transformer"]:
        return None
    if [*modules] != order or len(found) != len(order) or order[:2] != ["Transformer", "Pooling"]:
        names = ", ".join(module["type"].rpartition(".")[2] for module in found)
        raise InputError(
            f"{folder / MODULES}: its modules are {names}, but only Transformer, Pooling, at most one Dense, and "
            "Normalize, in this order, are read"
        )
    pooling, include_prompt = _pooling(folder / modules["Pooling"][1] / "config.json")
    dense, activation = None, None
    state: dict[str, Tensor] = {}
    if "Dense" in modules:
        dense, activation, state = _dense(folder / modules["Dense"][1])
    adaptation = Adaptation(pooling=pooling, dense=dense, dense_activation=activation, normalize="Normalize" in modules)
    return EmbeddingFolder(adaptation=adaptation, state=state, **_use(folder, positions, include_prompt))


def _pooling(file: Path) -> tuple[Pooling, bool]:
    settings = read_json(file)
    stated = settings.get("pooling_mode")
    names = [stated] if isinstance(stated, str) else stated or []
    names += [new for new, key in POOLINGS.values() if settings.get(key)] if not names else []
    if settings.get(SQRT):
        names.append("mean_sqrt_len_tokens")
    known = {new: name for name, (new, _) in POOLINGS.items()}
    if len(names) > 1 or (names and names[0] not in known):
        raise InputError(f"{file}: its pooling is {', '.join(map(str, names))}, but one of {', '.join(known)} is read")
    return (known[names[0]] if names else "mean"), settings.get("include_prompt", True) is not False


def _dense(folder: Path) -> tuple[int, Any, dict[str, Tensor]]:
    settings = read_json(folder / "config.json")
    activation = settings.get("activation_function", ACTIVATIONS["tanh"])
    name = next((name for name, path in ACTIVATIONS.items() if activation == path), None)
    if (
        name is None
        or settings.get("use_residual")
        or settings.get("module_input_name", "sentence_embedding") != ("sentence_embedding")
    ):
        raise InputError(
            f"{folder / 'config.json'}: a dense layer with {activation} is not read, only one of sentence embeddings "
            f"with {' or '.join(ACTIVATIONS.values())}, without a residual"
        )
    tensors = read_tensors(folder / WEIGHTS)
    if "linear.weight" not in tensors:
        raise InputError(f"{folder / WEIGHTS} has no linear.weight: copy the folder again")
    weight = tensors["linear.weight"].float()
    bias = tensors.get("linear.bias", weight.new_zeros(len(weight))).float()
    return len(weight), name, {"classifier.weight": weight, "classifier.bias": bias}


def _use(folder: Path, positions: int, include_prompt: bool) -> dict[str, dict[str, Any]]:
    """How texts are shown to the model, and how its vectors are compared."""
    max_length = max_length_of(folder, positions)
    said = read_json(folder / PROMPTS) if (folder / PROMPTS).is_file() else {}
    prompts = said.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise damaged(folder / PROMPTS, "prompts must be texts by their names")
    default = prompts.get(said.get("default_prompt_name"), "")
    passage = next((prompts[name] for name in PASSAGE_PROMPTS if name in prompts), default)
    similarity = said.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise InputError(f"{folder / PROMPTS}: similarity_fn_name is {similarity!r}, but only cosine and dot are read")
    features = {"max_length": max_length, "query_prompt": prompts.get("query", default), "passage_prompt": passage}
    if not include_prompt:
        features["include_prompt"] = False
    module = {"similarity": similarity}
    if (dimension := said.get("truncate_dim")) is not None:
        module["dimension"] = dimension
    return {"module": module, "features": features}


def max_length_of(folder: Path, positions: int) -> int:
    """Tokens of the longest sequence, by the settings of a folder and the positions of its encoder."""
    settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    tokens = read_json(folder / TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).is_file() else {}
    lengths = [settings.get("max_seq_length"), tokens.get("model_max_length"), positions]
    return min(int(each) for each in lengths if isinstance(each, int | float) and 0 < each < MOST_TOKENS)


def embedding_files(
    adaptation: Adaptation,
    state: Mapping[str, Tensor],
    width: int,
    record: Record,
) -> dict[str, bytes]:
    """The files next to an encoder that make it an embedding model to sentence-transformers, by their paths.

    Args:
        adaptation: of the model.
        state: of its dense layer, under our names.
        width: of the encoder's hidden states.
        record: of what made it: prompts, length, similarity.
    """
    dense = state.get("classifier.weight")
    made = {**(record.features.arguments or {}), **(record.module.arguments or {})}
    normalizes = adaptation.normalize is not False
    kinds = ["Transformer", "Pooling"] + ["Dense"] * (dense is not None) + ["Normalize"] * normalizes
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds) if number)]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    chosen = adaptation.pooling or "mean"
    pooling = {key: name == chosen for name, (_, key) in POOLINGS.items()} | {SQRT: False}
    include = made.get("include_prompt", True)
    files: dict[str, Any] = {
        MODULES: modules,
        PROMPTS: _said(made),
        "1_Pooling/config.json": {"word_embedding_dimension": width, **pooling, "include_prompt": include},
    }
    if (length := made.get("max_length")) is not None:
        files[SETTINGS] = {"max_seq_length": length, "do_lower_case": False}
    found = {
        name: (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode() for name, content in files.items()
    }
    if dense is not None:
        outputs, inputs = dense.shape
        activation = ACTIVATIONS[adaptation.dense_activation or "identity"]
        layer = {"in_features": inputs, "out_features": outputs, "bias": True, "activation_function": activation}
        found["2_Dense/config.json"] = json.dumps(layer, indent=2).encode()
        found[f"2_Dense/{WEIGHTS}"] = save({"linear.weight": dense, "linear.bias": state["classifier.bias"]})
    return found


def _said(made: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "prompts": {"query": made.get("query_prompt") or "", "document": made.get("passage_prompt") or ""},
        "default_prompt_name": None,
        "similarity_fn_name": made.get("similarity") or "cosine",
    }
    if (dimension := made.get("dimension")) is not None:
        said["truncate_dim"] = dimension
    return said
