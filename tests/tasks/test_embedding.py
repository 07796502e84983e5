"""Embeddings: chunks and the whole batch make one update; negatives, ranks and metrics by plain statements."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from cloze.callbacks.step_seed import StepSeed
from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import task_model
from cloze.data.finetuning.batching import collate
from cloze.data.finetuning.embedding import EmbeddingFeatures, Origin
from cloze.data.finetuning.module import TaskData
from cloze.data.finetuning.pair_tables import PairTables
from cloze.data.tables.examples import PairExample
from cloze.model.adaptation import Adaptation
from cloze.model.task_heads import EmbeddingModel
from cloze.optim.schedules import Linear
from cloze.tasks.embedding import Embedding, metrics_of
from cloze.tasks.embedding_batches import chunks, compare, ranks_of, several_positives, unit, voted
from cloze.tasks.embedding_layers import AdaptiveLayers
from cloze.tasks.embedding_losses import EmbeddingLoss, InfoNCE, Matryoshka
from cloze.tasks.training import Recipe
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny import NO_DROPOUT, tiny_config

TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, *"abcdefgh"])


def pair(text: str, positive: str, *negatives: str, group: str | None = None) -> PairExample:
    return PairExample(id="0", where="x", text=text, positive=positive, negatives=negatives, group=group)


def trained(tmp_path: Path, tokens: int, loss: EmbeddingLoss) -> dict[str, torch.Tensor]:
    """The parameters after three steps, in chunks of at most so many tokens."""
    file = tmp_path / "pairs.csv"
    rows = ["anchor,positive,negative", "a b,a,c d e f", "b,b c,g", "c d,c,h a b", "e f g,g f,", "h,h h,a", "d d,d,b b"]
    file.write_text("\n".join(rows) + "\n")
    data = TaskData(
        source=PairTables(train=str(file)), features=EmbeddingFeatures(), batch_size=4, evaluation_tokens=tokens
    )
    data.read(["train"])
    data.encode(TOKENIZER, [])
    data.training_batches = 3
    torch.manual_seed(0)
    model = task_model(
        "embedding",
        Pretrained(config=tiny_config(13, num_hidden_layers=3, **NO_DROPOUT), tokenizer=TOKENIZER),
        labels=[],
        adaptation=Adaptation(),
    )
    assert isinstance(model, EmbeddingModel)
    recipe = Recipe(optimizer=torch.optim.SGD, schedule=Linear(), length=10)
    module = Embedding(loss=loss, model=model, labels=[], recipe=recipe)
    module.attach(data)
    trainer = pl.Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, callbacks=[StepSeed(1)], limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return {name: value.detach().clone() for name, value in module.named_parameters()}


@pytest.mark.parametrize(
    "make",
    [
        lambda: InfoNCE(),
        lambda: InfoNCE(learned=True),
        lambda: AdaptiveLayers(loss=Matryoshka(loss=InfoNCE(learned=True), dimensions=[32, 8])),
        lambda: AdaptiveLayers(loss=InfoNCE(), layers_per_step=None),
    ],
)
def test_chunks_make_the_update_of_the_whole_batch(tmp_path: Path, make: Callable[[], EmbeddingLoss]) -> None:
    whole, in_chunks = trained(tmp_path, 4096, make()), trained(tmp_path, 12, make())
    for name, value in whole.items():
        assert torch.allclose(value, in_chunks[name], atol=1e-6), name
    assert any("log_scale" in name for name in whole) == any(True for _ in make().parameters())


def test_the_second_pass_of_a_chunk_has_the_dropout_of_the_first() -> None:
    torch.manual_seed(0)
    pretrained = Pretrained(config=tiny_config(13, hidden_dropout_prob=0.3), tokenizer=TOKENIZER)
    model = task_model("embedding", pretrained, labels=[], adaptation=Adaptation())
    assert isinstance(model, EmbeddingModel)
    recipe = Recipe(optimizer=torch.optim.SGD, schedule=Linear(), length=10)
    module = Embedding(model=model, labels=[], recipe=recipe).train()
    items = EmbeddingFeatures().items([pair("a b", "c"), pair("d", "e f")], TOKENIZER, [])
    batch = collate(items, [0, 1], global_labels=2)
    module.on_train_batch_start()
    first, other, again = (module._embed(batch, number) for number in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_batch_falls_into_chunks_of_whole_sequences() -> None:
    items = EmbeddingFeatures().items([pair("a b", "c"), pair("d", "e f g h"), pair("a", "b")], TOKENIZER, [])
    batch = collate(items, [0, 1, 2], global_labels=3)
    parts = list(chunks(batch, 9))
    assert len(parts) > 1
    assert all(part.packed.cu_seqlens[0] == 0 for part in parts)
    assert all(int(part.packed.cu_seqlens[-1]) <= 9 for part in parts)
    joined = torch.cat([part.packed.input_ids for part in parts])
    assert torch.equal(joined, batch.packed.input_ids)
    lengths = torch.cat([part.packed.cu_seqlens.diff() for part in parts])
    assert torch.equal(lengths, batch.packed.cu_seqlens.diff())
    assert [*chunks(batch, 1000)] == [batch]


def test_what_belongs_to_a_text_is_none_of_its_negatives() -> None:
    examples = [
        pair("a", "b", "c"), pair("d", "b"), pair("e", "f", "b"), pair("a", "g"), pair("h", "a"),
        pair("c c", "c d", group="x"), pair("d d", "d e", group="x"), pair("e e", "e f", group="y"),
    ]  # fmt: skip
    items = EmbeddingFeatures().items(examples, TOKENIZER, [])
    vectors = torch.arange(sum(len(item.sequences) for item in items)).float()[:, None]
    found = compare(vectors, list(range(len(items))), items, several_positives(items))
    texts = [example.text for example in examples]
    others = [example.positive for example in examples] + ["c", "b"]
    for row, example in enumerate(examples):
        for column, other in enumerate(others):
            known = {each.positive for each in examples if each.text == example.text} | {example.text}
            same = example.group is not None and column < len(examples) and examples[column].group == example.group
            assert bool(found.excluded[row, column]) == (column != row and (other in known or same)), (row, column)
    assert found.owners.tolist() == [*range(len(texts)), 0, 2]
    # Whatever the order in which ranks and chunks bring the items.
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    starts = np.cumsum([0, *(len(item.sequences) for item in items)])
    moved = torch.cat([vectors[starts[number] : starts[number + 1]] for number in order])
    again = compare(moved, order, items, several_positives(items))
    assert all(torch.equal(mine, other) for mine, other in zip(found[:5], again[:5], strict=True))


def test_ranks_are_those_of_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    examples = [
        pair(text, other, *more)
        for text, other, more in zip("abcdea", "bcfgab", ["c", "", "gh", "", "b", ""], strict=True)
    ]
    items = EmbeddingFeatures().items(examples, TOKENIZER, [])
    of_text = {text: random.normal(size=3).astype(np.float32) for text in "abcdefgh"}
    vectors = [np.stack([of_text[text] for text in [e.text, e.positive, *e.negatives]]) for e in examples]
    origins: list[Origin] = [item.origin for item in items]
    all_others = {text for example in examples for text in (example.positive, *example.negatives)}
    of_number = {
        int(n): t
        for o, e in zip(origins, examples, strict=True)
        for n, t in zip(o.texts, [e.text, e.positive, *e.negatives], strict=True)
    }
    for example, rank, nearest in zip(examples, *ranks_of(origins, vectors), strict=True):
        known = {other.positive for other in examples if other.text == example.text}
        rivals = all_others - known - {example.text}
        near = {text: of_text[example.text] @ of_text[text] for text in rivals}
        mine = of_text[example.text] @ of_text[example.positive]
        assert rank == 1 + sum(other >= mine for other in near.values())
        assert of_number[int(nearest)] == max(near, key=near.__getitem__)


def test_the_five_nearest_other_texts_vote_for_a_label() -> None:
    random = np.random.default_rng(3)
    vectors = unit(random.normal(size=(40, 4)))
    labels = random.choice(["a", "b", "c"], 40).tolist()
    for number, vote in enumerate(voted(vectors, labels)):
        near = sorted((n for n in range(40) if n != number), key=lambda n: -float(vectors[n] @ vectors[number]))[:5]
        counts = Counter(labels[n] for n in near)
        most = [label for label, count in counts.items() if count == max(counts.values())]
        assert vote == next(labels[n] for n in near if labels[n] in most)
    assert voted(vectors[:2], ["a", "b"]) == ["b", "a"]


def test_what_is_measured_follows_from_the_split() -> None:
    assert metrics_of([pair("a", "b")]) == ("mrr@10", "accuracy@1", "recall@10")
    assert metrics_of([pair("a", "b", "c")])[-1] == "triplet_accuracy"
    assert metrics_of([pair("a", "b", group="x")])[-1] == "knn_accuracy"
