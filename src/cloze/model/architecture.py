"""The record that describes an architecture to cloze, found by Hugging Face's ``model_type``.

A new architecture is one file that makes a record and registers it, in ``cloze.model.families`` or in a package of the
user's own that is imported before a model is made or read.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, get_type_hints

from torch import Tensor, nn

from cloze.errors import InputError
from cloze.model.config import EncoderConfig
from cloze.model.encoder import Encoder, EncoderWithHeads
from cloze.model.settings import fitted
from cloze.model.tensor_names import TensorNames

C = TypeVar("C", bound=EncoderConfig)
Head = Literal[
    "encoder",
    "pretraining",
    "masked_lm",
    "next_sentence",
    "causal_lm",
    "sequence_classification",
    "token_classification",
    "question_answering",
    "multiple_choice",
    "embedding",
]
"""What stands on an encoder; ``encoder`` is none. Hugging Face has no class with the head ``embedding``."""
SUFFIXES: dict[Head, str] = {
    "encoder": "Model",
    "pretraining": "ForPreTraining",
    "masked_lm": "ForMaskedLM",
    "next_sentence": "ForNextSentencePrediction",
    "causal_lm": "LMHeadModel",
    "sequence_classification": "ForSequenceClassification",
    "token_classification": "ForTokenClassification",
    "question_answering": "ForQuestionAnswering",
    "multiple_choice": "ForMultipleChoice",
}
"""How Hugging Face's classes end that have a head."""


class Work(NamedTuple):
    """The size of a packed batch, as far as its cost depends on it.

    Attributes:
        tokens: N, real tokens.
        attended: for each window of the architecture the sum over sequences of the pairs of tokens that see each other,
            which attention costs; see ``attended``.
        masked: M, rows of the masked-language-model head.
        sequences: B, rows of the pooler.
    """

    tokens: int
    attended: Mapping[int | None, int]
    masked: int
    sequences: int

    @property
    def read(self) -> int:
        """Tokens whose hidden states of the last layer a loss reads: where any are masked, these and [CLS]."""
        return min(self.tokens, self.masked + self.sequences) if self.masked else self.tokens


FP32 = 4
"""Bytes of a number of the residual stream, the parameters, the gradients."""
STATISTICS = 2 * FP32
"""Of a token in a LayerNorm: its mean and the inverse of its deviation."""


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """What decides how much is kept.

    Attributes:
        compute: bytes of a number in matrix products: 2 under 16-bit autocast, 4 in fp32.
        on_gpu: whose dropout keeps a byte an element; the hashed one of a CPU keeps nothing.
        packed: a kernel of attention for packed tokens; the others besides copy what they return.
    """

    compute: int = FP32
    on_gpu: bool = False
    packed: bool = False

    @classmethod
    def of(cls, precision: str, *, on_gpu: bool) -> "Kernels":
        """Those that a precision, by Lightning's name, takes on a device."""
        half = "16" in precision
        return cls(compute=2 if half else FP32, on_gpu=on_gpu, packed=on_gpu and half)


def attended(lengths: Tensor, window: int | None) -> Tensor:
    """The pairs of tokens of each sequence that see each other, both ways and each token itself counted.

    Args:
        lengths: (B,).
        window: how far a token sees to either side, as ``|i - j| <= window``; None for all of its sequence.
    """
    reach = (lengths - 1).clip(max=window) if window is not None else lengths - 1
    return lengths * (2 * reach + 1) - reach * (reach + 1)


