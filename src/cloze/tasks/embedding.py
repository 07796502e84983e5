"""Embeddings: one vector a text, such that texts that belong together are near each other."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from cloze.batch import TaskBatch
from cloze.data.finetuning.items import Item
from cloze.data.finetuning.module import TaskData
from cloze.data.splitmix import key_of
from cloze.data.tables.examples import PairExample, Prediction
from cloze.errors import InputError
from cloze.metrics.classification import pearson, spearman
from cloze.model.task_heads import EmbeddingModel
from cloze.tasks.embedding_batches import chunks, compare, places, ranks_of, several_positives, unit, voted
from cloze.tasks.embedding_losses import EmbeddingLoss, InfoNCE, Similarity
from cloze.tasks.finetuning import FineTuning
from cloze.tasks.training import Recipe

RANKED = ("mrr@10", "accuracy@1", "recall@10")
OF_NEGATIVES, OF_LABELS = "triplet_accuracy", "knn_accuracy"
SCORED = ("spearman", "pearson")


class Embedding(FineTuning[PairExample]):
    """Vectors that are compared with those of a whole global batch (Reimers and Gurevych 2019, section 3).

    A batch that is too large for the memory is embedded in chunks: first without a graph, then, with the gradients of
    the loss with respect to the vectors, each chunk again (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch
    Size under Memory Limited Setup", section 3). Ranks exchange vectors, so that any number of ranks and of chunks
    makes the same update.

    Args:
        loss: of the embeddings of a batch; None for `InfoNCE`.
        similarity: of two vectors: their cosine or their dot product; None for the cosine.
        dimension: of the vectors that are given out, at most; None for all of it.
        metric: that picks the best checkpoint; None for ``spearman`` where the dev set has scores, else ``mrr@10``.
        model, labels, recipe: see `cloze.tasks.finetuning.FineTuning`.

    Raises:
        InputError: there is no such metric.
    """

    head = "embedding"
    training_arguments: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(
        self,
        *,
        loss: EmbeddingLoss | None = None,
        similarity: Similarity | None = None,
        dimension: int | None = None,
        metric: str | None = None,
        model: EmbeddingModel,
        labels: Sequence[str],
        recipe: Recipe,
    ) -> None:
        super().__init__(model=model, labels=labels, recipe=recipe)
        if metric not in (None, *(every := (*RANKED, OF_NEGATIVES, OF_LABELS, *SCORED))):
            raise InputError(f"task.module.metric={metric}: must be one of {', '.join(every)}")
        if dimension is not None and not 1 <= dimension <= model.width:
            raise InputError(f"task.module.dimension={dimension}: must be from 1 to {model.width}, the model's own")
        self.similarity: Similarity = similarity or "cosine"
        self.dimension = dimension
        self.metric = metric
        self._items: Sequence[Item] = []
        self._positives: dict[int, np.ndarray] = {}
        self._chunk_tokens = 0
        self._layers: tuple[int, ...] = ()  # below the last, of this step
        self.main_metric = metric or RANKED[0]
        self.model.training_only = loss or InfoNCE()  # whose parameters are in checkpoints, but in no model folder

    @property
    def loss(self) -> EmbeddingLoss:
        """Of the embeddings of a batch."""
        return self.model.training_only  # type: ignore[return-value]

    def check_split(self, split: str, examples: Sequence[PairExample], *, is_monitored: bool = False) -> list[str]:
        """Choose the metric by what the dev set has.

        Raises:
            InputError: it has not what the given metric needs.
        """
        if not is_monitored:
            return []
        known = metrics_of(examples)
        self.main_metric = self.metric or known[0]
        if self.main_metric not in known:
            lacks = {OF_NEGATIVES: "no negatives", OF_LABELS: "no labels"}.get(self.main_metric, "no scores of pairs")
            what = "scores of pairs" if known is SCORED else lacks
            raise InputError(
                f"task.module.metric={self.metric}: the split {split} has {what}; take {' or '.join(known)}"
            )
        return []

    def attach(self, data: TaskData[PairExample]) -> None:
        """Keep the items of training, whose numbers a batch has, and how much of a batch is embedded at once.

        Raises:
            InputError: the loss needs negatives, scores or layers, and there are none.
        """
        examples, self._items = data.splits["train"]
        self._chunk_tokens = data.evaluation_tokens
        self._positives = several_positives(self._items)
        top, frozen = self.model.config.num_hidden_layers, self.model.adaptation.frozen_layers
        self.loss.choose_from(range(top if frozen == "all" else frozen + 1, top))
        needs, name = self.loss.needs, type(self.loss).__name__
        if needs == "negatives" and all(len(item.sequences) == 2 for item in self._items):
            raise InputError(f"task.module.loss: {name} needs negatives, but task.data.train has none")
        if needs == "scores" and any(example.scores is None for example in examples):
            where = next(example.where for example in examples if example.scores is None)
            raise InputError(f"task.module.loss: {name} needs scores, but {where} has none")

    # Lightning's order is: the step, gradients to zero, the backward pass; this step has backward passes of its own.
    def optimizer_zero_grad(self, *_: Any) -> None:
        """Nothing: `training_step` does it before its first backward pass."""

    def training_step(self, batch: TaskBatch, _: int) -> Tensor:
        """The loss of the global batch, whose gradient is that of this rank's part."""
        self.trainer.optimizers[0].zero_grad()
        self._layers = self.loss.layers(self.trainer.global_step)
        parts = list(chunks(batch, self._chunk_tokens))
        idle = self._most(len(parts)) - len(parts)
        at_once = len(parts) + idle == 1
        with torch.set_grad_enabled(at_once):
            found = [self._embed(part, number) for number, part in enumerate([*parts, *parts[:1] * idle])][: len(parts)]
        vectors = torch.cat(found)
        leaf = vectors.detach().requires_grad_()
        loss, gradient, own = self._gradient(leaf, batch)
        ranks = self.trainer.world_size
        self.since_last_row.add(
            torch.stack([loss.double(), loss.new_ones((), dtype=torch.float64)]) * (batch.global_labels / ranks),
            batch.num_tokens,
        )
        if not at_once:
            for _ in range(idle):
                self._scaled((self._embed(parts[0], 0) * 0.0).sum()).backward()
            *first, last = zip(parts, gradient.split([len(each) for each in found]), strict=True)
            for number, (part, of_part) in enumerate(first):
                self._scaled((self._embed(part, number) * of_part).sum()).backward()
            vectors, gradient = self._embed(last[0], len(first)), last[1]
        # DDP takes the mean over ranks of what is the sum of their parts.
        surrogate = ranks * (vectors * gradient).sum() + sum((each * of).sum() for each, of in own)
        return surrogate + (loss - surrogate).detach()

    def _most(self, parts: int) -> int:
        """The chunks of the rank that has most, where each rank needs the others to compute one."""
        if self.device_mesh is None:
            return parts
        most = torch.tensor(parts, device=self.device)
        torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
        return int(most)

    def _scaled(self, surrogate: Tensor) -> Tensor:
        """As Lightning scales what it takes the gradient of."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        surrogate = surrogate * self.trainer.world_size
        return surrogate if scaler is None else scaler.scale(surrogate)

    def _embed(self, part: TaskBatch, number: int) -> Tensor:
        """The embeddings of a chunk, (B, D), of all layers of the step, with the same dropout each time."""
        torch.manual_seed(int(key_of(self._seed, number)))
        torch.clear_autocast_cache()  # what was cast without a graph, or for a graph that is gone
        return self.model(part, layers=self._layers).float()  # type: ignore[no-any-return]

    def on_train_batch_start(self, *_: Any) -> None:
        """Keep what `StepSeed` has seeded the generators with."""
        self._seed = torch.initial_seed()

    def _gradient(self, leaf: Tensor, batch: TaskBatch) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """The loss of the global batch, its gradient for this rank's vectors (B, D), and for parameters of the loss."""
        everything, numbers, first = self._exchanged(leaf, batch)
        compared = compare(everything, numbers, self._items, self._positives)
        loss = self.loss(compared._replace(layers=self._layers), self.similarity)
        own = [parameter for parameter in self.loss.parameters() if parameter.requires_grad]
        gradient, *of_own = torch.autograd.grad(loss, [everything, *own])
        return loss.detach(), gradient[first : first + len(leaf)], list(zip(own, of_own, strict=True))

    def _exchanged(self, leaf: Tensor, batch: TaskBatch) -> tuple[Tensor, list[int], int]:
        """The embeddings of all ranks, (B, D), the numbers of all items, and where this rank's vectors begin."""
        numbers = batch.items.tolist()
        if self.trainer.world_size == 1:
            return leaf, numbers, 0
        ranks = self.trainer.world_size
        found: list[tuple[list[int], int]] = [([], 0)] * ranks
        torch.distributed.all_gather_object(found, (numbers, len(leaf)))
        counts = [count for _, count in found]
        padded = torch.nn.functional.pad(leaf.detach(), (0, 0, 0, max(counts) - len(leaf)))
        parts = [torch.empty_like(padded) for _ in range(ranks)]
        torch.distributed.all_gather(parts, padded)
        everything = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).requires_grad_()
        return everything, [number for part, _ in found for number in part], sum(counts[: self.trainer.global_rank])

    def step(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """No loss of a part of a batch; the vectors (B, D)."""
        vectors = self.model(batch)
        return vectors.new_zeros(()), vectors

    def outputs(self, batch: TaskBatch) -> dict[int, np.ndarray]:
        """The vectors (n, D) of each item, by its number."""
        vectors = self.step(batch)[1].detach().float()[:, : self.dimension].cpu().numpy()
        counts = (batch.sequences >= 0).sum(1).cpu().numpy() if batch.sequences is not None else len(batch.items)
        parts = np.split(vectors, counts if isinstance(counts, int) else np.cumsum(counts)[:-1])
        return {item: part.copy() for item, part in zip(batch.items.tolist(), parts, strict=True) if item >= 0}

    def predictions(
        self, examples: Sequence[PairExample], items: Sequence[Item], outputs: Sequence[np.ndarray]
    ) -> list[Prediction]:
        """How similar each text and its positive are; without scores the rank of the positive among all texts.

        The error, by which the worst are found, is the difference between the places in the two orders, as a share; or
        how many texts are nearer than the positive.
        """
        vectors = [self._comparable(each) for each in outputs]
        similarity = [float(each[0] @ each[1]) for each in vectors]
        found: list[Prediction] = [
            {"id": example.id, "text": example.text, "text_pair": example.positive} for example in examples
        ]
        if is_scored(examples):
            scores = [each.scores[0] for each in examples if each.scores is not None]
            apart = np.abs(places(similarity) - places(scores))
            for said, *values in zip(found, similarity, scores, apart.tolist(), strict=True):
                said |= dict(zip(("prediction", "label", "error"), values, strict=True))
            return found
        texts = {
            number: text
            for example, item in zip(examples, items, strict=True)
            for number, text in zip(
                item.origin.texts[1:].tolist(), [example.positive, *example.negatives], strict=False
            )
        }
        ranks, nearest = ranks_of([item.origin for item in items], vectors)
        for said, value, rank, rival in zip(found, similarity, ranks.tolist(), nearest.tolist(), strict=True):
            said |= {"prediction": rank, "label": 1, "error": rank - 1, "similarity": value, "nearest": texts[rival]}
        for said, example, each in zip(found, examples, vectors, strict=True):
            if example.negatives:
                said["before_negatives"] = bool((each[0] @ each[2:].T < each[0] @ each[1]).all())
        if is_labelled(examples):
            groups = [str(example.group) for example in examples]
            for said, group, vote in zip(found, groups, voted(np.stack([v[0] for v in vectors]), groups), strict=True):
                said |= {"group": group, "nearest_group": vote}
        return found

    def _comparable(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors whose dot product is the similarity."""
        return vectors if self.similarity == "dot" else unit(vectors)

    def metrics(self, examples: Sequence[PairExample], predictions: Sequence[Prediction]) -> dict[str, float]:
        """Of scored pairs correlations; of others how high the positive of a text ranks among all texts."""
        said = np.array([prediction["prediction"] for prediction in predictions])
        if is_scored(examples):
            right = np.array([prediction["label"] for prediction in predictions])
            return {"spearman": spearman(said, right), "pearson": pearson(said, right)}
        ranks = said
        before = [each["before_negatives"] for each in predictions if "before_negatives" in each]
        found = [each["group"] == each["nearest_group"] for each in predictions if "group" in each]
        return {
            "mrr@10": float(np.where(ranks <= 10, 1.0 / ranks, 0.0).mean()),
            "accuracy@1": float((ranks == 1).mean()),
            "recall@10": float((ranks <= 10).mean()),
            **({OF_NEGATIVES: float(np.mean(before))} if before else {}),
            **({OF_LABELS: float(np.mean(found))} if found else {}),
        }


def metrics_of(examples: Sequence[PairExample]) -> tuple[str, ...]:
    """What can be measured on a split, the metric that picks the best checkpoint first."""
    if is_scored(examples):
        return SCORED
    of_negatives = (OF_NEGATIVES,) if any(example.negatives for example in examples) else ()
    return (*RANKED, *of_negatives, *((OF_LABELS,) if is_labelled(examples) else ()))


def is_labelled(examples: Sequence[PairExample]) -> bool:
    """Whether the examples are texts with labels."""
    return all(example.group is not None for example in examples)


def is_scored(examples: Sequence[PairExample]) -> bool:
    """Whether the examples are pairs with scores, without negatives."""
    return all(example.scores is not None and not example.negatives for example in examples)
