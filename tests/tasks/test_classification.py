"""Classification: losses of Hugging Face's model, predictions, metrics, weights of classes."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig as TheirConfig
from transformers import BertForSequenceClassification

from cloze.batch import IGNORED_LABEL, TaskBatch
from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import task_model
from cloze.data.finetuning.batching import collate
from cloze.data.finetuning.classification import TextFeatures
from cloze.data.finetuning.items import Item
from cloze.data.tables.examples import TextExample
from cloze.errors import InputError
from cloze.model.adaptation import Adaptation
from cloze.model.families.bert import NAMES
from cloze.optim.schedules import Linear
from cloze.tasks.class_weights import scaled_class_weights
from cloze.tasks.classification import Classification, MultiLabel, Regression
from cloze.tasks.training import Recipe
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny import NO_DROPOUT, SHAPE, tiny_config

TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, *"abcdefgh"])
CONFIG = tiny_config(13, **NO_DROPOUT)


def module(kind: type[Classification], labels: list[str], **settings: Any) -> Classification:
    torch.manual_seed(0)
    pretrained = Pretrained(config=CONFIG, tokenizer=TOKENIZER)
    return kind(
        model=task_model(kind.head, pretrained, labels=labels, adaptation=Adaptation()),
        labels=labels,
        recipe=Recipe(optimizer=torch.optim.AdamW, schedule=Linear(), length=10),
        **settings,
    )


def examples(*labels: Any) -> list[TextExample]:
    texts = ["a b c", "d e", "f g h a b", "c"]
    return [
        TextExample(id=str(n), where=f"x, line {n}", text=texts[n % 4], text_pair="b d" if n % 2 else None, label=label)
        for n, label in enumerate(labels)
    ]


@pytest.mark.parametrize("lengths", [[3, 40, 9, 17], [40, 40], [3, 2]], ids=["mixed", "as many windows", "none"])
def test_windows_count_as_the_mean_of_their_logits(lengths: list[int]) -> None:
    """And their loss is that of the mean, once for each text."""
    ours = module(MultiLabel, ["x", "y", "z"]).eval()
    found = [
        TextExample(id=str(n), where=f"x, line {n}", text="a b c d e f g h " * 5, label=("x",))
        for n in range(len(lengths))
    ]
    found = [replace(one, text=one.text[: 2 * length]) for one, length in zip(found, lengths, strict=True)]
    features = TextFeatures(problem="multi_label", long="windows", max_length=10)
    items = features.items(found, TOKENIZER, ours.labels)
    assert [len(item.sequences) for item in items] == [max(1, -(-length // 4) - 1) for length in lengths]
    batch = collate(items, range(len(items)), global_labels=len(items))
    alone = [
        Item(0, (sequence,), items[number].labels)
        for number in batch.items.tolist()
        for sequence in items[number].sequences
    ]
    with torch.no_grad():
        loss, logits = ours.step(batch)
        each = torch.cat([ours.step(collate([item], [0], global_labels=1))[1] for item in alone])
    counts = [len(items[number].sequences) for number in batch.items.tolist()]
    expected = torch.stack([part.mean(dim=0) for part in each.split(counts)])
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(loss, ours.loss(expected, batch.labels))
    outputs = ours.outputs(batch)
    assert sorted(outputs) == list(range(len(lengths)))
    note = "texts of more than 10 tokens, in overlapping windows, over which the outputs are averaged"
    assert features.counts[note] == sum(length > 8 for length in lengths)


def batch_of(kind: type[Classification], found: list[TextExample], labels: list[str]) -> TaskBatch:
    items = TextFeatures(problem=kind.problem).items(found, TOKENIZER, labels)
    return collate(items, range(len(items)), global_labels=len(items))


def their_loss(ours: Classification, batch: TaskBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Hugging Face's model with our weights on the same sequences, padded."""
    config = TheirConfig(vocab_size=13, num_labels=max(1, len(ours.labels)), problem_type=ours.problem_type, **SHAPE)
    theirs = BertForSequenceClassification(config).eval()
    theirs.load_state_dict(NAMES.to_hugging_face(ours.model.state_dict()), strict=True)
    pieces = batch.packed.cu_seqlens.tolist()
    rows = [slice(a, b) for a, b in pairwise(pieces)]
    pad = torch.nn.utils.rnn.pad_sequence
    with torch.no_grad():
        out = theirs(
            input_ids=pad([batch.packed.input_ids[row] for row in rows], batch_first=True),
            token_type_ids=pad([batch.packed.token_type_ids[row] for row in rows], batch_first=True),
            attention_mask=pad([torch.ones(row.stop - row.start) for row in rows], batch_first=True),
            labels=batch.labels,
        )
    return out.loss, out.logits


