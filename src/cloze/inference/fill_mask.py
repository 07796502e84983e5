"""Predict masked tokens with a masked language model (Taylor 1953; Devlin et al. 2019, section 3.1)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer

from cloze.batch import TaskBatch
from cloze.data.finetuning.items import Item, Sequences
from cloze.data.tables.examples import Prediction, TextExample
from cloze.errors import BadRowError, InputError
from cloze.inference.predictor import Inference, Predictor
from cloze.model.heads import PretrainingModel
from cloze.runtime.wording import counted
from cloze.text.special_tokens import SpecialToken, unknown_token
from cloze.text.word_boundaries import Spelling, space_of, text_of

TOP_K = 5
"""Predictions for each mask by default."""

MASKS_AT_ONCE = 256
"""Rows of logits over the vocabulary, 30 MiB of them: a text may consist of masks only."""


class FillMask(Predictor[TextExample]):
    """The likeliest tokens for each mask token (``[MASK]``) of a text or a pair, each mask by itself.

    Args:
        model: with its encoder and its masked-language-model head on the device; no other part is used.
        tokenizer: its own.
        mask: its token for masks.
        inference: how it is applied.
        top_k: predictions for each mask; None for 5, or for all of the targets.
        targets: words reported alone, with their probabilities among all tokens; none for the likeliest tokens.
        max_length: tokens of the longest sequence; of a longer text the part around its masks is read.

    Raises:
        InputError: a target is not one token of the vocabulary.
    """

    def __init__(
        self,
        *,
        model: PretrainingModel,
        tokenizer: Tokenizer,
        mask: SpecialToken,
        inference: Inference,
        top_k: int | None,
        max_length: int,
        targets: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.inference = inference
        pairs = [*dict.fromkeys(forms(word, tokenizer) for word in targets)]
        behind = np.array(pairs, np.int64).reshape(-1, 2).T  # (2, n), the second row for masks behind a space
        self.targets = torch.from_numpy(behind.flatten())
        self.top_k = min(top_k or len(pairs) or TOP_K, len(pairs) or model.config.vocab_size)
        self.max_length = max_length
        self.mask, self.spelling = mask, Spelling.of(tokenizer, mask)
        self.counts = Counter()
        candidate = pa.struct({"token": pa.string(), "token_id": pa.int64(), "probability": pa.float64()})
        mask = pa.struct({"segment": pa.int64(), "start": pa.int64(), "candidates": pa.list_(candidate)})
        self.fields = {"filled": pa.string(), "filled_pair": pa.string(), "masks": pa.list_(mask)}

    def predict(self, examples: Sequence[TextExample]) -> list[Prediction | BadRowError]:
        """The text with its masks filled in, and the candidates for each."""
        texts = self._encode([example.text for example in examples])
        pairs = iter(self._encode([e.text_pair for e in examples if e.text_pair is not None]))
        sequences = Sequences(self.tokenizer, self.max_length)
        items: list[Item] = []
        found: list[Prediction | BadRowError] = []
        for example, ids in zip(examples, texts, strict=True):
            pair = None if example.text_pair is None else next(pairs)
            try:
                items.append(self._item(len(items), example, ids, pair, sequences))
                found.append({})
            except BadRowError as bad:
                found.append(bad)
        if sequences.cut:
            self.counts[f"texts truncated to {counted(self.max_length, 'tokens')}"] += sequences.cut
        outputs = iter(self.inference.outputs(items, self._step))
        return [
            said if isinstance(said, BadRowError) else self._prediction(example, next(outputs))
            for example, said in zip(examples, found, strict=True)
        ]

    def _encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in encodings]

    def _item(
        self, number: int, example: TextExample, ids: np.ndarray, pair: np.ndarray | None, sequences: Sequences
    ) -> Item:
        """A sequence with all masks of its example; ``origin`` is where they are.

        Raises:
            BadRowError: there is no mask, or one is truncated.
        """
        written = example.text.count(self.mask.content) + (example.text_pair or "").count(self.mask.content)
        if not written:
            mask = self.mask.content
            raise BadRowError(f"no {mask}", f"has no {mask}; write it where a word is to be filled in")
        if pair is None and len(ids) > self.max_length - 2:
            sequences.cut += 1
            ids = self._around_masks(ids, self.max_length - 2)
        (sequence,) = sequences.of(ids, pair)
        masks = np.flatnonzero(sequence.input_ids == self.mask.id)
        if len(masks) != written:
            what = f"{written} {self.mask.content}"
            reason = f"its {what} do not fit into {counted(self.max_length, 'tokens')}; shorten the text"
            raise BadRowError(f"{self.mask.content} truncated", reason)
        return Item(number, (sequence,), np.zeros(1, np.int64), masks)

    def _around_masks(self, ids: np.ndarray, room: int) -> np.ndarray:
        masks = np.flatnonzero(ids == self.mask.id)
        if len(ids) <= room or not len(masks):
            return ids
        start = (int(masks[0]) + int(masks[-1]) + 1 - room) // 2
        start = min(max(0, start), len(ids) - room)
        return ids[start : start + room]

    def _step(self, batch: TaskBatch) -> dict[int, np.ndarray]:
        """Of each item (masks, 2, k): the ids of the likeliest tokens, or of all targets, and their probabilities."""
        positions = torch.nonzero(batch.packed.input_ids == self.mask.id).squeeze(1)
        hidden = self.model.encoder(batch.packed)[positions]
        found = []
        for states in hidden.split(MASKS_AT_ONCE):
            scores = self.model.masked_lm_logits(states).float().softmax(dim=-1)
            if len(self.targets):
                ids = self.targets.to(scores.device).expand(len(scores), -1)
                probabilities = scores.gather(1, ids)
            else:
                probabilities, ids = scores.topk(self.top_k)
            found.append(torch.stack([ids.double(), probabilities.double()], dim=1))
        ends = torch.searchsorted(positions, batch.packed.cu_seqlens[1:-1].long()).cpu().numpy()
        rows = np.split(torch.cat(found).cpu().numpy(), ends)
        return dict(zip(batch.items.tolist(), rows, strict=True))

    def _prediction(self, example: TextExample, rows: np.ndarray) -> Prediction:
        found = iter(rows)
        said: Prediction = {"id": example.id, "text": example.text}
        if example.text_pair is not None:
            said["text_pair"] = example.text_pair
        masks: list[Prediction] = []
        for segment, name in enumerate(("text", "text_pair")):
            if name not in said:
                continue
            here: list[Prediction] = [
                {"segment": segment, "start": start, "candidates": self._candidates(best, said[name][:start])}
                for start, best in zip(
                    _starts(said[name], self.mask.content),
                    islice(found, said[name].count(self.mask.content)),
                    strict=True,
                )
            ]
            best = [mask["candidates"][0]["token_id"] for mask in here]
            said[("filled", "filled_pair")[segment]] = self.spelling.fill(said[name], best)
            masks += here
        return {**said, "masks": masks}

    def _candidates(self, rows: np.ndarray, before: str) -> list[Prediction]:
        """Of the mask behind a text, best first."""
        if len(self.targets):
            rows = np.split(rows, 2, axis=1)[self.spelling.begins_with_space(before)]
            rows = rows[:, np.argsort(-rows[1], kind="stable")]
        best = {int(number): probability for number, probability in zip(*rows.tolist(), strict=True)}
        kept = list(islice(best, self.top_k))
        return [
            {"token": token, "token_id": number, "probability": best[number]}
            for number, token in zip(kept, self.spelling.shown(kept), strict=True)
        ]


def forms(word: str, tokenizer: Tokenizer) -> tuple[int, int]:
    """The ids of a word that is one token: within a word or at the beginning of a text, and behind a space.

    They are one and the same where spaces are no part of tokens, where the word is given with its space, as
    ``" Paris"`` or as the vocabulary writes it, and where the other one is no token.

    Raises:
        InputError: it is no token, or several.
    """
    mark = space_of(tokenizer)
    if mark is None or not word or word[0].isspace() or word.startswith(mark):
        exact = tokenizer.token_to_id(word)
        number = _read(word, tokenizer) if exact is None else exact
        plain, behind = number, number
    else:
        exact = tokenizer.token_to_id(word) if text_of(tokenizer, word) == word else None  # and no letter for a byte
        plain, behind = _read(word, tokenizer) if exact is None else exact, _read(f" {word}", tokenizer)
    plain, behind = behind if plain is None else plain, plain if behind is None else behind
    if plain is None or behind is None:
        raise InputError(f"targets: {_reason(word, tokenizer)}")
    return plain, behind


def _read(text: str, tokenizer: Tokenizer) -> int | None:
    """The id of a text that is read as one token which the vocabulary knows."""
    ids, unknown = tokenizer.encode(text, add_special_tokens=False).ids, unknown_token(tokenizer)
    return None if len(ids) != 1 or (unknown is not None and ids == [unknown.id]) else int(ids[0])


def _reason(word: str, tokenizer: Tokenizer) -> str:
    """Why a word is not one token."""
    read, unknown = tokenizer.encode(word, add_special_tokens=False), unknown_token(tokenizer)
    if unknown is not None and unknown.id in read.ids:
        return f"{word!r} is not in the vocabulary of this model, which reads it as {' '.join(read.tokens)}"
    several = f"{counted(len(read.ids), 'tokens')} ({' '.join(read.tokens)})" if read.ids else "no token"
    return f"{word!r} is {several} of this model, but must be one: a mask stands for one token"


def _starts(text: str, mask: str) -> Iterator[int]:
    """The first character of each mask."""
    start = text.find(mask)
    while start >= 0:
        yield start
        start = text.find(mask, start + len(mask))
