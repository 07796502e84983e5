"""Token classification, from sentences to scores; Hugging Face's class and pipeline say the same."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from tokenizers import Tokenizer
from transformers import AutoModelForTokenClassification, pipeline

from cloze.batch import IGNORED_LABEL
from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import save_task_model, task_model
from cloze.data.finetuning.batching import EvaluationLoader, collate
from cloze.data.finetuning.conll import TaggedFiles
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.module import TaskData
from cloze.data.finetuning.tagging import TaggingFeatures
from cloze.data.tables.examples import Prediction, TaggedExample
from cloze.errors import InputError
from cloze.metrics.entities import bio2
from cloze.model.adaptation import Adaptation
from cloze.optim.schedules import Linear
from cloze.tasks.token_classification import TokenClassification
from cloze.tasks.training import Recipe
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer, read_vocabulary
from tests.tiny import tiny_config

LABELS = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
WORDS = [f"w{number}" for number in range(30)]


def small_tokenizer() -> Tokenizer:
    return build_tokenizer([*SPECIAL_TOKENS, *WORDS, "new", "york"])


def tagger(tokenizer: Tokenizer, labels: Sequence[str], spread: float = 1.0, **arguments: Any) -> TokenClassification:
    """A small random model; `spread` makes its predictions differ from word to word."""
    config = tiny_config(tokenizer.get_vocab_size(), max_position_embeddings=128)
    torch.manual_seed(0)
    model = task_model(
        "token_classification",
        Pretrained(config=config, tokenizer=tokenizer),
        labels=labels,
        adaptation=Adaptation(),
    )
    torch.nn.init.normal_(model.classifier.weight, std=0.02 * spread)
    recipe = Recipe(optimizer=partial(torch.optim.AdamW, lr=3e-3), schedule=Linear(), length=100)
    return TokenClassification(model=model, labels=labels, recipe=recipe, **arguments).eval()


def example(words: Sequence[str], tags: Sequence[str] | None) -> TaggedExample:
    return TaggedExample(id="s1", where="a.txt, line 1", words=tuple(words), tags=None if tags is None else tuple(tags))


def predicted(
    module: TokenClassification, examples: Sequence[TaggedExample], items: Sequence[Item]
) -> list[Prediction]:
    outputs: dict[int, np.ndarray] = {}
    with torch.no_grad():
        for batch in EvaluationLoader(items, max_tokens=1000):
            outputs |= module.outputs(batch)
    return module.predictions(examples, items, [outputs[number] for number in range(len(items))])


@pytest.fixture(scope="module")
def wnut(shared_data: Path) -> tuple[Tokenizer, list[TaggedExample]]:
    vocab = read_vocabulary(shared_data / "vocab/bert-base-uncased-vocab.txt")
    examples = TaggedFiles(train=str(shared_data / "ner/wnut17/wnut17train.conll")).read("train")
    return build_tokenizer(vocab), examples[:400]


def test_the_loss_and_the_logits_are_hugging_faces(wnut: tuple[Tokenizer, list[TaggedExample]], tmp_path: Path) -> None:
    tokenizer, examples = wnut[0], wnut[1][:12]
    features = TaggingFeatures(max_length=64)
    labels = features.labels(wnut[1])
    items = features.items(examples, tokenizer, labels)
    module = tagger(tokenizer, labels, spread=20)
    save_task_model(module.model, tokenizer, tmp_path / "model", head=module.head, labels=labels)
    theirs = AutoModelForTokenClassification.from_pretrained(tmp_path / "model").eval()
    assert theirs.config.id2label == dict(enumerate(labels))
    batch = collate(items, range(len(items)), global_labels=1)
    with torch.no_grad():
        loss, logits = module.step(batch)
        expected = torch.tensor(0.0)
        ours = module.outputs(batch)
        for number, item in enumerate(items):
            ids = torch.from_numpy(item.sequences[0].input_ids.astype(np.int64))[None]
            found = theirs(input_ids=ids, labels=torch.from_numpy(item.labels)[None])
            expected += found.loss * int((item.labels != IGNORED_LABEL).sum())  # their mean over the labelled
            torch.testing.assert_close(torch.from_numpy(ours[number]), found.logits[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    assert logits.shape == (batch.num_tokens, len(labels))


def test_the_pipeline_predicts_the_same(wnut: tuple[Tokenizer, list[TaggedExample]], tmp_path: Path) -> None:
    """`transformers.pipeline` on the saved folder and the words joined by spaces."""
    tokenizer, examples = wnut[0], wnut[1][:150]
    features = TaggingFeatures(max_length=128)
    labels = features.labels(examples)
    module = tagger(tokenizer, labels, spread=100)
    save_task_model(module.model, tokenizer, tmp_path / "model", head=module.head, labels=labels)
    predictions = predicted(module, examples, features.items(examples, tokenizer, labels))
    assert len({tag for prediction in predictions for tag in prediction["prediction"]}) > 8
    texts = [" ".join(each.words) for each in examples]
    tokens = pipeline("token-classification", str(tmp_path / "model"), ignore_labels=[])(texts)
    groups = pipeline("token-classification", str(tmp_path / "model"), aggregation_strategy="first")(texts)
    compared = 0
    for each, prediction, pieces, entities in zip(examples, predictions, tokens, groups, strict=True):
        starts = np.cumsum([0, *(len(word) + 1 for word in each.words)]).tolist()
        firsts = {piece["start"]: piece for piece in pieces}
        assert prediction["prediction"] == list(bio2([firsts[start]["entity"] for start in starts[:-1]]))
        least = min(float(firsts[start]["score"]) for start in starts[:-1])
        assert prediction["probability"] == pytest.approx(least, rel=1e-3)
        # For their groups a word ends at punctuation, so compare where no word has some inside.
        assert tokenizer.pre_tokenizer is not None
        if all(len(tokenizer.pre_tokenizer.pre_tokenize_str(word)) == 1 for word in each.words):
            compared += 1
            ours = [(e["label"], starts[e["start"]], starts[e["end"]] - 1) for e in prediction["entities"]]
            assert ours == [(e["entity_group"], e["start"], e["end"]) for e in entities]
    assert compared > 10


def test_windows_are_stitched() -> None:
    tokenizer = small_tokenizer()
    module = tagger(tokenizer, LABELS)
    examples = [example(WORDS[:20], None), example(["new", "york"], ["B-LOC", "I-LOC"])]
    items = TaggingFeatures(max_length=8).items(examples, tokenizer, LABELS)
    assert len(items) > 4
    numbers = {tokenizer.token_to_id(word): number for number, word in enumerate(WORDS)}
    outputs = []
    for item in items:  # as if the model said the word's number modulo the labels, and were surer with every word
        logits = np.zeros((item.num_tokens, len(LABELS)), np.float32)
        for row, word in enumerate(item.sequences[0].input_ids.tolist()):
            number = numbers.get(word, 0)
            logits[row, number % len(LABELS)] = 1 + number
        outputs.append(logits)
    first, second = module.predictions(examples, items, outputs)
    assert first["prediction"] == [LABELS[number % len(LABELS)] for number in range(20)]
    sure = np.exp(1) / (np.exp(1) + 4)
    assert first["probability"] == pytest.approx(sure)
    assert first["entities"][0] == {
        "label": "LOC",
        "start": 1,
        "end": 3,
        "text": "w1 w2",
        "score": pytest.approx(np.exp(2) / (np.exp(2) + 4)),
    }
    assert [(e["label"], e["start"], e["end"]) for e in first["entities"][:3]] == [
        ("LOC", 1, 3), ("PER", 3, 5), ("LOC", 6, 8),
    ]  # fmt: skip
    assert "label" not in first
    assert list(second) == ["id", "words", "prediction", "probability", "entities", "label", "correct"]
    assert (second["label"], second["correct"]) == (["B-LOC", "I-LOC"], False)
    assert json.loads(json.dumps(first))["words"] == WORDS[:20]


def test_characters_are_joined_without_spaces() -> None:
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "北", "京"])
    module = tagger(tokenizer, LABELS)
    examples = [example("北京", ["B-LOC", "I-LOC"])]
    items = TaggingFeatures(max_length=8).items(examples, tokenizer, LABELS)
    output = np.eye(len(LABELS), dtype=np.float32)[[0, 1, 2, 0]]
    (prediction,) = module.predictions(examples, items, [output])
    assert prediction["entities"][0]["text"] == "北京"
    assert prediction["correct"]


def test_a_sentence_is_right_where_its_entities_are() -> None:
    """An I- that begins an entity begins one for the score, so it is no error."""
    tokenizer = small_tokenizer()
    module = tagger(tokenizer, LABELS)
    examples = [example(["new", "york", "w1"], tags) for tags in (["B-LOC", "I-LOC", "O"], ["B-LOC", "B-LOC", "O"])]
    items = TaggingFeatures(max_length=8).items(examples, tokenizer, LABELS)
    said = np.eye(len(LABELS), dtype=np.float32)[[0, 2, 2, 0, 0]]  # O I-LOC I-LOC O O, with [CLS] and [SEP]
    right, wrong = module.predictions(examples, items, [said, said])
    assert right["prediction"] == wrong["prediction"] == ["B-LOC", "I-LOC", "O"]
    assert (right["correct"], wrong["correct"]) == (True, False)
    assert module.metrics(examples[:1], [right])["f1"] == module.metrics(examples[:1], [right])["accuracy"] == 1
    assert module.metrics(examples[1:], [wrong])["f1"] == 0


def test_metrics() -> None:
    """Two of three entities found, one of them with the wrong end, and one that is none."""
    module = tagger(small_tokenizer(), LABELS)
    rows = [
        ("B-PER O B-LOC I-LOC", "B-PER O B-LOC O"),
        ("B-PER O", "O B-LOC"),
        ("O", "O"),
    ]
    predictions = [{"label": right.split(), "prediction": said.split()} for right, said in rows]
    scores = module.metrics([], [*predictions, {"prediction": ["B-PER"]}])
    assert scores == pytest.approx(
        {"f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3, "accuracy": 4 / 7, "f1_LOC": 0, "f1_PER": 2 / 3}
    )
    assert module.main_metric in scores
    assert module.metrics([], [{"prediction": ["B-PER"]}]) == {}


def sentences(count: int) -> list[TaggedExample]:
    """Five of the words are places; so is "new york"."""
    numbers = np.random.default_rng(0)
    found = []
    for _ in range(count):
        words = [WORDS[number] for number in numbers.integers(0, 25, 8)]
        tags = ["O"] * 8
        place = int(numbers.integers(0, 7))
        words[place], tags[place] = WORDS[int(numbers.integers(25, 30))], "B-LOC"
        if numbers.random() < 0.5:
            words[place : place + 2], tags[place + 1] = ["new", "york"], "I-LOC"
        found.append(example(words, tags))
    return found


def fitted(tmp_path: Path, class_weights: Any, steps: int) -> tuple[TokenClassification, dict[str, float]]:
    """Trained on the sentences above by Lightning, from a file, as the command does it."""
    for split, examples in (("train", sentences(120)), ("dev", sentences(160)[120:])):
        rows = ["\n".join(f"{w}\t{t}" for w, t in zip(e.words, e.tags or (), strict=True)) for e in examples]
        (tmp_path / f"{split}.txt").write_text("\n\n".join(rows))
    tokenizer, features = small_tokenizer(), TaggingFeatures(max_length=16)
    source = TaggedFiles(train=f"{tmp_path}/train.txt", dev=f"{tmp_path}/dev.txt")
    data = TaskData(source=source, features=features, batch_size=16)
    data.read(["train", "dev"])
    data.encode(tokenizer, features.labels(data.examples["train"]))
    data.training_batches = steps
    module = tagger(tokenizer, features.labels(data.examples["train"]), class_weights=class_weights)
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=CSVLogger(tmp_path),
    )
    trainer.fit(module.train(), datamodule=data)
    return module, {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_it_learns(tmp_path: Path) -> None:
    module, metrics = fitted(tmp_path, None, steps=60)
    assert module.class_weights is None
    assert metrics["val/f1"] > 0.95
    assert metrics["val/f1_LOC"] == metrics["val/f1"]


def test_class_weights(tmp_path: Path) -> None:
    tags = [tag for each in sentences(120) for tag in each.tags or ()]
    counts = torch.tensor([float(tags.count(label)) for label in ("O", "B-LOC", "I-LOC")])
    module, _ = fitted(tmp_path, "balanced", steps=1)
    assert module.class_weights is not None
    torch.testing.assert_close(module.class_weights * counts, torch.full((3,), float(len(tags)) / 3))
    module, _ = fitted(tmp_path, [1, 2, 2], steps=1)
    assert module.class_weights is not None
    torch.testing.assert_close(module.class_weights / module.class_weights[0], torch.tensor([1.0, 2, 2]))
    assert float((module.class_weights * counts).sum()) == pytest.approx(len(tags))
    items = TaggingFeatures(max_length=16).items(sentences(4), small_tokenizer(), module.labels)
    module.eval()
    loss, logits = module.step(collate(items, range(4), global_labels=32))
    labels = torch.from_numpy(np.concatenate([item.labels for item in items]))
    losses = F.cross_entropy(logits[labels >= 0], labels[labels >= 0], reduction="none")
    torch.testing.assert_close(loss, (losses * module.class_weights[labels[labels >= 0]]).sum())


def test_class_weights_that_do_not_fit() -> None:
    for weights in ([1, 2], [1, 1, 1, 1, 0], "even"):
        with pytest.raises(InputError, match=r"task\.module\.class_weights=.* 'O', 'B-LOC', 'I-LOC'"):
            tagger(small_tokenizer(), LABELS, class_weights=weights)