@dataclass(frozen=True, kw_only=True)
class Architecture(Generic[C]):
    """What cloze knows of an architecture.

    Attributes:
        model_type: Hugging Face's, in ``config.json``.
        title: what messages and model cards call it, as ``BERT``.
        classes: how Hugging Face's classes begin: ``Bert`` of ``BertModel`` and ``BertForMaskedLM``.
        heads: those that Hugging Face has a class for.
        earlier_classes: names that folders have for some of these classes, with today's.
        config: the shape, a frozen dataclass. Several records may have the same; a shape is that of the last one
            registered that computes it.
        kin: of a record of cloze's own, whose folders only cloze reads, the one whose classes in Hugging Face do not
            compute these shapes; None for any other record.
        pair_parts: the parts of a pre-training model that predict whether a text follows another.
        detects: whether Hugging Face's class with the head ``pretraining`` detects replaced tokens.
        encoder: makes one of a shape.
        pretraining: makes the encoder with its pooler and the pre-training heads.
        pooler: makes what turns hidden states into one embedding a sequence for the head of a task, whichever way the
            shape says ([CLS], the mean); None takes [CLS] as it is.
        token_head: makes what a head of tokens has between their hidden states and its classifier, (..., D) twice, from
            ``(hidden, sequences)``, too; None for nothing.
        initialise: gives a new model its random weights: a whole one, so that its modules have their names.
        names: of the tensors of a shape.
        stated: settings of ``config.json`` that the shape does not hold, with the one value that is supported; where
            they are left out, it is taken for granted.
        fixed: fields of the shape that ``config.json`` has no key for, with the one value that Hugging Face's classes
            compute; a shape with another one is not of this record.
        unwritten: fields that ``config.json`` has no key for and that change nothing there, or that ``besides`` writes.
        renamed: fields of the shape that ``config.json`` has under another name.
        present: the settings of ``config.json`` in the present keys, from those of any version.
        besides: more keys for ``config.json``, which other versions read, or in place of the shape's.
        special_ids: keys of ``config.json`` that hold the id of a special token, with its role. They are written, and
            never read: ids come from the tokenizer.
        free: fields of the shape that say how a model is trained, not which it is: they may differ in one that starts
            from its weights.
        extended: fields that may differ in one that starts from its weights since they say how far it reaches.
        vocabulary: the parameters with a row for each token.
        positions: the parameters with a row for each position; none where positions are not learned.
        windows: how far attention sees, as ``attended`` has it, and how many blocks do so.
        forward_flops: floating-point operations of the forward pass, matrix products only.
        activation_bytes: bytes that the encoder keeps for the backward pass, for a token of a sequence of a length;
            with gradient checkpointing where the last argument is true.
        unread_bytes: of these, bytes that the last block keeps only for tokens whose hidden states the pre-training
            heads read (``Block.takes_rows``), for a token of a sequence of a length.
        head_bytes: bytes that the pre-training heads keep of M masked tokens and B sequences.
    """

    model_type: str
    title: str
    classes: str
    heads: tuple[Head, ...] = tuple(SUFFIXES)
    earlier_classes: Mapping[str, str] = field(default_factory=dict)
    config: type[C]
    kin: "Architecture[C] | None" = None
    pair_parts: tuple[str, ...] = ("pooler", "next_sentence_head")
    detects: bool = False
    encoder: Callable[[C], Encoder]
    pretraining: Callable[[C], EncoderWithHeads]
    pooler: Callable[[C], nn.Module] | None
    token_head: Callable[[C], nn.Module] | None = None
    initialise: Callable[[nn.Module, C], None]
    names: Callable[[C], TensorNames]
    stated: Mapping[str, Any] = field(default_factory=dict)
    fixed: Callable[[C], Mapping[str, Any]] = lambda _: {}
    unwritten: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    present: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    besides: Callable[[C], Mapping[str, Any]] = lambda _: {}
    special_ids: Mapping[str, str] = field(default_factory=lambda: {"pad_token_id": "pad"})
    free: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
    extended: tuple[str, ...] = ("max_position_embeddings",)
    vocabulary: tuple[str, ...]
    positions: tuple[str, ...]
    windows: Callable[[C], Mapping[int | None, int]] = lambda config: {None: config.num_hidden_layers}
    forward_flops: Callable[[C, Work], int]
    activation_bytes: Callable[[C, Kernels, float, bool], float]
    unread_bytes: Callable[[C, Kernels, float], float] = lambda *_: 0.0
    head_bytes: Callable[[C, Kernels, int, int], int]

    def read_config(self, settings: Mapping[str, Any], file: Path) -> C:
        """The shape that a ``config.json`` describes.

        Raises:
            InputError: it describes none, or one that is not supported.
        """
        try:
            settings = self.present(settings)
        except ValueError as error:
            raise InputError(f"{file}: {error}") from error
        for key, value in self.stated.items():
            if (given := settings.get(key, value)) != value:
                raise InputError(f"{file}: {key} is {given!r}, but only {value!r} is read")
        if "vocab_size" not in settings:
            raise InputError(
                f"{file} describes no encoder: it has no vocab_size; put the config.json of a {self.title} there"
            )
        keys = {each.name: self.renamed.get(each.name, each.name) for each in fields(self.config)}
        try:
            return self.config_of({name: settings[key] for name, key in keys.items() if key in settings})
        except (TypeError, ValueError) as error:
            raise InputError(f"{file} describes no encoder: {error}") from error

    def config_of(self, shape: Mapping[str, Any]) -> C:
        """The shape from plain values by the names of its fields, as JSON and checkpoints keep them.

        Raises:
            ValueError: no encoder can have it, or a value is of another type than its field.
            TypeError: a field is missing, or there is none of a name.
        """
        kinds, values = get_type_hints(self.config), {}
        for name, value in shape.items():
            try:
                values[name] = fitted(value, kinds.get(name, Any))
            except ValueError as error:
                key = self.renamed.get(name, name)
                raise ValueError(f"{key} is {value!r:.60}, but must be {error}") from None
        return self.config(**values)

    @property
    def own_parts(self) -> tuple[str, ...]:
        """The parts of a pre-training model that no class of Hugging Face's has; they are in ``head.safetensors``."""
        return () if "pretraining" in self.heads and not self.detects else self.pair_parts

    def beyond(self, config: C) -> dict[str, Any]:
        """What a shape of this config class has that Hugging Face's classes do not compute."""
        return {name: there for name, value in self.fixed(config).items() if (there := getattr(config, name)) != value}

    def write_config(self, config: C) -> dict[str, Any]:
        """The settings of ``config.json`` that say the shape."""
        left_out = {*self.fixed(config), *self.unwritten}
        shape = {
            self.renamed.get(name, name): value
            for name, value in asdict(config).items()
            if name not in left_out and value is not None  # transformers takes no null for a number
        }
        return {"model_type": self.model_type, **self.stated, **shape, **self.besides(config)}

    def class_of(self, head: Head) -> str:
        """Hugging Face's class with a head, as ``BertForMaskedLM``.

        Raises:
            InputError: there is none.
        """
        if head not in self.heads:
            raise InputError(
                f"Hugging Face has no {self.classes}{SUFFIXES[head]}, so that a {self.title} cannot be saved with the "
                f"heads of {head}: it has {', '.join(map(self.class_of, self.heads))}"
            )
        return self.classes + SUFFIXES[head]

    def head_of(self, name: str) -> Head | None:
        """The head of Hugging Face's class of this architecture; None for any other name."""
        name = self.earlier_classes.get(name, name)
        return next((head for head in self.heads if name == self.classes + SUFFIXES[head]), None)


