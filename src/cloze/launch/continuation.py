"""`init=FOLDER`: pre-training that goes on from a model, with its shape, its weights and its tokenizer."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from cloze.checkpoint.growth import grow_positions, grow_tokens, grow_vocabulary, told_tokens
from cloze.checkpoint.pretrained import read_pretrained
from cloze.checkpoint.training import MODEL_TYPE
from cloze.config.nodes import Node
from cloze.config.schema import Pretraining
from cloze.config.sections import ContinuedShape, Growth, model_folder
from cloze.data.pretraining.module import PretrainingData
from cloze.errors import InputError
from cloze.files.atomic import write_atomically
from cloze.files.bounded import read_json
from cloze.files.remote import Location
from cloze.launch.own_tokenizer import check_apart, normalised, own_words
from cloze.model.architecture import architecture_of
from cloze.model.bert import BertForPreTraining
from cloze.model.config import BertConfig, EncoderConfig
from cloze.run.folder import note
from cloze.runtime.wording import counted
from cloze.text.bert_rules import own_tokens
from cloze.text.documents import Source
from cloze.text.journal import describe, sha256
from cloze.text.manifest import MANIFEST
from cloze.text.new_pieces import read_new_pieces, sample_lines, useful_pieces
from cloze.text.prepare import Preparation
from cloze.text.progress import ReportsProgress
from cloze.text.tokenizer import (
    FolderTokenizer,
    WordPiece,
    load_tokenizer,
    read_tokenizer,
    save_tokenizer,
    tokenizer_sha256,
    vocabulary,
)

BEGINNING, SHAPE = "init", "shape.json"
"""The folder of a run that keeps the shape and the tokenizer with which it began: a resumed run reads nothing else."""

FREE = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
"""What may differ from the model: how it is trained, and how what it lacks is drawn."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What continued pre-training begins with.

    Attributes:
        name: of the model, for messages.
        config: the shape, before the vocabulary grows.
        words: the normalisation of the tokenizer, and how new pieces are chosen.
        learned: the model's tokenizer, as it was trained with.
        own: it with the special tokens of `tokenizer.special_tokens`.
        added: pieces from a file.
        vocab_size: to which the pieces grow by those that the corpus needs; None where they do not.
        state: parameters under our names; none for a run that goes on from its own checkpoint.
    """

    name: str
    config: EncoderConfig
    words: WordPiece
    learned: Tokenizer
    own: FolderTokenizer
    added: list[str] = field(default_factory=list)
    vocab_size: int | None = None
    state: dict[str, Tensor] = field(default_factory=dict)

    @property
    def own_size(self) -> int:
        """How many ids the tokenizer has before it grows by pieces."""
        return int(self.own.tokenizer.get_vocab_size())

    @property
    def known(self) -> list[str]:
        """The pieces of the tokenizer and those that are added to it, in the order of their ids."""
        return [*vocabulary(self.own.tokenizer), *self.added]

    def grown(self, new: Sequence[str]) -> FolderTokenizer:
        """The tokenizer with more pieces behind its own."""
        if not new:
            return self.own
        tokenizer = self.words.build([*vocabulary(self.own.tokenizer), *new])
        tokenizer.add_tokens(own_tokens(self.own.tokenizer))
        return self.own.replaced(tokenizer)

    def prepare(self, data: PretrainingData, progress: ReportsProgress) -> None:
        """Prepare the corpus with this tokenizer, if that has not been done.

        Raises:
            InputError: it has been prepared with another one, or cannot be prepared.
        """
        preparation = data.preparation
        if preparation is None:
            return
        if (data.folder / MANIFEST).is_file():
            self.check(load_tokenizer(data.folder / "tokenizer"), data.folder)
            preparation.check(data.folder, vocabulary=False)  # where it came from does not matter
            return
        tokenizer, files = self.grown(self._planned(preparation.training_source or preparation.source, progress))
        with TemporaryDirectory() as folder:  # a preparation takes its tokenizer from files, and keeps its own
            save_tokenizer(tokenizer, folder, files)
            words = replace(self.words, vocab=folder)
            replace(preparation, tokenizer=words).run(data.folder, progress)

    def _planned(self, source: Source, progress: ReportsProgress) -> list[str]:
        """The new pieces with which the corpus shall be prepared."""
        if self.vocab_size is None:
            return self.added
        progress("choosing new pieces", 0, 1)
        lines = list(sample_lines(source, self.words.sample_megabytes))
        words = replace(self.words, special_tokens=[token.content for token in own_tokens(self.own.tokenizer)])
        new = useful_pieces(lines, self.known, words, self.vocab_size - len(self.known))
        progress("choosing new pieces", 1, 1)
        return [*self.added, *new]

    def place(self, preparation: Preparation, name: str) -> Path:
        """The folder of the corpus that is prepared with this tokenizer, as `Preparation.place` finds it."""
        content: dict[str, Any] = {"pieces": self.known}
        if own := own_tokens(self.own.tokenizer):
            content["tokens"] = list(map(repr, own))
        words = {**describe(self.words), "vocab": sha256(content), "vocab_size": self.vocab_size}
        del words["special_tokens"]  # as in earlier versions
        return preparation.place(
            name,
            vocabulary=words,
            check_tokenizer=lambda folder: self.check(load_tokenizer(folder / "tokenizer"), folder),
        )

    def check(self, tokenizer: Tokenizer, folder: Location) -> None:
        """Refuse a corpus that another tokenizer has prepared.

        Raises:
            InputError: with what to do.
        """
        found, expected = vocabulary(tokenizer), self.known
        count = self.vocab_size or len(expected)
        if found[: len(expected)] != expected or len(found) != count:
            why = f"{counted(len(found), 'pieces')} there, {count:,} here" if len(found) != count else "other pieces"
        elif tokenizer_sha256(tokenizer) != tokenizer_sha256(self.grown(found[self.own_size :]).tokenizer):
            why = "another treatment of capitals, accents or Chinese characters, or of tokens of its own"
        else:
            return
        raise InputError(
            f"{folder} was prepared with another tokenizer than that of {self.name} ({why}): give another folder as "
            "corpus.prepared=, and the corpus is prepared there with this one"
        )

    def model(self, data: PretrainingData) -> BertForPreTraining:
        """The model with these weights, grown to the vocabulary of the corpus; what it lacks is drawn and told.

        Raises:
            InputError: the corpus was prepared with another tokenizer.
        """
        self.check(data.tokenizer, data.folder)
        pieces, size = vocabulary(data.tokenizer), self.learned.get_vocab_size()
        tokens, new = pieces[size : self.own_size], pieces[self.own_size :]
        # Some models have more rows than pieces, which stay.
        rows = max(self.config.vocab_size, len(pieces))
        record = architecture_of(self.config)
        model: BertForPreTraining = record.pretraining(replace(self.config, vocab_size=rows))
        rows_of = record.vocabulary
        if self.state:
            state = grow_tokens(self.state, rows_of, self.learned, tokens) if tokens else self.state
            state = grow_vocabulary(state, rows_of, pieces[: self.own_size], new) if new else state
            expected = model.state_dict()
            kept = {name: tensor for name, tensor in state.items() if name in expected}
            model.load_state_dict(kept, strict=False)
            drawn = dict.fromkeys(name.partition(".")[0] for name in expected if name not in kept)
            if tokens:
                note(told_tokens(tokens))
            if new:
                note(f"{counted(len(new), 'new pieces')}, each as the mean of those it was read as: {_few(new)}")
            note(f"goes on from {self.name}" + (f"; {', '.join(drawn)}: drawn at random" if drawn else ""))
        return model

    def save(self, run: Path, data: PretrainingData, config: EncoderConfig) -> None:
        """Keep in the folder of a run what it needs to go on from its own checkpoint."""
        save_tokenizer(data.tokenizer, run / BEGINNING, data.tokenizer_files)
        described = {MODEL_TYPE: architecture_of(config).model_type, **dataclasses.asdict(config)}
        shape = json.dumps(described, indent=2) + "\n"
        write_atomically(run / BEGINNING / SHAPE, shape.encode())


def beginning(config: Pretraining, *, resumed: bool) -> Beginning | None:
    """What a configuration says with which pre-training begins; None for random weights.

    Args:
        config: the root.
        resumed: whether the run goes on from its own checkpoint.

    Raises:
        InputError: the folder cannot be read, or the configuration contradicts it.
    """
    if config.init is None:
        if config.grow != Growth():
            raise InputError("grow needs a model that grows: give init=FOLDER, or leave grow out")
        if model_folder(config.model) is not None:
            raise InputError(
                "model=FOLDER is of finetune.py: to go on with the pre-training of a model, give init=FOLDER"
            )
        config.model.build(vocab_size=1)  # a shape that cannot be is told before the corpus is prepared
        return None
    words = config.tokenizer.build()
    if resumed:
        return _from_run(Path(config.folder), words)
    return _from_folder(config, config.init, words)


def _from_run(run: Path, words: WordPiece) -> Beginning:
    folder = run / BEGINNING
    try:
        shape = read_json(folder / SHAPE)
        config = architecture_of(shape.pop(MODEL_TYPE, "bert")).config(**shape)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder / SHAPE} is needed to go on, but cannot be read ({error}): begin another run"
        ) from error
    own = read_tokenizer(folder)
    words = normalised(words, own.tokenizer)
    return Beginning(name=str(folder), config=config, words=words, learned=own.tokenizer, own=own)


def _from_folder(config: Pretraining, name: str, words: WordPiece) -> Beginning:
    growth = config.grow
    found = read_pretrained(name)
    shape, state, learned = _shape(config.model, found.config, name), found.state, found.config
    own = FolderTokenizer(found.tokenizer, dict(found.tokenizer_files))
    if words.special_tokens:
        own = own.with_tokens(words.special_tokens)
    words, pieces = own_words(config.tokenizer, words, found.tokenizer, name), vocabulary(own.tokenizer)
    if growth != Growth():
        check_apart(own_tokens(found.tokenizer), words, name)
    if growth.vocab_size is not None and growth.vocab_size <= len(pieces):
        raise InputError(
            f"grow.vocab_size={growth.vocab_size}: must be above the {counted(len(pieces), 'pieces')} of {name}"
        )
    added = [] if growth.vocab is None else read_new_pieces(growth.vocab, pieces, words)
    if shape.max_position_embeddings > learned.max_position_embeddings:
        learns = architecture_of(shape).positions
        state = grow_positions(state, learns, shape.max_position_embeddings, growth.positions, shape.initializer_range)
        how = {"repeat": "copies of those", "random": "drawn at random"}[growth.positions]
        new = shape.max_position_embeddings - learned.max_position_embeddings
        note(f"{new:,} new positions beyond {learned.max_position_embeddings}, {how}")
    return Beginning(
        name=name,
        config=shape,
        words=words,
        learned=found.tokenizer,
        own=own,
        added=added,
        vocab_size=growth.vocab_size,
        state=state,
    )


def _shape(stated: Node[EncoderConfig], own: EncoderConfig, name: str) -> EncoderConfig:
    """The folder's shape with what the configuration may change of it."""
    if stated.type not in (BertConfig, ContinuedShape):
        raise InputError(f"init={name} goes on with the shape of that model: leave model= out")
    changed = {}
    for key, value in stated.arguments.items():
        if value == getattr(own, key):
            continue
        if key not in (*FREE, "max_position_embeddings"):
            advice = "grow.vocab and grow.vocab_size add pieces" if key == "vocab_size" else "leave model= and it out"
            raise InputError(f"model.{key} is {value}, but {name} has {getattr(own, key)}: {advice}")
        if key == "max_position_embeddings" and value < own.max_position_embeddings:
            raise InputError(
                f"model.{key} is {value}, but {name} has {own.max_position_embeddings}: positions can only grow; "
                "for shorter sequences set objective.max_length"
            )
        changed[key] = value
    try:
        return replace(own, **changed)
    except ValueError as error:
        raise InputError(f"model: {error}") from error


def _few(words: list[str]) -> str:
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
