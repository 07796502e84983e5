"""One graph for the whole step, forward and backward, and not one more after the first batch.

The compiler behind the graph is left out: what is asked here is what dynamo makes of the step, on any device.
"""

from collections.abc import Iterator
from itertools import islice, pairwise

import pytest
import torch
from torch._dynamo.utils import counters

from cloze.batch import PretrainingBatch
from cloze.data.pretraining.dataset import Index, MicroBatches, Order, Span, Windows
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.plan import BatchSize
from cloze.model.bert import BertForPreTraining
from cloze.tasks.masked_lm import Losses, compiled_losses, pretraining_losses
from tests.data.corpora import VOCAB_SIZE, prose, vocabulary, write_shards
from tests.tiny import tiny_model

# Dynamo makes one itself to see what is kept for the backward pass.
pytestmark = pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated:DeprecationWarning")


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[PretrainingBatch]:
    """Micro-batches as training gets them, of constant shapes; their sequences and counts differ."""
    order = Order(
        shards=write_shards(tmp_path_factory.mktemp("shards"), prose(40)),
        vocabulary=vocabulary(),
        objectives=(MaskedLM(max_length=64),),
        sizes=(BatchSize(tokens=512),),
        seed=1,
    )
    data = MicroBatches(Windows(order), micro_batches=1, static_shapes=True)
    ends = data.parts[0].plan(0, 0, (0,))[1].batches.tolist()
    found = [data[Index(0, (Span(0, 0, (0,), *span),), 0, 0.15, 512)] for span in islice(pairwise(ends), 6)]
    assert len({batch.global_masked for batch in found}) > 1
    return found


def model(kernel: str, *, checkpointing: bool = False) -> BertForPreTraining:
    made = tiny_model(VOCAB_SIZE)
    made.encoder.gradient_checkpointing = checkpointing
    made.encoder.use_kernel(kernel)
    return made


def step(bert: BertForPreTraining, batch: PretrainingBatch, losses_of: Losses = pretraining_losses) -> float:
    losses = losses_of(bert, batch)
    loss = losses.masked_lm.loss / batch.global_masked + losses.next_sentence.loss / batch.global_pairs
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_step_is_one_graph_that_is_made_once(batches: list[PretrainingBatch], checkpointing: bool) -> None:
    bert = model("sdpa", checkpointing=checkpointing)
    compiled = compiled_losses(backend="aot_eager")
    step(bert, batches[0], compiled)
    assert counters["stats"]["unique_graphs"] == 1
    with torch.compiler.set_stance("fail_on_recompile"):
        for batch in batches[1:]:
            step(bert, batch, compiled)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert counters["aot_autograd"]["total"] == 1
    assert all(parameter.grad is not None for parameter in bert.parameters())


def test_it_computes_what_the_step_computes(batches: list[PretrainingBatch]) -> None:
    plain, compiled = model("auto"), model("sdpa")
    for bert in (plain, compiled):
        bert.eval()  # no dropout
        bert.requires_grad_(True)
    assert step(plain, batches[0]) == pytest.approx(
        step(compiled, batches[0], compiled_losses(backend="aot_eager")), rel=1e-5
    )
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for (name, ours), theirs in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 1e-4 * ours.grad.norm() + 1e-6, name


def test_attention_that_asks_the_host_for_lengths_is_refused(batches: list[PretrainingBatch]) -> None:
    bert = model("reference")
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        step(bert, batches[0], compiled_losses(backend="eager"))
