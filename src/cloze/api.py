"""Load a model in Python: ``cloze.load``."""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer

from cloze.batch import Packed
from cloze.checkpoint.modules import fine_tuned_model, pretraining_model
from cloze.checkpoint.pretrained import Pretrained, read_pretrained
from cloze.checkpoint.weights import CONFIG
from cloze.config.trust import import_packages
from cloze.data.extraction.options import Sizes
from cloze.data.extraction.text_tokens import RowText, TextEncoder
from cloze.data.extraction.vectors import Extractor
from cloze.data.tables.columns import Columns
from cloze.data.tables.given import Text, list_of, pairs_of, rows_of
from cloze.data.tables.row_examples import ExampleMaker
from cloze.errors import InputError
from cloze.files.layout import MODEL
from cloze.inference.choose import TASKS, make_predictor, task_of
from cloze.inference.predictor import Inference, Options, RowPredictor, chunks
from cloze.model.bert import Pooler
from cloze.model.config import EncoderConfig
from cloze.model.encoder import Encoder
from cloze.model.heads import PretrainingModel
from cloze.model.pooling import LayerChoice
from cloze.model.task_heads import TaskModel
from cloze.text.word_boundaries import shown

MOST_DRAWN = 64
"""Tokens in a figure."""

AT_ONCE = 4096
"""Texts whose tokens are held together."""

"""The folder of the model, in that of its run."""

