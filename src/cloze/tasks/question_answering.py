"""Extractive question answering: find the start and end of the answer in a passage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from cloze.batch import IGNORED_LABEL, Packed, TaskBatch
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.module import Split
from cloze.data.tables.examples import Prediction, QuestionExample
from cloze.errors import InputError
from cloze.metrics.answers import AnswerScore, Language, Threshold, answer_score, best_threshold, mean_score
from cloze.model.task_heads import TaskModel
from cloze.tasks.answer_spans import best_answers
from cloze.tasks.finetuning import FineTuning
from cloze.tasks.soft_targets import divergence
from cloze.tasks.training import Recipe

ANSWER = pa.struct({"text": pa.string(), "probability": pa.float64(), "start": pa.int64(), "end": pa.int64()})


class QuestionAnswering(FineTuning[QuestionExample]):
    """Two scores for each token, as the first and as the last of the answer (Devlin et al. 2019, sections 4.2, 4.3).

    Where questions may have no answer, [CLS] stands for that, and a question is answered unless "no answer" beats the
    best span by more than a threshold; each evaluation sets it to what gives the best F1 on the first dev split, as the
    paper does. It is part of the state, so that the best checkpoint has its own.

    Args:
        no_answer: questions may have no answer, as in SQuAD 2.0.
        no_answer_threshold: until an evaluation sets another one (google-research/bert, run_squad.py).
        language: by whose rules answers are compared, see `cloze.metrics.answers`.
        n_best: answers to tell of each question (run_squad.py).
        max_answer_length: tokens of the longest answer (run_squad.py).
        model, labels, recipe: see `cloze.tasks.finetuning.FineTuning`.

    Attributes:
        no_answer_threshold: the one in force, in the unit of logits.

    Raises:
        InputError: a number that must be positive is not.
    """

    head = "question_answering"
    per_token = True
    main_metric = "f1"

    def __init__(
        self,
        *,
        no_answer: bool = False,
        no_answer_threshold: float = 0.0,
        language: Language = "english",
        n_best: int = 20,
        max_answer_length: int = 30,
        model: TaskModel,
        labels: Sequence[str],
        recipe: Recipe,
    ) -> None:
        super().__init__(model=model, labels=labels, recipe=recipe)
        for name, value in (("n_best", n_best), ("max_answer_length", max_answer_length)):
            if value < 1:
                raise InputError(f"task.module.{name}={value}: must be at least 1")
        self.no_answer = no_answer
        self.no_answer_threshold = no_answer_threshold
        self.language: Language = language
        self.n_best = n_best
        self.max_answer_length = max_answer_length

    @property
    def fields(self) -> Mapping[str, pa.DataType]:
        """Those of the best answer, and of `n_best`."""
        best = {"prediction": pa.string(), "probability": pa.float64(), "start": pa.int64(), "end": pa.int64()}
        nothing = {"no_answer_probability": pa.float64(), "no_answer_score": pa.float64()}
        return {**best, "n_best": pa.list_(ANSWER), **nothing}

    def get_extra_state(self) -> dict[str, float]:
        """The threshold in force."""
        return {"no_answer_threshold": self.no_answer_threshold}

    def set_extra_state(self, state: dict[str, float]) -> None:
        """Take over the threshold of a checkpoint or a model folder."""
        self.no_answer_threshold = state["no_answer_threshold"]

    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """The sum over windows of the mean cross entropy of start and end, and the logits (N, 2)."""
        logits = self.model(batch)
        windows = padded(logits.float(), batch.packed)
        loss = F.cross_entropy(windows, batch.labels, ignore_index=IGNORED_LABEL, reduction="sum")
        return loss / 2, logits

    def soft_targets(self, outputs: Tensor, theirs: Tensor, batch: TaskBatch, temperature: float) -> Tensor:
        """Of the first and of the last token of the answer in the labelled windows, the mean of both."""
        ours, theirs = (padded(logits.float(), batch.packed) for logits in (outputs, theirs))  # (I, T, 2)
        return (divergence(ours, theirs, temperature, dim=1) * (batch.labels != IGNORED_LABEL)).sum() / 2

    def predictions(
        self, examples: Sequence[QuestionExample], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """The best answer to each question; empty, without `start` and `end`, where it has none."""
        answers = best_answers(
            items,
            outputs,
            n_best=self.n_best,
            max_answer_length=self.max_answer_length,
            no_answer=self.no_answer,
        )
        arrays = (array.tolist() for array in answers)
        return [self._prediction(*row) for row in zip(examples, *arrays, strict=True)]

    def _prediction(
        self,
        example: QuestionExample,
        characters: list[list[int]],
        probabilities: list[float],
        no_answer_probability: float,
        no_answer_score: float,
    ) -> Prediction:
        spans: dict[str, dict[str, Any]] = {}  # of each text the best one
        for (start, end), probability in zip(characters, probabilities, strict=True):
            text = example.context[start:end]
            if probability and text not in spans:
                spans[text] = {"text": text, "probability": probability, "start": start, "end": end}
        said: Prediction = {"id": example.id, "question": example.question, "prediction": "", "probability": 0.0}
        said |= {"start": None, "end": None, "n_best": list(spans.values())}
        if self.no_answer:
            said |= {"no_answer_probability": no_answer_probability, "no_answer_score": no_answer_score}
        if example.answers is not None:
            said["label"] = list(dict.fromkeys(answer.text for answer in example.answers))
        self._decide(example, said)
        return said

    def _decide(self, example: QuestionExample, said: Prediction) -> None:
        """Fill in the best span, or that there is no answer."""
        said |= {"prediction": "", "probability": said.get("no_answer_probability", 0.0), "start": None, "end": None}
        if said["n_best"] and not (self.no_answer and said["no_answer_score"] > self.no_answer_threshold):
            best = said["n_best"][0]
            said |= {"prediction": best["text"], **{key: best[key] for key in ("probability", "start", "end")}}
        if example.answers is not None:
            said["correct"] = self._score(example, said["prediction"]).exact_match > 0

    def _score(self, example: QuestionExample, text: str) -> AnswerScore:
        right = [answer.text for answer in example.answers or ()]
        return answer_score(text, right, language=self.language, no_answer=self.no_answer)

    def scores(self, split: Split[QuestionExample], outputs: Sequence[np.ndarray]) -> dict[str, float]:
        """The metrics of a dev split; the first one sets the threshold."""
        predictions = self.predictions(split.examples, split.items, outputs)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.no_answer and split is data.splits[data.dev_splits[0]]:
            self.no_answer_threshold = self.best_thresholds(split.examples, predictions)["f1"].threshold
            for example, said in zip(split.examples, predictions, strict=True):
                self._decide(example, said)
        return self.metrics(split.examples, predictions)

    def metrics(self, examples: Sequence[QuestionExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Exact match and F1 of the labelled questions; where there may be no answer, also of those with and without.

        ``best_`` are the scores with the threshold that is best for them.
        """
        pairs = [pair for pair in zip(examples, predictions, strict=True) if pair[0].answers is not None]
        if not pairs:
            return {}
        scores = [self._score(example, said["prediction"]) for example, said in pairs]
        found = _means("", scores)
        if self.no_answer:
            impossible = [example.impossible for example, _ in pairs]
            found |= _means(
                "has_answer_", [score for score, without in zip(scores, impossible, strict=True) if not without]
            )
            found |= _means("no_answer_", [score for score, without in zip(scores, impossible, strict=True) if without])
            for name, best in self.best_thresholds(*zip(*pairs, strict=True)).items():
                found |= {f"best_{name}": best.score, f"best_{name}_threshold": best.threshold}
            found["no_answer_threshold"] = self.no_answer_threshold
        return found

    def best_thresholds(
        self, examples: Sequence[QuestionExample], predictions: Sequence[Prediction]
    ) -> dict[str, Threshold]:
        """For exact match and for F1, which threshold is best on labelled questions, and the score with it."""
        unanswered = np.array([float(example.impossible) for example in examples])
        no_answer_scores = np.array([said["no_answer_score"] for said in predictions])
        best_texts = [next((best["text"] for best in said["n_best"]), "") for said in predictions]
        scores = np.array([self._score(example, text) for example, text in zip(examples, best_texts, strict=True)])
        return {
            name: best_threshold(answered, unanswered, no_answer_scores)
            for name, answered in zip(AnswerScore._fields, scores.T, strict=True)
        }


def _means(prefix: str, scores: Sequence[AnswerScore]) -> dict[str, float]:
    return {f"{prefix}{name}": value for name, value in mean_score(scores)._asdict().items()}


def padded(logits: Tensor, packed: Packed) -> Tensor:
    """The logits of tokens, (N, 2), by sequence: (B, T, 2), with no weight where a sequence has no token."""
    lengths = packed.cu_seqlens.diff()
    sequences = torch.repeat_interleave(lengths, output_size=len(logits))  # (N,), without asking the device
    nothing = logits.new_full((len(lengths), packed.max_seqlen, 2), torch.finfo(logits.dtype).min)
    return nothing.index_put((sequences, packed.position_ids), logits)
