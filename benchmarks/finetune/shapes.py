"""The four shapes of task as users of ``transformers`` write them: features, collators, scores."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers as hf
from torch import Tensor
from torchmetrics.functional import matthews_corrcoef, spearman_corrcoef
from torchmetrics.functional.classification import binary_accuracy, binary_f1_score
from torchmetrics.functional.text import squad as squad_score

from benchmarks.finetune.settings import Row, Setting
from cloze.metrics.entities import entity_scores

IGNORED = -100
STRIDE, N_BEST, LONGEST_ANSWER = 128, 20, 30


class Side(NamedTuple):
    """What the training loop needs.

    Attributes:
        model: with a fresh head.
        train: features.
        dev: features, in order.
        collate: from features to a padded batch; `train` brings labels.
        score: from the logits of every dev feature to the task's metric.
    """

    model: Any
    train: Sequence[Any]
    dev: Sequence[Any]
    collate: Callable[[Sequence[Any]], dict[str, Tensor]]
    score: Callable[[list[np.ndarray]], float]


def classification(train: list[Row], dev: list[Row], tokenizer: Any, folder: str, setting: Setting) -> Side:
    """One class, or a score."""
    regression = setting.metric == "spearman"
    names = [] if regression else sorted({row["label"] for row in train})

    def features(rows: list[Row]) -> list[Row]:
        pairs = [row["text_pair"] for row in rows] if rows[0]["text_pair"] is not None else None
        encoded = tokenizer([row["text"] for row in rows], pairs, truncation=True, max_length=setting.max_length)
        labels = [float(row["label"]) if regression else names.index(row["label"]) for row in rows]
        return [{**{key: encoded[key][i] for key in encoded}, "labels": label} for i, label in enumerate(labels)]

    right = features(dev)

    def score(logits: list[np.ndarray]) -> float:
        outputs, labels = torch.tensor(np.stack(logits)), torch.tensor([row["labels"] for row in right])
        if setting.metric == "spearman":
            return float(spearman_corrcoef(outputs.squeeze(-1), labels))
        found = outputs.argmax(-1)
        if setting.metric == "matthews":
            return float(matthews_corrcoef(found, labels, task="binary"))
        return float({"accuracy": binary_accuracy, "f1": binary_f1_score}[setting.metric](found, labels))

    model = hf.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=max(1, len(names)))
    return Side(model, features(train), right, hf.DataCollatorWithPadding(tokenizer), score)


def tagging(train: list[Row], dev: list[Row], tokenizer: Any, folder: str, setting: Setting) -> Side:
    """A tag for each word, at its first token. The score is ours: no independent one is installed."""
    names = sorted({tag for row in train for tag in row["tags"]})

    def features(rows: list[Row]) -> list[Row]:
        encoded = tokenizer(
            [row["words"] for row in rows], is_split_into_words=True, truncation=True, max_length=setting.max_length
        )
        found = []
        for number, row in enumerate(rows):
            words = encoded.word_ids(number)
            first = [word is not None and word != before for before, word in zip([None, *words], words, strict=False)]
            labels = [names.index(row["tags"][word]) if f else IGNORED for f, word in zip(first, words, strict=True)]
            found.append({**{key: encoded[key][number] for key in encoded}, "labels": labels})
        return found

    right = features(dev)

    def score(logits: list[np.ndarray]) -> float:
        predicted = []
        for row, feature, output in zip(dev, right, logits, strict=True):
            firsts = [i for i, label in enumerate(feature["labels"]) if label != IGNORED]
            tags = [names[output[i].argmax()] for i in firsts]
            predicted.append(tags + ["O"] * (len(row["tags"]) - len(tags)))  # words beyond the maximal length
        return entity_scores([row["tags"] for row in dev], predicted).overall.f1

    model = hf.AutoModelForTokenClassification.from_pretrained(folder, num_labels=len(names))
    return Side(model, features(train), right, hf.DataCollatorForTokenClassification(tokenizer), score)


def answering(train: list[Row], dev: list[Row], tokenizer: Any, folder: str, setting: Setting) -> Side:
    """Start and end of an answer, long passages in windows that share 128 tokens, as in `run_qa.py`."""

    def features(rows: list[Row], *, labelled: bool) -> list[Row]:
        encoded = tokenizer(
            [row["question"].strip() for row in rows], [row["context"] for row in rows], truncation="only_second",
            max_length=setting.max_length, stride=STRIDE, return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        found = []
        for i, example in enumerate(encoded["overflow_to_sample_mapping"]):
            keys = ("input_ids", "token_type_ids", "attention_mask")
            inside = [sequence == 1 for sequence in encoded.sequence_ids(i)]
            offsets = [offset if f else None for f, offset in zip(inside, encoded["offset_mapping"][i], strict=True)]
            feature = {key: encoded[key][i] for key in keys}
            if labelled:
                answer = rows[example]["answers"][0]
                feature |= _positions(offsets, answer["answer_start"], answer["answer_start"] + len(answer["text"]))
            found.append({**feature, "example": example, "offsets": offsets})
        return found

    windows = features(dev, labelled=False)
    pad = hf.DataCollatorWithPadding(tokenizer)

    def score(logits: list[np.ndarray]) -> float:
        best: dict[int, tuple[float, str]] = dict.fromkeys(range(len(dev)), (-np.inf, ""))
        for window, output in zip(windows, logits, strict=True):
            value, start, end = _best_span(output, window["offsets"])
            if value > best[window["example"]][0]:
                best[window["example"]] = (value, dev[window["example"]]["context"][start:end])
        predictions: list[Any] = [{"prediction_text": best[i][1], "id": str(i)} for i in range(len(dev))]
        targets: list[Any] = [
            {
                "id": str(i),
                "answers": {
                    "text": [answer["text"] for answer in row["answers"]],
                    "answer_start": [answer["answer_start"] for answer in row["answers"]],
                },
            }
            for i, row in enumerate(dev)
        ]
        return float(squad_score(predictions, targets)["f1"]) / 100

    def collate(rows: Sequence[Row]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = pad(
            [{k: v for k, v in row.items() if k not in ("example", "offsets")} for row in rows]
        )
        return batch

    model = hf.AutoModelForQuestionAnswering.from_pretrained(folder)
    return Side(model, features(train, labelled=True), windows, collate, score)


def choosing(train: list[Row], dev: list[Row], tokenizer: Any, folder: str, setting: Setting) -> Side:
    """The right one of four."""

    def features(rows: list[Row]) -> list[Row]:
        found = []
        for row in rows:
            texts = [row["text"]] * len(row["choices"])
            encoded = tokenizer(texts, row["choices"], truncation=True, max_length=setting.max_length)
            found.append({**encoded, "labels": row["label"]})
        return found

    def score(logits: list[np.ndarray]) -> float:
        return float(np.mean([output.argmax() == row["label"] for output, row in zip(logits, dev, strict=True)]))

    model = hf.AutoModelForMultipleChoice.from_pretrained(folder)
    return Side(model, features(train), features(dev), hf.DataCollatorForMultipleChoice(tokenizer), score)


def _positions(offsets: Sequence[tuple[int, int] | None], start: int, end: int) -> Row:
    """The tokens that hold the first and the last character of the answer; (0, 0) outside of this window."""
    firsts = [i for i, offset in enumerate(offsets) if offset and offset[0] <= start < offset[1]]
    lasts = [i for i, offset in enumerate(offsets) if offset and offset[0] < end <= offset[1]]
    if not firsts or not lasts:
        return {"start_positions": 0, "end_positions": 0}
    return {"start_positions": firsts[0], "end_positions": lasts[0]}


def _best_span(logits: np.ndarray, offsets: Sequence[tuple[int, int] | None]) -> tuple[float, int, int]:
    """The best valid pair among the best starts and ends; (T, 2) logits."""
    starts, ends = (np.argsort(-logits[: len(offsets), side])[:N_BEST].tolist() for side in (0, 1))
    best = (-np.inf, 0, 0)
    for start in starts:
        for end in ends:
            first, last = offsets[start], offsets[end]
            if first and last and start <= end < start + LONGEST_ANSWER:
                best = max(best, (float(logits[start, 0] + logits[end, 1]), first[0], last[1]))
    return best


SHAPES = {
    **dict.fromkeys(("rte", "mrpc", "stsb", "cola", "sst2"), classification),
    "wnut17": tagging,
    "squad": answering,
    "codah": choosing,
}