CASES = [
    (Classification, ["x", "y", "z"], ("z", "x", "y", "x")),
    (MultiLabel, ["x", "y", "z"], (("z", "x"), (), ("y",), ("x",))),
    (Regression, [], (2.5, -1.0, 0.0, 3.0)),
    (Regression, ["v", "a"], ({"v": 2.5, "a": 0.1}, {"a": -1.0, "v": 0.0}, {"v": 3.0, "a": 1.0})),
]
SOFT = ({"x": 0.2, "y": 0.5, "z": 0.3}, {"x": 1.0, "y": 0.0, "z": 0.0}, {"y": 0.4, "x": 0.6})
SOFT_ROWS = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.6, 0.4, 0.0]])


@pytest.mark.parametrize(("kind", "labels", "truth"), CASES)
def test_the_loss_is_hugging_faces(kind: type[Classification], labels: list[str], truth: tuple[Any, ...]) -> None:
    ours = module(kind, labels).eval()
    batch = batch_of(kind, examples(*truth), labels)
    loss, logits = ours.step(batch)
    expected, expected_logits = their_loss(ours, batch)
    assert torch.allclose(logits, expected_logits, atol=1e-5)
    assert loss.item() / len(truth) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5], "balanced"])
def test_soft_labels_are_torchs_cross_entropy_with_probabilities(weights: Any) -> None:
    labels = ["x", "y", "z"]
    ours = module(Classification, labels, class_weights=weights).eval()
    batch = batch_of(Classification, examples(*SOFT), labels)
    factors = None
    if weights is not None:
        ours.class_weights = factors = ours._factors(weights, batch.labels.numpy())
        shares = (factors * SOFT_ROWS).sum(dim=0)
        assert shares.sum().item() == pytest.approx(3)  # a mean of 1 over the examples
        assert weights != "balanced" or torch.allclose(shares, torch.ones(3))
    loss, logits = ours.step(batch)
    order = batch.items
    expected = torch.nn.functional.cross_entropy(logits, SOFT_ROWS[order], factors, reduction="sum")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("weights", [[1.0, 3.0, 0.5], "balanced"])
def test_weights_of_several_labels_are_torchs_positive_weights(weights: Any) -> None:
    labels, truth = ["x", "y", "z"], (("z", "x"), (), ("z",), ("x",))
    ours = module(MultiLabel, labels, class_weights=weights).eval()
    batch = batch_of(MultiLabel, examples(*truth), labels)
    ours.class_weights = factors = ours._factors(weights, batch.labels.numpy())
    assert factors.tolist() == ([1.0, 1.0, 1.0] if weights == "balanced" else weights)  # y is nowhere
    skewed = np.array([[1, 0], [0, 0], [0, 1], [0, 1], [0, 1], [np.nan, np.nan]], np.float32)
    assert ours._factors("balanced", skewed).tolist() == pytest.approx([4.0, 2 / 3])
    loss, logits = ours.step(batch)
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=factors)(logits, batch.labels)
    assert loss.item() / 4 == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("kind", "labels", "truth"), [*CASES, (Classification, ["x", "y", "z"], SOFT)])
def test_unlabelled_items_have_no_loss_and_no_gradient(
    kind: type[Classification], labels: list[str], truth: tuple[Any, ...]
) -> None:
    ours = module(kind, labels).eval()
    whole, _ = ours.step(batch_of(kind, examples(*truth), labels))
    batch = batch_of(kind, examples(*truth, None), labels)
    loss, logits = ours.step(batch)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    assert len(logits) == len(truth) + 1
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in ours.parameters())
    filler = collate(TextFeatures(problem=kind.problem).items(examples(*truth), TOKENIZER, labels), [], global_labels=4)
    assert ours.step(filler)[0].item() == 0.0


