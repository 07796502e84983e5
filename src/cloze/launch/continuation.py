"""`init=FOLDER`: pre-training that starts from the configuration, weights and tokenizer of a model."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from cloze.checkpoint.folder import GENERATOR
from cloze.checkpoint.growth import (
    grow_positions,
    grow_tokens,
    grow_vocabulary,
    told_tokens,
    transfer_vocabulary,
)
from cloze.checkpoint.pretrained import PARTS, read_pretrained
from cloze.checkpoint.record import Record
from cloze.checkpoint.tiling import DEPTH, WIDTHS, grow_model, grown_shape
from cloze.checkpoint.training import MODEL_TYPE
from cloze.config.nodes import Node
from cloze.config.schema import Pretraining
from cloze.config.sections import ContinuedShape, Growth, model_folder
from cloze.data.pretraining.module import PretrainingData
from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.layout import BEGINNING, BEGUN_TOKENS
from cloze.model.architecture import architecture_of
from cloze.model.config import EncoderConfig
from cloze.model.encoder import EncoderWithHeads
from cloze.run.folder import note
from cloze.runtime.wording import counted
from cloze.text.another_tokenizer import AnotherTokenizer
from cloze.text.continued_tokenizer import ContinuedTokenizer
from cloze.text.tokenizer import (
    ContinuedWordPiece,
    FolderTokenizer,
    TokenizerSource,
    WordPiece,
    read_tokenizer,
    save_tokenizer,
    vocabulary,
)
from cloze.text.tokenizer_adaptation import own_settings
from cloze.text.vocabulary_transfer import origins

SHAPE = "shape.json"
"""The shape with which a run began, in the folder that also keeps its tokenizer: a resumed run reads nothing else."""

PUBLISHED = (*PARTS, "classifier")
"""Parts that any folder may have."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What continued pre-training begins with.

    Attributes:
        config: the shape, with the model's vocabulary.
        tokenizer: that of the model, with what is added to it; or another one.
        state: parameters under our names; none for a run that resumes from its own checkpoint.
        record: what made the model, as its folder tells.
        counts: of tokens by how they have begun; filled by `load`.
        kept: by the run that a checkpoint is of, as `save` keeps it; None where nothing of it is read.
    """

    config: EncoderConfig
    tokenizer: ContinuedTokenizer | AnotherTokenizer
    state: dict[str, Tensor] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    counts: dict[str, int] = field(default_factory=dict)
    kept: Path | None = None

    def shape(self, data: PretrainingData) -> EncoderConfig:
        """The shape with the vocabulary of the corpus.

        Raises:
            InputError: the corpus was prepared with another tokenizer.
        """
        self.tokenizer.check(data.tokenizer, data.folder)
        rows = self.tokenizer.rows(self.config.vocab_size, len(vocabulary(data.tokenizer)))
        return replace(self.config, vocab_size=rows)

    def load(self, model: EncoderWithHeads, data: PretrainingData, needed: Sequence[str]) -> None:
        """Give a model of this shape these weights; what they lack of the needed parts is reported as drawn."""
        if not self.state:
            return
        own = self.tokenizer
        rows_of = (*architecture_of(self.config).vocabulary, f"{GENERATOR}.masked_lm_head.decoder_bias")
        if isinstance(own, AnotherTokenizer):
            state = self._transferred(own, rows_of, data)
        else:
            state = self._grown(own, rows_of, data)
        expected = model.state_dict()
        # A head is taken as a whole or not at all.
        other = {_part(name) for name in expected if name not in state or state[name].shape != expected[name].shape}
        kept = {name: tensor for name, tensor in state.items() if name in expected and _part(name) not in other}
        model.load_state_dict(kept, strict=False)
        drawn = dict.fromkeys(_part(name) for name in expected if name not in kept and _part(name) in needed)
        left = dict.fromkeys(_part(name) for name in state if _part(name) not in {*model.parts, *PUBLISHED})
        note(
            f"starts from {own.name}"
            + (f"; {', '.join(drawn)}: drawn at random" if drawn else "")
            + (f"; {', '.join(left)}: of {self.record.module.target}, left out" if left else "")
        )

    def _grown(self, own: ContinuedTokenizer, rows_of: Sequence[str], data: PretrainingData) -> dict[str, Tensor]:
        """The state with rows for the tokens that were added."""
        pieces, size = vocabulary(data.tokenizer), own.learned.get_vocab_size()
        tokens, new = pieces[size : own.own_size], pieces[own.own_size :]
        state = grow_tokens(self.state, rows_of, own.learned, tokens) if tokens else self.state
        if new and isinstance(own.words, WordPiece):
            state = grow_vocabulary(state, rows_of, pieces[: own.own_size], new)
        elif new:
            state = grow_tokens(state, rows_of, own.own.tokenizer, [f" {word}" for word in new])
        if tokens:
            note(told_tokens(tokens))
        if new:
            note(f"{counted(len(new), 'new tokens')}, each as the mean of those it was read as: {_few(new)}")
        if tokens or new:
            self.counts.update(kept=size, mean_of_their_old_tokens=len(tokens) + len(new))
        return state

    def _transferred(self, own: AnotherTokenizer, rows_of: Sequence[str], data: PretrainingData) -> dict[str, Tensor]:
        """The state with the rows of another tokenizer."""
        found = origins(FolderTokenizer(data.tokenizer, dict(data.tokenizer_files)), own.learned)
        self.counts.update(found.counts)
        note(
            f"another vocabulary than that of {own.name}: of {counted(len(found.parts), 'tokens')} {found.kept:,} keep "
            f"their embeddings, {found.averaged:,} begin at the mean of their old tokens, {found.unread:,} at the mean "
            "of all"
        )
        known = len(vocabulary(own.learned.tokenizer))
        return transfer_vocabulary(self.state, rows_of, found.parts, known)

    def save(self, run: Path, data: PretrainingData, config: EncoderConfig) -> None:
        """Keep in the folder of a run what it needs to resume from its own checkpoint."""
        if self.kept is not None:  # of the run that this one branches from
            if self.kept != run / BEGINNING:
                shutil.copytree(self.kept, run / BEGINNING, dirs_exist_ok=True)
            return
        save_tokenizer(data.tokenizer, run / BEGINNING, data.tokenizer_files)
        described = {MODEL_TYPE: architecture_of(config).model_type, **dataclasses.asdict(config)}
        shape = json.dumps(described, indent=2) + "\n"
        write_atomically(run / BEGINNING / SHAPE, shape.encode())
        if self.counts:
            write_atomically(run / BEGINNING / BEGUN_TOKENS, f"{json.dumps(self.counts)}\n".encode())


def beginning(config: Pretraining, *, resumed: Path | None) -> Beginning | None:
    """What a configuration says with which pre-training begins; None for random weights.

    Args:
        config: the root.
        resumed: the checkpoint that the run resumes from, its own or that of another run.

    Raises:
        InputError: the folder cannot be read, or the configuration contradicts it.
    """
    if config.init is None:
        if model_folder(config.model) is not None:
            raise InputError(
                "model=FOLDER is of finetune.py: to continue the pre-training of a model, give init=FOLDER"
            )
        config.model.build(vocab_size=1)  # a shape that cannot be is reported before the corpus is prepared
        return None
    words = config.tokenizer.build()
    if resumed is not None:
        own = Path(config.folder) / BEGINNING
        return _from_run(own if own.exists() else resumed.parents[1] / BEGINNING, config.model, words)
    return _from_folder(config, config.init, words)


def _from_run(folder: Path, stated: Node[EncoderConfig], words: TokenizerSource) -> Beginning:
    try:
        shape = read_json(folder / SHAPE)
        config = architecture_of(shape.pop(MODEL_TYPE, "bert")).config_of(shape)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder / SHAPE} is needed to resume, but cannot be read ({error}): begin another run"
        ) from error
    free = architecture_of(config).free
    for key, value in stated.arguments.items():
        if key not in (*free, "vocab_size") and value != (there := getattr(config, key, None)):
            raise InputError(
                f"model.{key} is {value}, but the run that is resumed began with {there}: leave that as it was, or "
                "begin another run with init=FOLDER of its model"
            )
    config = replace(config, **{key: value for key, value in stated.arguments.items() if key in free})
    own = read_tokenizer(folder)
    settings = own_settings(words, own.tokenizer, str(folder))
    tokenizer = ContinuedTokenizer(name=str(folder), words=settings, learned=own.tokenizer, own=own)
    return Beginning(config=config, tokenizer=tokenizer, kept=folder)


def _from_folder(config: Pretraining, name: str, words: TokenizerSource) -> Beginning:
    found = read_pretrained(name)
    shape, state = _shape(config, found.config, name), {**found.state, **found.own_heads}
    state = _larger(config.grow, state, found.config, shape)
    learned = found.config.max_position_embeddings
    tokenizer = _tokenizer(config, name, words, FolderTokenizer(found.tokenizer, dict(found.tokenizer_files)))
    growth = config.grow
    record, positions = architecture_of(shape), growth.positions or "repeat"
    if growth.positions is not None and not record.positions:
        raise InputError(
            f"grow.positions={positions} is for learned positions, but {name} is a {record.title}, which computes "
            "them: leave it out"
        )
    if (more := shape.max_position_embeddings - learned) > 0:
        state = grow_positions(state, record.positions, learned + more, positions, shape.initializer_range)
        how = {"repeat": "copies of those", "random": "drawn at random"}[positions] if record.positions else "computed"
        note(f"{more:,} new positions beyond {learned}, {how}")
    return Beginning(config=shape, tokenizer=tokenizer, state=state, record=found.record)


def _tokenizer(
    config: Pretraining, name: str, words: TokenizerSource, learned: FolderTokenizer
) -> ContinuedTokenizer | AnotherTokenizer:
    growth = config.grow
    if isinstance(words, ContinuedWordPiece):
        return ContinuedTokenizer.of(
            learned,
            words,
            stated=config.tokenizer.arguments,
            name=name,
            file=growth.vocab,
            vocab_size=growth.vocab_size,
        )
    if config.stage == "evaluate":
        raise InputError(
            f"stage=evaluate takes the tokenizer of {name}, to which another one has still to be learned: leave "
            "tokenizer= out"
        )
    for key in ("vocab", "vocab_size"):
        if getattr(growth, key) is not None:
            raise InputError(
                f"grow.{key} adds tokens to the tokenizer of {name}, but tokenizer= gives it another: leave one of "
                "them out"
            )
    return AnotherTokenizer(name=name, learned=learned, planned=words.planned_size())


def _larger(growth: Growth, state: dict[str, Tensor], old: EncoderConfig, new: EncoderConfig) -> dict[str, Tensor]:
    """The state with more layers, and with wider ones."""
    if growth.layers is not None:
        note(f"{new.num_hidden_layers} layers of {old.num_hidden_layers} (grow.layers={growth.layers})")
    if growth.width is not None:
        sizes = ", ".join(f"{key} {getattr(old, key)} -> {getattr(new, key)}" for key in WIDTHS)
        note(f"{sizes} (grow.width={growth.width})")
    return grow_model(state, old, new, growth.layers, growth.width)


def _shape(config: Pretraining, own: EncoderConfig, name: str) -> EncoderConfig:
    """The folder's shape with what the configuration may change of it."""
    stated, growth, record = config.model, config.grow, architecture_of(own)
    growing = {DEPTH: growth.layers, **dict.fromkeys(WIDTHS, growth.width)}
    if stated.type not in (record.config, ContinuedShape):
        raise InputError(
            f"init={name} takes the shape of that model, a {record.title}, which {stated.target} is not of: leave "
            "model= out"
        )
    changed: dict[str, Any] = {}
    larger: dict[str, int] = {}
    for key, value in stated.arguments.items():
        there = getattr(own, key, None)
        if value == there:
            continue
        if key in growing:
            if growing[key] is None:
                how = "grow.layers=stack (or another)" if key == DEPTH else "grow.width=tile (or split)"
                raise InputError(
                    f"model.{key} is {value}, but {name} has {there}: leave model= and it out, or give {how}"
                )
            larger[key] = value
            continue
        if key not in (*record.free, *record.extended):
            advice = "grow.vocab and grow.vocab_size add tokens" if key == "vocab_size" else "leave model= and it out"
            raise InputError(f"model.{key} is {value}, but {name} has {there}: {advice}")
        if key == "max_position_embeddings" and value < own.max_position_embeddings:
            raise InputError(
                f"model.{key} is {value}, but {name} has {own.max_position_embeddings}: positions can only grow; "
                "for shorter sequences set objective.max_length"
            )
        changed[key] = value
    for key in sorted(changed.keys() & {*record.extended} - {"max_position_embeddings"}):
        note(f"model.{key} is {changed[key]} from now on; {name} has {getattr(own, key)}")
    try:
        if growth.layers is not None or growth.width is not None:
            own = grown_shape(own, larger, growth.layers, growth.width, name)
        return replace(own, **changed)
    except ValueError as error:
        raise InputError(f"model: {error}") from error


def _part(name: str) -> str:
    return name.partition(".")[0]


def _few(words: list[str]) -> str:
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