_RECORDS: dict[str, Architecture[Any]] = {}


def register(record: Architecture[C]) -> Architecture[C]:
    """Make an architecture known, in the place of one of the same ``model_type``; returns the record."""
    _RECORDS[record.model_type] = record
    return record


def architectures() -> Mapping[str, Architecture[Any]]:
    """All that are known, by ``model_type``."""
    import cloze.model.families  # noqa: F401 # which registers those of cloze; here since it imports this module

    return _RECORDS


def stated_architecture(settings: Mapping[str, Any], file: Path) -> Architecture[Any]:
    """The architecture that a ``config.json`` names.

    Raises:
        InputError: none is known of that name.
    """
    named = settings.get("architectures") or [""]
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise InputError(f"{file}: architectures is {named!r}, but must be a list of names, as ['BertModel']")
    known = architectures()
    # Older folders name the class alone, or not even that.
    stated = [record.model_type for record in known.values() if named[0].startswith(record.classes)]
    model_type = settings.get("model_type", stated[0] if stated else "bert" if not named[0] else None)
    record = known.get(model_type) if isinstance(model_type, str) else None
    if record is None:
        *others, last = (name for name, record in known.items() if record.kin is None)
        raise InputError(f"{file}: model_type is {model_type!r}, but only {', '.join(others)} and {last} are read")
    return record


def architecture_of(of: str | EncoderConfig | nn.Module) -> Architecture[Any]:
    """The record of a ``model_type``, of a shape, or of a model by its ``config``.

    Raises:
        LookupError: none is registered.
    """
    known = architectures()
    if isinstance(of, str):
        return known[of]
    config = getattr(of, "config", of)
    records: list[Architecture[Any]] = [
        record
        for kind in type(config).__mro__
        for record in reversed([*known.values()])
        if record.config is kind and not record.beyond(config)
    ]
    if not records:
        raise LookupError(type(config))
    return records[0]
