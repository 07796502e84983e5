"""The model of the demo, shared by all visitors."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from cloze.batch import Packed
from cloze.checkpoint.pretrained import Pretrained
from cloze.data.extraction.options import Sizes
from cloze.data.extraction.text_tokens import RowText, TextEncoder
from cloze.data.extraction.vectors import Extractor
from cloze.data.long_texts import kept
from cloze.data.tables.columns import Columns
from cloze.data.tables.examples import Prediction
from cloze.data.tables.row_examples import ExampleMaker, Make
from cloze.data.tables.stream import StreamRow
from cloze.errors import InputError
from cloze.inference.choose import FILL_MASK, FINE_TUNED, TASKS, make_predictor
from cloze.inference.embedder import Embedder
from cloze.inference.predictor import Chosen, Inference, Options
from cloze.model.architecture import architecture_of
from cloze.model.encoder import Encoder
from cloze.model.pooling import LayerChoice
from cloze.report.examples import RunExamples, read_examples
from cloze.retrieval.index import Hit, Index
from cloze.tasks.embedding_batches import unit
from cloze.text.special_tokens import sequence_ends, unknown_token
from cloze.text.word_boundaries import Spelling, shown

SEARCH = "search"

MOST_DRAWN = 96
"""Pieces of a text whose attention is drawn: more columns could not be read."""

AT_ONCE = 64
"""Sentences that are read while others wait."""

MOST_REMEMBERED = 50_000
"""Embeddings of sentences that are kept, some 150 MB at the width of BERT-base."""


class Answer(NamedTuple):
    """What a predictor says of one example, and notes on what had to be done to it."""

    prediction: Prediction
    notes: tuple[str, ...]


class Near(NamedTuple):
    """The texts that are nearest to a query, best first, and notes on what had to be done to it."""

    hits: list[Hit]
    notes: tuple[str, ...]


class Attention(NamedTuple):
    """Of one text: its T tokens, the segment of each, (T, T) for every head of every layer, and notes."""

    pieces: list[str]
    segments: list[int]
    maps: list[np.ndarray]
    notes: tuple[str, ...]


class Reader:
    """A model with everything it can do; a lock lets one thread at a time use it.

    Args:
        pretrained: the folder that was read.
        inference: how it is applied.
        top_k: predictions for each mask, texts for each query.
        index: in whose texts to search.
        trust: packages whose classes may be built.

    Attributes:
        embeds: whether the folder is one of an embedding model.
        chosen: by the name of a task what predicts it, for the tasks that this folder can do.
        off: by the name of a task why this folder cannot do it.
        examples: of the run that has left the folder.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        inference: Inference,
        *,
        top_k: int,
        index: Index | None = None,
        trust: Sequence[str] = (),
    ) -> None:
        self.pretrained = pretrained
        self.top_k, self.index = top_k, index
        self.embeds = pretrained.head == "embedding"
        self.config = pretrained.config
        self.examples = read_examples(pretrained.folder) if pretrained.folder is not None else RunExamples("model")
        self.chosen: dict[str, Chosen] = {}
        self.off: dict[str, str] = {}
        for task in TASKS:
            options = Options(top_k=top_k) if task == FILL_MASK else Options()
            try:
                self.chosen[task] = make_predictor(task, pretrained, inference, options, trust=trust)
            except InputError as error:
                self.off[task] = str(error).partition(", or choose task=")[0]  # which is of the prompt
        if self.embeds:  # whose task is to search
            del self.off[FINE_TUNED]
        if self.embeds and index is None:
            self.off[SEARCH] = "searching needs texts: give index=NAME.parquet, a file that cloze-embed has written"
        self._maker = ExampleMaker(Columns())
        self._lock = threading.Lock()
        self._device = torch.device(inference.device)
        self._encoder = _encoder(pretrained).to(self._device)
        self._tokenizer = pretrained.tokenizer
        self._vectors: dict[str, np.ndarray] = {}
        sizes = Sizes(max_length=self.config.max_position_embeddings)
        self._texts = TextEncoder(tokenizer=self._tokenizer, sizes=sizes)
        self._extractor = Extractor(
            encoder=self._encoder,
            plan=LayerChoice().plan(self.config.num_hidden_layers, self.config.hidden_size),
            level="mean",
            sizes=sizes,
            batch_tokens=inference.max_tokens,
        )
        self._embedder = None
        if self.embeds:
            self._embedder = Embedder.of(pretrained, inference) if index is None else index.embedder

    @property
    def spelling(self) -> Spelling:
        """How masks are written, and what is filled in for them.

        Raises:
            InputError: nothing can be masked.
        """
        mask = self.pretrained.special.mask_of(self.pretrained.folder)
        return Spelling.of(self._tokenizer, mask)

    @property
    def make(self) -> Make | None:
        """What makes the examples of the fine-tuned task, where there is one."""
        return self.chosen[FINE_TUNED].make if FINE_TUNED in self.chosen else None

    def predict(self, task: str, cells: Mapping[str, Any]) -> Answer:
        """What the model predicts for one example.

        Args:
            task: one of ``chosen``.
            cells: as a row of an input would have them: ``text``, ``text_pair``, ``words``, ``choices``.

        Raises:
            BadRowError: the example is not as the task needs it; the message continues after its name.
        """
        predictor, make = self.chosen[task]
        with self._lock:
            predictor.counts.clear()
            example = make(self._maker, StreamRow(0, "the text", dict(cells)))
            (said,) = predictor.predict([example])
            if isinstance(said, Exception):
                raise said
            return Answer(said, tuple(_sentence(note) for note in predictor.counts))

    def search(self, query: str, count: int) -> Near:
        """This many texts of the index, the nearest first."""
        assert self.index is not None
        counts = self.index.embedder.counts
        with self._lock:
            counts.clear()
            (hits,) = self.index.nearest([query], count)
            return Near(hits, tuple(_sentence(note) for note in counts))

    def attention(self, text: str, text_pair: str | None = None) -> Attention:
        """The attention weights of a text or a pair of texts; of a longer one, among its first ``MOST_DRAWN`` tokens.

        The whole of the text is read, up to the positions of the model: only the figure is truncated.
        """
        longest = self.config.max_position_embeddings
        with self._lock:
            packed, whole = self._pack(text, text_pair, longest)
            pieces = shown(self._tokenizer, packed.input_ids[:MOST_DRAWN].tolist())
            with torch.inference_mode():
                maps = self._encoder.attention_weights(packed.to(self._device), MOST_DRAWN)
                drawn = [heads.cpu().numpy() for heads in maps]
        notes = [f"The text has {whole:,} tokens; the model reads the first {longest:,}."] if whole > longest else []
        if packed.max_seqlen > MOST_DRAWN:
            notes.append(f"The picture shows the first {MOST_DRAWN} of {packed.max_seqlen:,} tokens.")
        return Attention(pieces, packed.token_type_ids[:MOST_DRAWN].tolist(), drawn, tuple(notes))

    def vectors(self, texts: Sequence[str], tell: Callable[[int, int], None] | None = None) -> np.ndarray:
        """One embedding of length 1 for each text, (texts, D).

        Of an embedding model its own, without a prompt; else the mean of those of the tokens in the last layer, where a
        longer text is read in windows.

        Args:
            texts: none of them empty.
            tell: how many are done, of how many.
        """
        found = {text: vector for text in texts if (vector := self._vectors.get(text)) is not None}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(new), AT_ONCE):
            part = new[start : start + AT_ONCE]
            with self._lock:  # given back in between: others must not wait for a long list
                rows = unit(self._embedded(part))
                if len(self._vectors) + len(part) > MOST_REMEMBERED:
                    self._vectors = {}
                self._vectors |= zip(part, rows, strict=True)
            found |= zip(part, rows, strict=True)
            if tell is not None:
                tell(start + len(part), len(new))
        return np.stack([found[text] for text in texts])

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        if self._embedder is not None:
            return self._embedder.embed(texts)
        tokens = self._texts.encode([RowText(text, None, None, None) for text in texts])
        (rows,) = self._extractor.extract(tokens).values()
        return rows

    def unknown(self, *texts: str) -> tuple[str, ...]:
        """A note if the vocabulary lacks characters of the texts."""
        unknown = unknown_token(self._tokenizer)
        if unknown is None:
            return ()
        lost: list[str] = []
        for text in texts:
            encoding = self._tokenizer.encode(text[:10_000], add_special_tokens=False)
            lost += [text[a:b] for n, (a, b) in zip(encoding.ids, encoding.offsets, strict=True) if n == unknown.id]
        lost = [piece for piece in dict.fromkeys(lost) if piece != unknown.content]
        if not lost:
            return ()
        more = f" and {len(lost) - 8} more" if len(lost) > 8 else ""
        return (f"Not in the vocabulary, and read as {unknown.content}: {' '.join(lost[:8])}{more}",)

    def knows(self, text: str) -> bool:
        """Whether every token of a text is in the vocabulary."""
        unknown = unknown_token(self._tokenizer)
        return unknown is None or unknown.id not in self._tokenizer.encode(text, add_special_tokens=False).ids

    def _pack(self, text: str, text_pair: str | None, longest: int) -> tuple[Packed, int]:
        """[CLS] A [SEP] or [CLS] A [SEP] B [SEP], truncated to what the model reads; and how long it was."""
        parts = [text] if text_pair is None else [text, text_pair]
        ids = [self._tokenizer.encode(part, add_special_tokens=False).ids for part in parts]
        room = longest - 1 - len(ids)
        whole = sum(map(len, ids)) + 1 + len(ids)
        lengths = kept(len(ids[0]), len(ids[1]), room) if len(ids) == 2 else (min(len(ids[0]), room),)
        cls, sep = (token.id for token in sequence_ends(self._tokenizer))
        sequence, segments = [cls], [0]
        for segment, (numbers, length) in enumerate(zip(ids, lengths, strict=True)):
            sequence += [*numbers[:length], sep]
            segments += [segment] * (length + 1)
        return Packed.of([sequence], [segments]), whole


def _encoder(pretrained: Pretrained) -> Encoder:
    """The encoder on the very tensors that were read."""
    own = {name.removeprefix("encoder."): x for name, x in pretrained.state.items() if name.startswith("encoder.")}
    with torch.device("meta"):  # nothing is drawn only to be replaced
        encoder = architecture_of(pretrained.config).encoder(pretrained.config)
    encoder.load_state_dict(own, assign=True)
    return encoder.eval().requires_grad_(False)


def _sentence(note: str) -> str:
    """'texts truncated to 512 tokens' -> 'Longer than the model reads at once: the text is truncated to 512 tokens.'"""
    what, _, rest = note.partition(" ")
    if rest.startswith("truncated"):
        return f"Longer than the model reads at once: the {what.removesuffix('s')} is {rest}."
    return "Longer than the model reads at once: read in several windows."