def test_predictions_of_classes() -> None:
    ours = module(Classification, ["x", "y"], metrics=["f1", "accuracy", "matthews"])
    found = examples("x", "y", None)
    outputs = [np.array([0.0, math.log(3)]), np.array([-1.0, 1.0]), np.array([5.0, 0.0])]
    said = ours.predictions(found, [], [output.astype(np.float32) for output in outputs])
    assert list(said[1]) == [
        "id",
        "text",
        "text_pair",
        "prediction",
        "probability",
        "probabilities",
        "label",
        "correct",
    ]
    assert said[0]["prediction"] == "y"
    assert said[0]["probability"] == pytest.approx(0.75)
    assert said[0]["probabilities"] == pytest.approx({"x": 0.25, "y": 0.75})
    assert [row.get("correct") for row in said] == [False, True, None]
    assert "label" not in said[2]
    assert ours.main_metric == "f1"
    assert ours.metrics(found, said) == {"f1": pytest.approx(2 / 3), "accuracy": 0.5, "matthews": 0.0}
    assert ours.metrics(found[2:], said[2:]) == {}


def test_predictions_of_soft_labels_and_of_several_scores() -> None:
    ours = module(Classification, ["x", "y", "z"], metrics=["accuracy"])
    found = examples(*SOFT, None)
    said = ours.predictions(found, [], [np.array([0.0, 5.0, 0.0], np.float32)] * 4)
    assert [(row.get("label"), row.get("correct")) for row in said] == [
        ("y", True), ("x", False), ("x", False), (None, None)
    ]  # fmt: skip
    assert said[0]["label_probabilities"] == SOFT[0]
    assert ours.metrics(found, said) == {"accuracy": pytest.approx(1 / 3)}
    scores = module(Regression, ["v", "a"], metrics=["pearson"])
    found = examples({"v": 1.0, "a": 3.0}, {"v": 2.0, "a": 2.0}, {"v": 3.0, "a": 1.0}, None)
    said = scores.predictions(found, [], [np.array([n, n + 0.5], np.float32) for n in range(4)])
    assert said[1]["prediction"] == {"v": 1.0, "a": 1.5}
    assert said[1]["error"] == pytest.approx(0.75)
    assert said[3] == {"id": "3", "text": "c", "text_pair": "b d", "prediction": {"v": 3.0, "a": 3.5}}
    assert scores.metrics(found, said) == pytest.approx({"pearson": 0.0, "pearson_v": 1.0, "pearson_a": -1.0})


def test_predictions_of_several_labels() -> None:
    ours = module(MultiLabel, ["x", "y"])
    found = examples(("x",), ("x", "y"), None)
    said = ours.predictions(found, [], [np.array([2.0, -2.0]), np.array([800.0, -800.0]), np.array([-1.0, -1.0])])
    assert [row["prediction"] for row in said] == [["x"], ["x"], []]
    assert [row.get("correct") for row in said] == [True, False, None]
    assert "probability" not in said[0]  # each label is decided by itself
    assert said[0]["probabilities"] == pytest.approx({"x": 1 / (1 + math.exp(-2)), "y": 1 / (1 + math.exp(2))})
    assert [(row.get("missed"), row.get("extra")) for row in said] == [([], []), (["y"], []), (None, None)]
    assert ours.metrics(found, said) == {"micro_f1": pytest.approx(4 / 5)}
    for threshold, expected in ((0.9, []), ([0.9, 0.1], ["y"]), ([0.8, 0.2], ["x"])):
        strict = module(MultiLabel, ["x", "y"], threshold=threshold)
        (row,) = strict.predictions(found[:1], [], [np.array([2.0, -2.0])])
        assert row["prediction"] == expected
    assert (row["missed"], row["extra"]) == ([], [])


def test_thresholds_are_part_of_the_state_unless_they_are_given() -> None:
    learned, state = module(MultiLabel, ["x", "y"], threshold="dev"), {"threshold:x": 0.25, "threshold:y": 0.75}
    assert learned.thresholds.tolist() == [0.5, 0.5]
    learned.set_extra_state(state)
    assert learned.get_extra_state() == state
    for threshold, expected in ((None, [0.25, 0.75]), (0.3, [0.3, 0.3]), ([0.1, 0.2], [0.1, 0.2])):
        other = module(MultiLabel, ["x", "y"], threshold=threshold)
        other.set_extra_state(state)
        assert other.thresholds.tolist() == expected


