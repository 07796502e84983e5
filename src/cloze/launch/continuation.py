"""`init=FOLDER`: pre-training that goes on from a model, with its shape, its weights and its tokenizer."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from tokenizers import Tokenizer
from torch import Tensor

from cloze.bounded import read_json
from cloze.checkpoint.growth import grow_positions, grow_vocabulary
from cloze.checkpoint.pretrained import read_pretrained
from cloze.config.construct import build
from cloze.config.sections import ContinuedShape, Growth, ModelFolder
from cloze.config.targets import locate
from cloze.config.validation import HYDRA_KEYS
from cloze.data.pretraining import PretrainingData
from cloze.errors import InputError
from cloze.launch.own_tokenizer import normalised, own_words, vocabulary_file
from cloze.model.config import BertConfig
from cloze.model.heads import BertForPreTraining
from cloze.text.atomic import write_atomically
from cloze.text.documents import Source
from cloze.text.journal import describe, sha256
from cloze.text.manifest import MANIFEST
from cloze.text.new_pieces import read_new_pieces, sample_lines, useful_pieces
from cloze.text.prepare import Preparation
from cloze.text.progress import ReportsProgress
from cloze.text.remote import Location
from cloze.text.tokenizer import (
    WordPiece,
    load_tokenizer,
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
        pieces: the model's, in the order of their ids.
        added: pieces from a file.
        vocab_size: to which the pieces grow by those that the corpus needs; None where they do not.
        state: parameters under our names; none for a run that goes on from its own checkpoint.
    """

    name: str
    config: BertConfig
    words: WordPiece
    pieces: list[str]
    added: list[str] = field(default_factory=list)
    vocab_size: int | None = None
    state: dict[str, Tensor] = field(default_factory=dict)

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
        with vocabulary_file(self._planned(preparation.source, progress)) as file:
            words = replace(self.words, vocab=str(file))
            replace(preparation, tokenizer=words).run(data.folder, progress)

    def _planned(self, source: Source, progress: ReportsProgress) -> list[str]:
        """The vocabulary with which the corpus shall be prepared."""
        known = [*self.pieces, *self.added]
        if self.vocab_size is None:
            return known
        progress("choosing new pieces", 0, 1)
        lines = list(sample_lines(source, self.words.sample_megabytes))
        new = useful_pieces(lines, known, self.words, self.vocab_size - len(known))
        progress("choosing new pieces", 1, 1)
        return [*known, *new]

    def place(self, preparation: Preparation, name: str) -> Path:
        """The folder of the corpus that is prepared with this tokenizer, as `Preparation.place` finds it."""
        vocabulary = {**describe(self.words), "vocab": sha256({"pieces": [*self.pieces, *self.added]})}
        return preparation.place(
            name,
            vocabulary={**vocabulary, "vocab_size": self.vocab_size},
            check_tokenizer=lambda folder: self.check(load_tokenizer(folder / "tokenizer"), folder),
        )

    def check(self, tokenizer: Tokenizer, folder: Location) -> None:
        """Refuse a corpus that another tokenizer has prepared.

        Raises:
            InputError: with what to do.
        """
        found, expected = vocabulary(tokenizer), [*self.pieces, *self.added]
        count = self.vocab_size or len(expected)
        if found[: len(expected)] != expected or len(found) != count:
            why = f"{len(found):,} pieces there, {count:,} here" if len(found) != count else "other pieces"
        elif tokenizer_sha256(tokenizer) != tokenizer_sha256(self.words.build(found)):
            why = "another treatment of capitals, accents or Chinese characters"
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
        new = vocabulary(data.tokenizer)[len(self.pieces) :]
        # Some models have more rows than pieces, which stay.
        rows = max(self.config.vocab_size, len(self.pieces) + len(new))
        model = BertForPreTraining(replace(self.config, vocab_size=rows))
        if self.state:
            state = grow_vocabulary(self.state, self.pieces, new) if new else self.state
            expected = model.state_dict()
            kept = {name: tensor for name, tensor in state.items() if name in expected}
            model.load_state_dict(kept, strict=False)
            drawn = dict.fromkeys(name.partition(".")[0] for name in expected if name not in kept)
            if new:
                _note(f"{len(new):,} new pieces, each as the mean of those it was read as: {_few(new)}")
            _note(f"goes on from {self.name}" + (f"; {', '.join(drawn)}: drawn at random" if drawn else ""))
        return model

    def save(self, run: Path, tokenizer: Tokenizer, config: BertConfig) -> None:
        """Keep in the folder of a run what it needs to go on from its own checkpoint."""
        save_tokenizer(tokenizer, run / BEGINNING)
        shape = json.dumps(dataclasses.asdict(config), indent=2) + "\n"
        write_atomically(run / BEGINNING / SHAPE, shape.encode())


