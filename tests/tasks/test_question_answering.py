"""Question answering: Hugging Face's loss and logits, the best spans by brute force, thresholds, and learning."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertForQuestionAnswering
from transformers import BertConfig as TheirConfig

from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.data.finetuning.batching import collate
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.module import Split, TaskData
from cloze.data.finetuning.questions import QuestionFeatures
from cloze.data.tables.examples import Answer, QuestionExample
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.families.bert import NAMES
from cloze.optim.schedules import Linear
from cloze.tasks.question_answering import QuestionAnswering, padded
from cloze.tasks.training import Recipe
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny import NO_DROPOUT, SHAPE, tiny_config

WORDS = ("who", "what", "is", "ada", "bo", "cy", "di", "ed", "red", "blue", "green", "gold")
TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, *WORDS, "?", "."])
CONFIG = tiny_config(len(WORDS) + 7, **NO_DROPOUT)
FEATURES = QuestionFeatures(max_length=16, stride=3, max_question_length=6)


def module(**settings: Any) -> QuestionAnswering:
    torch.manual_seed(0)
    pretrained = Pretrained(config=CONFIG, tokenizer=TOKENIZER)
    return QuestionAnswering(
        **settings,
        model=task_model("question_answering", pretrained, labels=[], adaptation=Adaptation()),
        labels=[],
        recipe=Recipe(optimizer=lambda groups: torch.optim.AdamW(groups, lr=3e-3), schedule=Linear(), length=120),
    )


def question(context: str, answer: str | None, name: str = "0", asked: str = "who is ada ?") -> QuestionExample:
    """With the first occurrence of its answer; "" for none, and None where nobody knows."""
    answers = None if answer is None else (Answer(answer, context.index(answer)),) if answer else ()
    return QuestionExample(
        id=name,
        where=f"x, question {name}",
        question=asked,
        context=context,
        answers=answers,
        impossible=answer == "",
    )


SHORT = "bo is red . ada is blue . cy is gold"
EXAMPLES = [
    question(SHORT, "ada is blue", "0"),
    question(SHORT, "", "1"),
    question(f"{SHORT} . di is green . ed is red . bo is gold", "di is green", "2"),
    question("ada", None, "3"),
]
ITEMS = FEATURES.items(EXAMPLES, TOKENIZER, [])


def logits_of(model: QuestionAnswering, items: Sequence[Item]) -> list[np.ndarray]:
    found = model.eval().outputs(collate(items, range(len(items)), global_labels=1))
    return [found[number] for number in range(len(items))]


def test_the_loss_is_hugging_faces() -> None:
    ours = module().eval()
    labelled = [number for number, item in enumerate(ITEMS) if item.labels[0, 0] >= 0]
    batch = collate(ITEMS, range(len(ITEMS)), global_labels=len(labelled))
    with torch.no_grad():
        loss, logits = ours.step(batch)
    theirs = hugging_face(ours).requires_grad_(False)
    total = 0.0
    for number in labelled:  # one by one, so that nothing is padded
        sequence = ITEMS[number].sequences[0]
        said = theirs(
            input_ids=torch.from_numpy(sequence.input_ids).long()[None],
            token_type_ids=torch.from_numpy(sequence.token_type_ids).long()[None],
            start_positions=torch.tensor([ITEMS[number].labels[0, 0]]),
            end_positions=torch.tensor([ITEMS[number].labels[0, 1]]),
        )
        total += float(said.loss)
    assert logits.shape == (batch.num_tokens, 2)
    assert float(loss) == pytest.approx(total, rel=1e-5)
    assert len(labelled) < len(ITEMS)


def hugging_face(ours: QuestionAnswering, folder: Path | None = None) -> Any:
    if folder is not None:
        return BertForQuestionAnswering.from_pretrained(folder).eval()
    theirs = BertForQuestionAnswering(TheirConfig(vocab_size=CONFIG.vocab_size, **SHAPE)).eval()
    theirs.load_state_dict(NAMES.to_hugging_face(ours.model.state_dict(), head="question_answering"), strict=True)
    return theirs


def test_padding_takes_no_part() -> None:
    batch = collate(ITEMS, [0, 5], global_labels=2)
    packed = batch.packed._replace(
        cu_seqlens=torch.cat([batch.packed.cu_seqlens, batch.packed.cu_seqlens[-1:]]), max_seqlen=40
    )
    logits = torch.randn(batch.num_tokens, 2, requires_grad=True)
    wide = padded(logits, packed)
    assert wide.shape == (3, 40, 2)
    probabilities = wide[:2].softmax(1)
    assert torch.equal(probabilities[0, packed.cu_seqlens[1] :], torch.zeros(40 - int(packed.cu_seqlens[1]), 2))
    labels = torch.cat([batch.labels, torch.full((1, 2), -100)])
    torch.nn.functional.cross_entropy(wide, labels, reduction="sum").backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, 0].abs().sum() > 0


@pytest.fixture(scope="module")
def ours() -> QuestionAnswering:
    return module()


def plain_answers(
    context: str, windows: Sequence[tuple[Item, np.ndarray]], n_best: int, longest: int, no_answer: bool
) -> tuple[list[tuple[str, float]], float, float]:
    """Every span of every window, one after the other: texts with probabilities, and that of no answer."""
    spans: list[tuple[float, str]] = []
    for item, logits in windows:
        window = item.origin
        for first in range(*window.own):
            for last in range(first, min(first + longest, len(window.offsets))):
                score = float(logits[window.row + first, 0]) + float(logits[window.row + last, 1])
                spans.append((score, context[window.offsets[first, 0] : window.offsets[last, 1]]))
    null = min(float(logits[0, 0]) + float(logits[0, 1]) for _, logits in windows)
    total = sum(math.exp(score) for score, _ in spans) + (math.exp(null) if no_answer else 0.0)
    best: dict[str, float] = {}
    for score, text in sorted(spans, reverse=True)[:n_best]:
        best.setdefault(text, math.exp(score) / total)
    return list(best.items()), math.exp(null) / total, null - max(spans)[0]


def distinct_logits(random: np.random.Generator) -> list[np.ndarray]:
    """Of all windows, such that no two spans score the same, and every score is exact."""
    lengths = [item.num_tokens for item in ITEMS]
    tokens = sum(lengths)
    coarse, fine = random.permutation(tokens) * tokens / 1024, random.permutation(tokens) / 1024
    columns = np.stack([coarse, fine] if random.integers(2) else [fine, coarse], axis=1).astype(np.float32)
    return np.split(columns, np.cumsum(lengths)[:-1])


def windows_of(example: int, outputs: Sequence[np.ndarray]) -> list[tuple[Item, np.ndarray]]:
    return [(item, logits) for item, logits in zip(ITEMS, outputs, strict=True) if item.example == example]


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 6), st.booleans())
@settings(max_examples=50)
def test_the_best_spans_are_those_of_brute_force(
    ours: QuestionAnswering, seed: int, n_best: int, longest: int, no_answer: bool
) -> None:
    random = np.random.default_rng(seed)
    outputs = distinct_logits(random)
    ours.n_best, ours.max_answer_length, ours.no_answer = n_best, longest, no_answer
    for number, said in enumerate(ours.predictions(EXAMPLES, ITEMS, outputs)):
        context = EXAMPLES[number].context
        best, null, score = plain_answers(context, windows_of(number, outputs), n_best, longest, no_answer)
        found = said["n_best"]
        assert [span["text"] for span in found] == [text for text, _ in best]
        assert [span["probability"] for span in found] == pytest.approx([p for _, p in best], rel=1e-4)
        assert all(context[span["start"] : span["end"]] == span["text"] for span in found)
        if no_answer:
            assert said["no_answer_probability"] == pytest.approx(null, rel=1e-4)
            assert said["no_answer_score"] == pytest.approx(score, rel=1e-4, abs=1e-4)
            assert said["prediction"] == ("" if said["no_answer_score"] > 0 else found[0]["text"])
        else:
            assert said["prediction"] == found[0]["text"]


def test_predictions_and_metrics() -> None:
    outputs = [np.zeros((item.num_tokens, 2), np.float32) for item in ITEMS]
    for item, logits in zip(ITEMS, outputs, strict=True):
        first, last = item.labels[0]
        if first >= 0:
            logits[first, 0] = logits[last, 1] = 9.0
    ours = module(no_answer=True)
    said = ours.predictions(EXAMPLES, ITEMS, outputs)
    assert list(said[0]) == [
        *("id", "question", "prediction", "probability", "start", "end", "n_best"),
        *("no_answer_probability", "no_answer_score", "label", "correct"),
    ]
    assert (said[0]["prediction"], said[0]["start"], said[0]["end"]) == ("ada is blue", 12, 23)
    assert (said[1]["prediction"], said[1]["start"], said[1]["label"], said[1]["correct"]) == ("", None, [], True)
    assert said[1]["probability"] == said[1]["no_answer_probability"] > 0.9
    assert said[2]["prediction"] == "di is green"
    assert "label" not in said[3]
    scores = ours.metrics(EXAMPLES, said)
    assert scores["exact_match"] == scores["f1"] == scores["best_f1"] == scores["no_answer_f1"] == 1.0
    assert scores["no_answer_threshold"] == 0.0
    ours.no_answer_threshold = 1e9
    assert ours.predictions(EXAMPLES, ITEMS, outputs)[1]["correct"] is False
    assert ours.metrics(EXAMPLES[3:], said[3:]) == {}


def test_passages_without_a_token() -> None:
    example = question("\u200b", "")
    items = FEATURES.items([example], TOKENIZER, [])
    outputs = [np.ones((item.num_tokens, 2), np.float32) for item in items]
    (said,) = module(no_answer=True).predictions([example], items, outputs)
    assert (said["prediction"], said["n_best"], said["no_answer_probability"]) == ("", [], 1.0)
    (said,) = module().predictions([example], items, outputs)
    assert (said["prediction"], said["probability"], said["n_best"]) == ("", 0.0, [])


@pytest.mark.parametrize("setting", ["n_best", "max_answer_length"])
def test_numbers_that_cannot_be(setting: str) -> None:
    with pytest.raises(InputError, match=f"task.module.{setting}=0: must be at least 1"):
        module(**{setting: 0})


def test_a_saved_model_answers_with_transformers_as_here(tmp_path: Path) -> None:
    """Transformers 5 has no pipeline for questions; so its tokenizer and model, and the rule by brute force."""
    ours = module(n_best=5)
    torch.nn.init.normal_(ours.model.classifier.weight)  # so that the answers differ
    save_task_model(ours.model, TOKENIZER, tmp_path / "model", head=ours.head, labels=[])
    tokenizer, theirs = AutoTokenizer.from_pretrained(tmp_path / "model"), hugging_face(ours, tmp_path / "model")
    contexts = [" . ".join(SHORT.split(" . ")[:count]) for count in (1, 2)] + ["red Ada  is GOLD?", "blue"]
    examples = [question(context, None) for context in contexts]
    features = QuestionFeatures(max_length=24, max_question_length=8)
    items = features.items(examples, TOKENIZER, [])
    predictions = ours.predictions(examples, items, logits_of(ours, items))
    for example, said in zip(examples, predictions, strict=True):
        encoded = tokenizer(example.question, example.context, return_tensors="pt", return_offsets_mapping=True)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        with torch.no_grad():
            output = theirs(**encoded)
        rows = [row for row, segment in enumerate(encoded.sequence_ids(0)) if segment == 1]
        starts, ends = output.start_logits[0].tolist(), output.end_logits[0].tolist()
        spans = [
            (math.exp(starts[first] + ends[last]), example.context[offsets[first][0] : offsets[last][1]])
            for first in rows
            for last in rows
            if first <= last
        ]
        best = list(dict.fromkeys(text for _, text in sorted(spans, reverse=True)[:5]))
        assert [span["text"] for span in said["n_best"]] == best
        assert said["prediction"] == best[0]
        assert said["probability"] == pytest.approx(max(spans)[0] / sum(weight for weight, _ in spans), rel=1e-4)


class Questions:
    """Who is gold: one of three, or nobody."""

    splits = ("train", "dev", "dev_other")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def read(self, split: str) -> list[QuestionExample]:
        random = np.random.default_rng(len(split))
        return [self.example(random, number) for number in range(256 if split == "train" else 40)]

    @staticmethod
    def example(random: np.random.Generator, number: int) -> QuestionExample:
        names, colours = random.permutation(WORDS[3:8]), random.permutation(WORDS[8:])
        facts = {str(colour): f"{name} is {colour}" for name, colour in zip(names[:3], colours, strict=False)}
        context, answer = " . ".join(facts.values()), facts.get("gold", "")
        return question(context, answer, str(number), asked="who is gold ?")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[QuestionAnswering, TaskData[Any], pl.Trainer]:
    data: TaskData[Any] = TaskData(
        source=Questions(), features=QuestionFeatures(max_length=32, max_question_length=8), batch_size=32
    )
    data.read(Questions.splits)
    data.encode(TOKENIZER, [])
    data.training_batches = 120
    ours = module(no_answer=True)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=120,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        val_check_interval=60,
        default_root_dir=tmp_path_factory.mktemp("run"),
    )
    trainer.fit(ours, datamodule=data)
    return ours, data, trainer


def test_it_learns_to_answer(trained: tuple[QuestionAnswering, TaskData[Any], pl.Trainer]) -> None:
    _, _, trainer = trained
    scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert scores["val/f1"] > 0.9
    assert scores["val/f1"] == pytest.approx(scores["val/best_f1"])
    assert scores["val_other/best_f1"] >= scores["val_other/f1"] > 0.8
    assert scores["val/no_answer_threshold"] == scores["val_other/no_answer_threshold"]


def test_the_threshold_is_part_of_the_state(trained: tuple[QuestionAnswering, TaskData[Any], pl.Trainer]) -> None:
    ours, data, trainer = trained
    assert ours.no_answer_threshold == pytest.approx(float(trainer.callback_metrics["val/best_f1_threshold"]))
    assert ours.no_answer_threshold != 0.0
    again = module(no_answer=True)
    again.load_state_dict(ours.state_dict())
    assert again.no_answer_threshold == ours.no_answer_threshold
    split: Split[Any] = data.splits["dev"]
    outputs = logits_of(again, split.items)
    scores = again.metrics(split.examples, again.predictions(split.examples, split.items, outputs))
    assert scores["f1"] == pytest.approx(float(trainer.callback_metrics["val/f1"]))