def test_rankings_are_means_over_the_classes_that_have_them() -> None:
    names = ["auroc", "average_precision"]
    ours = module(MultiLabel, ["x", "y", "z"], metrics=names)
    found = examples(("x",), ("y", "x"), (), ("y",))
    said = ours.predictions(found, [], [np.array([n, 1 - n, 0.0]) for n in (3.0, 2.0, 1.0, 0.0)])
    metrics = ours.metrics(found, said)
    assert metrics == pytest.approx({"auroc": (1 + 0.75) / 2, "average_precision": (1 + (1 + 2 / 3) / 2) / 2})
    assert ours.check_split("dev", found) == [
        "dev: auroc and average_precision leave out 'z', which every row has, or none"
    ]
    assert ours.metrics(found[:1], said[:1]) == {}
    with pytest.raises(
        InputError, match=r"task.data.dev: every row, or none, has 'x', 'y', 'z', so that auroc, by which"
    ):
        ours.check_split("dev", found[:1], is_monitored=True)
    two = module(Classification, ["x", "y"], metrics=names)
    found = examples("x", "y", "x")
    said = two.predictions(found, [], [np.array([0.0, n]) for n in (2.0, 1.0, 0.0)])
    assert two.metrics(found, said) == pytest.approx({"auroc": 0.5, "average_precision": 0.5})
    assert two.check_split("dev", found) == []
    assert module(Classification, ["x", "y"]).check_split("dev", found[:1], is_monitored=True) == []
    assert two.check_split("test", examples(None, None)) == []


def test_predictions_of_scores() -> None:
    ours = module(Regression, [], metrics=["spearman", "pearson"])
    found = examples(1.0, 2.0, 3.0, None)
    said = ours.predictions(found, [], [np.array([value], np.float32) for value in (1.5, 2.0, 9.0, 4.0)])
    assert said[0] == {"id": "0", "text": "a b c", "prediction": 1.5, "label": 1.0, "error": 0.5}
    assert said[3] == {"id": "3", "text": "c", "text_pair": "b d", "prediction": 4.0}
    assert ours.metrics(found, said)["spearman"] == pytest.approx(1.0)


def test_weights_of_classes_have_a_mean_of_one_over_the_examples() -> None:
    counts = np.array([6, 3, 1])
    assert (scaled_class_weights("balanced", counts).numpy() * counts).tolist() == pytest.approx([10 / 3] * 3)
    given = module(Classification, ["x", "y", "z"], class_weights=[1.0, 2.0, 4.0])
    given.class_weights = scaled_class_weights([1.0, 2.0, 4.0], counts)
    assert given.class_weights.tolist() == pytest.approx([10 / 16, 20 / 16, 40 / 16])
    assert not any("class_weights" in name for name in given.state_dict())
    batch = batch_of(Classification, examples(*"xxxxxxyyyz"), ["x", "y", "z"])
    given.eval()
    loss, logits = given.step(batch)
    each = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    weights = torch.tensor([0.625, 1.25, 2.5])[batch.labels]
    assert loss.item() == pytest.approx((weights * each).sum().item(), rel=1e-5)
    assert IGNORED_LABEL not in batch.labels


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Classification, {"metrics": ["acuracy"]}, r"'acuracy' is no metric of single_label; did you mean accuracy\?"),
        (Classification, {"metrics": ["f1"]}, "f1 is for two classes, here are 3; choose macro_f1"),
        (Regression, {"metrics": ["f1"]}, "'f1' is no metric of regression; known: pearson, spearman"),
        (Regression, {"class_weights": "balanced"}, "is for classes and labels, not for regression"),
        (
            Classification,
            {"class_weights": [1.0, 2.0]},
            "must be balanced, or a positive number for each of 'x', 'y', 'z'",
        ),
        (Classification, {"class_weights": [1.0, 2.0, 0.0]}, "must be balanced, or a positive number"),
        (Classification, {"threshold": 0.3}, "is for several labels, not for single_label"),
        (
            MultiLabel,
            {"threshold": 1.5},
            "threshold=1.5: expected a probability from 0 to 1, or one for each of 'x', 'y'",
        ),
        (MultiLabel, {"threshold": [0.5, 0.5]}, "expected a probability from 0 to 1, or one for each"),
        (Regression, {"metrics": ["auroc"]}, "'auroc' is no metric of regression"),
    ],
)
def test_settings_that_do_not_fit(kind: type[Classification], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        module(kind, ["x", "y", "z"], **settings)