def beginning(config: Mapping[str, Any], run: Path, *, resumed: bool) -> Beginning | None:
    """What a configuration says with which pre-training begins; None for random weights.

    Args:
        config: the root of `conf/train.yaml`.
        run: the folder of the run.
        resumed: whether the run goes on from its own checkpoint.

    Raises:
        InputError: the folder cannot be read, or the configuration contradicts it.
    """
    growth = Growth(**config.get("grow") or {})
    if config.get("init") is None:
        if growth != Growth():
            raise InputError("grow needs a model that grows: give init=FOLDER, or leave grow out")
        if locate(config["model"]["_target_"], "model") is ModelFolder:
            raise InputError(
                "model=FOLDER is of finetune.py: to go on with the pre-training of a model, give init=FOLDER"
            )
        build(config, "model", vocab_size=1)  # a shape that cannot be is told before the corpus is prepared
        return None
    words: WordPiece = build(config, "tokenizer")
    if resumed:
        return _from_run(run, words)
    return _from_folder(config, growth, words)


def _from_run(run: Path, words: WordPiece) -> Beginning:
    folder = run / BEGINNING
    try:
        config = BertConfig(**read_json(folder / SHAPE))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder / SHAPE} is needed to go on, but cannot be read ({error}): begin another run"
        ) from error
    tokenizer = load_tokenizer(folder)
    return Beginning(name=str(folder), config=config, words=normalised(words, tokenizer), pieces=vocabulary(tokenizer))


def _from_folder(config: Mapping[str, Any], growth: Growth, words: WordPiece) -> Beginning:
    name = config["init"]
    found = read_pretrained(name)
    shape, state, learned = _shape(config["model"], found.config, name), found.state, found.config
    words, pieces = own_words(config["tokenizer"], words, found.tokenizer, name), vocabulary(found.tokenizer)
    if growth.vocab_size is not None and growth.vocab_size <= len(pieces):
        raise InputError(f"grow.vocab_size={growth.vocab_size}: must be above the {len(pieces):,} pieces of {name}")
    added = [] if growth.vocab is None else read_new_pieces(growth.vocab, pieces, words)
    if shape.max_position_embeddings > learned.max_position_embeddings:
        state = grow_positions(state, shape.max_position_embeddings, growth.positions, shape.initializer_range)
        how = {"repeat": "copies of those", "random": "drawn at random"}[growth.positions]
        new = shape.max_position_embeddings - learned.max_position_embeddings
        _note(f"{new:,} new positions beyond {learned.max_position_embeddings}, {how}")
    return Beginning(
        name=name,
        config=shape,
        words=words,
        pieces=pieces,
        added=added,
        vocab_size=growth.vocab_size,
        state=state,
    )


def _shape(stated: Mapping[str, Any], own: BertConfig, name: str) -> BertConfig:
    """The folder's shape with what the configuration may change of it."""
    if locate(stated["_target_"], "model") not in (BertConfig, ContinuedShape):
        raise InputError(f"init={name} goes on with the shape of that model: leave model= out")
    changed = {}
    for key, value in stated.items():
        if key in HYDRA_KEYS or value == getattr(own, key):
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


@rank_zero_only
def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