POOLED = ("mean", "max", "cls", "pooler")
"""Levels of features with one embedding a text."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Ready:
    """An encoder in evaluation mode, and what belongs to it.

    Every method takes a list of texts and refuses a bare one, whose letters would be taken for texts.

    Attributes:
        encoder: from ``Packed`` tokens to their hidden states, (N, D).
        tokenizer: its own, which neither truncates nor pads.
        config: the shape of the encoder.
        pooler: from the hidden states to one embedding a text, (B, D), where the folder has one.
        model: what the folder was saved for, on the same encoder: pre-training heads, or the head of a task. None for
            a bare encoder. A head that the folder does not hold raises an error where it is called.
        labels: the classes of a fine-tuned model in the order of its outputs.
        name: the folder as it was given.
        told: one line on what the folder holds and what it does not.
        pretrained: the folder as it was read.
        trust: packages whose classes may predict.
    """

    encoder: Encoder
    tokenizer: Tokenizer
    config: EncoderConfig
    pooler: Pooler | None
    model: PretrainingModel | TaskModel | None
    labels: list[str] | None
    name: str
    told: str
    pretrained: Pretrained
    trust: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line: '<BertForMaskedLM of models/bert-base: 12 layers, 768 wide, 30,522 tokens>'."""
        kind, config = self.pretrained.kind, self.config
        labels = f", {len(self.labels)} labels" if self.labels else ""
        shape = f"{config.num_hidden_layers} layers, {config.hidden_size} wide, {config.vocab_size:,} tokens"
        return f"<{kind} of {self.name}: {shape}{labels}>"

    def predict(
        self,
        texts: Iterable[Any],
        *,
        task: Literal["fill-mask", "next-sentence", "task"] | None = None,
        top_k: int | None = None,
        targets: Sequence[str] = (),
        max_length: int | None = None,
        threshold: float | list[float] | None = None,
        n_best: int | None = None,
        max_answer_length: int | None = None,
        no_answer: bool | None = None,
    ) -> list[dict[str, Any]]:
        """What ``cloze-predict`` says of each text.

        Args:
            texts: each a text; a pair ``(text, second text)``, of questions ``(question, passage)``, of choices
                ``(text, [choice, choice])``; of a tagger a list of words; or a row of cells under the names of
                ``cloze-predict``'s columns.
            task: None for the one that the model was fine-tuned on, and of any other ``fill-mask``.
            top_k: predictions for each mask; None for 5, or for all of the targets.
            targets: words whose probabilities are reported for each mask.
            max_length: tokens of a sequence; None as in training, and of other models all that they can take.
            threshold: probability from which one label of several applies, or one for each; None for those that
                fine-tuning has chosen, else 0.5.
            n_best: answers reported for each question; None as in training, 20 where that set nothing else.
            max_answer_length: tokens of the longest answer; None as in training, 30 where that set nothing else.
            no_answer: whether questions may have none; None as in training.

        Returns:
            A record for each text, in their order; warnings report what was truncated.

        Raises:
            InputError: the model cannot do it, or a text is not as the task needs it.
        """
        if task not in (None, *TASKS):
            raise InputError(f"task is {task!r}, but must be one of {', '.join(TASKS)}")
        options = Options(
            top_k=top_k,
            targets=list_of(targets, "targets"),
            max_length=max_length,
            threshold=threshold,
            n_best=n_best,
            max_answer_length=max_answer_length,
            no_answer=no_answer,
        )
        model = self.model if isinstance(self.model, TaskModel) else None
        pretrained = dataclasses.replace(self.pretrained, tokenizer=_copy(self.tokenizer))
        task_name = task or task_of(self.pretrained)
        inference = Inference(device=self._device.type)
        predictor, make = make_predictor(task_name, pretrained, inference, options, model, self.trust)
        rows = RowPredictor(
            maker=partial(make, ExampleMaker(Columns())), predictor=predictor, keep=False, on_bad_row=None
        )
        found: list[dict[str, Any]] = []
        for chunk in chunks(rows_of(list_of(texts, "texts"), make)):
            found += rows.predict(chunk, Counter())
        _warn(predictor.counts)
        return found

    def fill_mask(
        self, texts: Iterable[Text], *, top_k: int | None = None, targets: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """The likeliest tokens for each ``[MASK]``, or the probabilities of ``targets``; see ``predict``.

        Raises:
            InputError: the model has no head for masked tokens, or a text no ``[MASK]``.
        """
        return self.predict(texts, task="fill-mask", top_k=top_k, targets=targets)

    def embed(
        self,
        texts: Iterable[Text],
        *,
        level: Literal["mean", "max", "cls", "pooler"] | None = None,
        layers: str | int | list[int] = "last",
        max_length: int | None = None,
        prompt: str | None = None,
    ) -> np.ndarray:
        """An embedding for each text.

        Of an embedding model its own, as ``SentenceTransformer.encode`` gives it without ``level`` and ``layers``; else
        as ``cloze-features`` writes them: of long texts from all of their windows.

        Args:
            texts: texts or pairs; of an embedding model's own texts alone.
            level: how a text's embedding is made of those of its tokens; None for the model's own way, else the mean.
            layers: as in ``conf/features.yaml``.
            max_length: tokens of a window; None for all that the model can take.
            prompt: of an embedding model, before each text: ``query`` or ``passage`` for its own, or a text.

        Returns:
            (texts, D) float32; of several layers (texts, layers, D).

        Raises:
            InputError: the model has no pooler for ``level="pooler"``, or an option does not fit it.
        """
        if self.pretrained.head == "embedding" and level is None and layers == "last":
            return self._embedded(list_of(texts, "texts"), max_length, prompt or "")
        if prompt is not None:
            raise InputError(f"prompt={prompt!r}: is for an embedding model's own embeddings; leave it out")
        level = level or "mean"
        if level not in POOLED:
            raise InputError(f"level is {level!r}, but a text has one embedding with {', '.join(POOLED)} only")
        if level == "pooler" and (self.pooler is None or layers != "last"):
            why = "the pooler reads the last layer only" if self.pooler else f"{self.pretrained.folder} has no pooler"
            raise InputError(f"level=pooler: {why}; take level=cls or mean")
        positions = self.config.max_position_embeddings
        if max_length is not None and max_length > positions:
            raise InputError(f"max_length={max_length}: must be at most {positions}, the model's positions")
        try:
            plan = LayerChoice(layers=layers).plan(self.config.num_hidden_layers, self.config.hidden_size)
        except ValueError as error:
            raise InputError(str(error)) from error
        sizes = Sizes(max_length=positions if max_length is None else max_length)
        encoder = TextEncoder(tokenizer=_copy(self.tokenizer), sizes=sizes, wants_places=False)
        extractor = Extractor(
            encoder=self.encoder,
            pooler=self.pooler if level == "pooler" else None,
            plan=plan,
            level=level,
            sizes=sizes,
            batch_tokens=Inference().max_tokens,
        )
        notes: Counter[str] = Counter()
        parts = [np.zeros((0, len(plan.names), plan.width), np.float32)]
        pairs = list(pairs_of(texts))
        for start in range(0, len(pairs), AT_ONCE):
            tokens = encoder.encode(
                [RowText(first, second, None, None) for first, second in pairs[start : start + AT_ONCE]]
            )
            notes.update(note for text in tokens for note in text.notes)
            parts.append(np.stack(list(extractor.extract(tokens).values()), axis=1))
        _warn(notes)
        found = np.concatenate(parts)
        return found[:, 0] if len(plan.names) == 1 else found

    def _embedded(self, texts: list[Any], max_length: int | None, prompt: str) -> np.ndarray:
        from cloze.inference.embedder import Embedder  # Lightning takes long to import

        if wrong := next((text for text in texts if not isinstance(text, str)), None):
            raise InputError(f"texts has {wrong!r:.60}, but an embedding model takes texts alone")
        embedder = Embedder.of(self.pretrained, Inference(device=self._device.type), max_length=max_length)
        own = {"query": embedder.query_prompt, "passage": embedder.passage_prompt}
        found = embedder.embed(texts, prompt=own.get(prompt, prompt))
        _warn(embedder.counts)
        return found

    def attention(self, text: Text, *, heads: Sequence[tuple[int, int]] | None = None) -> Any:
        """The attention weights of a text, as a ``matplotlib`` figure.

        Args:
            text: a text or a pair, of at most 64 tokens.
            heads: ``(layer, head)`` from 0 of each map; None for the first head of every layer.

        Raises:
            InputError: there is no such head, or the text is too long for its tokens to be distinguished.
        """
        from cloze.callbacks.attention import attention_figure  # Lightning takes long to import

        layers, count = self.config.num_hidden_layers, self.config.num_attention_heads
        chosen = [(layer, 0) for layer in range(layers)] if heads is None else list_of(heads, "heads")
        for pair in chosen:
            if len(pair) != 2 or not (0 <= pair[0] < layers and 0 <= pair[1] < count):
                raise InputError(f"heads has {pair}, but must have pairs from (0, 0) to ({layers - 1}, {count - 1})")
        packed = self.pack([text])
        if packed.max_seqlen > MOST_DRAWN:
            raise InputError(f"the text has {packed.max_seqlen:,} tokens, but a figure shows {MOST_DRAWN} at most")
        words = shown(self.tokenizer, packed.input_ids.tolist())
        with torch.inference_mode():
            maps = [heads.cpu().numpy() for heads in self.encoder.attention_weights(packed.to(self._device))]
        titled = [(f"layer {layer}, head {head}", maps[layer][head]) for layer, head in chosen]
        return attention_figure(titled, words)

    def pack(self, texts: Iterable[Text]) -> Packed:
        """Texts, or pairs of texts, with their special tokens as one flat stream.

        A text that is longer than the model's maximum length is truncated at its end, the longer one of a pair first; a
        warning says how many were.

        Raises:
            InputError: it is one text, or an element is neither a text nor a pair.
        """
        given = [first if second is None else (first, second) for first, second in pairs_of(texts)]
        encodings = self._cutter.encode_batch(given)
        cut = sum(bool(encoding.overflowing) for encoding in encodings)
        if cut:
            longest = self.config.max_position_embeddings
            warnings.warn(
                f"{cut} of {len(encodings)} texts are longer than the {longest} tokens that this model reaches; "
                "their ends are left out",
                stacklevel=2,
            )
        return Packed.of([encoding.ids for encoding in encodings], [encoding.type_ids for encoding in encodings])

    @property
    def _device(self) -> torch.device:
        """Where the encoder is: `bert.model.to("cuda")` moves all of it."""
        return next(self.encoder.parameters()).device

    @cached_property
    def _cutter(self) -> Tokenizer:
        cutter = _copy(self.tokenizer)
        cutter.enable_truncation(Sizes(max_length=self.config.max_position_embeddings).max_length)
        return cutter


def load(folder: Path | str, *, trust: str | Sequence[str] = ()) -> Ready:
    """What ``cloze.load`` gives."""
    trusted = import_packages(trust)
    name, inside = str(folder), Path(folder) / MODEL
    if not (Path(folder) / CONFIG).is_file() and (inside / CONFIG).is_file():  # a run
        folder = inside
    pretrained = read_pretrained(folder)
    task = fine_tuned_model(pretrained)
    model = task or pretraining_model(pretrained)
    whole = task is None or task.takes_whole_sequences
    pooler: Any = model.pooler if whole and "pooler" in pretrained.parts else None
    has_head = task is not None or {"masked_lm_head", "next_sentence_head"} & {*pretrained.parts}
    return Ready(
        encoder=model.encoder,
        tokenizer=pretrained.tokenizer,
        config=pretrained.config,
        pooler=pooler,
        model=model if has_head else None,
        labels=pretrained.labels,
        name=name,
        told=pretrained.told(),
        trust=trusted,
        # Its own parameters, where the task's model has copied them: they are held once.
        pretrained=pretrained if task is None else dataclasses.replace(pretrained, state=dict(task.state_dict())),
    )


def _copy(tokenizer: Tokenizer) -> Tokenizer:
    """Another one: predictors switch settings of theirs."""
    return Tokenizer.from_str(tokenizer.to_str())


def _warn(notes: Counter[str]) -> None:
    for note, count in sorted(notes.items()):
        warnings.warn(f"{count:,} {note}", stacklevel=3)
