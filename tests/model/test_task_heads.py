"""The four task models against Hugging Face's classes with the same weights, on packed sequences of mixed lengths."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from benchmarks.batches import padded, random_batch
from cloze.batch import TaskBatch
from cloze.model.adaptation import Adaptation
from cloze.model.architecture import SUFFIXES, Head
from cloze.model.config import BertConfig
from cloze.model.families.bert import BERT, NAMES
from cloze.model.task_heads import TASK_MODELS, TaskModel
from tests.tiny import NO_DROPOUT, shaken, tiny_config

LENGTHS = [3, 17, 17, 40, 64, 64, 30, 5]
CHOICES = 2  # so that the eight sequences are four items
OUTPUTS = {
    "sequence_classification": 3,
    "token_classification": 5,
    "question_answering": 2,
    "multiple_choice": 1,
}
PUBLISHED = [head for head in TASK_MODELS if head in SUFFIXES]
"""That Hugging Face has classes for."""
CONFIG = tiny_config(97, num_hidden_layers=3, **NO_DROPOUT)


def task_batch(lengths: list[int] = LENGTHS) -> TaskBatch:
    packed = random_batch(lengths, CONFIG.vocab_size).packed
    return TaskBatch(packed, torch.empty(0), torch.arange(len(lengths) // CHOICES), sum(lengths), 1)


def built(kind: Head, config: BertConfig = CONFIG, **options: object) -> TaskModel:
    torch.manual_seed(0)
    adaptation = Adaptation(**options)  # type: ignore[arg-type]
    model = TASK_MODELS[kind](config, OUTPUTS[kind], adaptation)
    return shaken(model, 0.05)


def their_model(head: Head, model: TaskModel) -> nn.Module:
    config = transformers.BertConfig(
        **dataclasses.asdict(model.config), num_labels=max(2, OUTPUTS[head]), attn_implementation="eager"
    )
    theirs: nn.Module = getattr(transformers, BERT.class_of(head))(config)
    theirs.load_state_dict(NAMES.to_hugging_face(model.state_dict(), head=head))
    return theirs


def their_logits(head: Head, theirs: nn.Module) -> Tensor:
    """Their logits for the same sequences, padded, as our model lays them out."""
    rows = padded(random_batch(LENGTHS, CONFIG.vocab_size))
    real = rows["attention_mask"].bool()
    inputs = {name: rows[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
    if head == "multiple_choice":
        inputs = {name: row.unflatten(0, (-1, CHOICES)) for name, row in inputs.items()}
    out = theirs(**inputs)
    if head == "question_answering":
        return torch.stack([out.start_logits[real], out.end_logits[real]], dim=-1)
    logits: Tensor = out.logits
    return logits[real] if head == "token_classification" else logits


@pytest.mark.parametrize("head", PUBLISHED)
def test_logits_and_gradients_equal_hugging_face(head: Head) -> None:
    model = built(head)
    theirs = their_model(head, model)
    logits, expected = model(task_batch()), their_logits(head, theirs)
    assert logits.shape == expected.shape
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert logits.std() > 0.01
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    (logits * direction).sum().backward()
    (expected * direction).sum().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    mapped = NAMES.from_hugging_face(NAMES.present_spelling(gradients), [name for name, _ in model.named_parameters()])
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # The gradient of a key's bias is zero in exact arithmetic: compare on the scale of the whole projection.
        assert (parameter.grad - mapped[name]).norm() <= 1e-4 * mapped[name].norm(), name


class MixCase(NamedTuple):
    """A mix, and what it means for Hugging Face's list of hidden states, the embeddings first."""

    layers: str
    stated: Callable[[list[Tensor]], Tensor]


def weighted(states: list[Tensor]) -> Tensor:
    """ELMo's sum with the weights that the test sets: softmax of 0, 1, 2, ... and scale 1.5."""
    weights = torch.arange(len(states)).float().softmax(0)
    return 1.5 * sum((w * s for w, s in zip(weights, states, strict=True)), torch.zeros(()))


MIXES = [
    MixCase("last", lambda states: states[-1]),
    MixCase("second_to_last", lambda states: states[-2]),
    MixCase("embeddings", lambda states: states[0]),
    MixCase("sum_last_4", lambda states: states[-1] + states[-2] + states[-3] + states[-4]),
    MixCase("concat_last_4", lambda states: torch.cat(states[-4:], dim=-1)),
    MixCase("weighted_sum_last_4", lambda states: weighted(states[-4:])),
    MixCase("weighted_sum", lambda states: weighted(states[1:])),
]


@pytest.mark.parametrize("case", MIXES, ids=[case.layers for case in MIXES])
def test_mixes_equal_a_plain_statement_on_their_hidden_states(case: MixCase) -> None:
    config = dataclasses.replace(CONFIG, num_hidden_layers=6)
    model = built("token_classification", config, layers=case.layers).eval()
    if "weighted" in case.layers:
        model.mix.weights.data = torch.arange(len(model.mix.weights)).float()
        model.mix.scale.data.fill_(1.5)
    encoder = transformers.BertModel(transformers.BertConfig(**dataclasses.asdict(config)), add_pooling_layer=False)
    state = NAMES.to_hugging_face({f"encoder.{name}": tensor for name, tensor in model.encoder.state_dict().items()})
    encoder.load_state_dict({name.removeprefix("bert."): tensor for name, tensor in state.items()})
    rows = padded(random_batch(LENGTHS, CONFIG.vocab_size))
    mask = rows["attention_mask"]
    with torch.no_grad():
        hidden = encoder.eval()(
            rows["input_ids"], mask, token_type_ids=rows["token_type_ids"], output_hidden_states=True
        ).hidden_states
        vectors = model.token_vectors(task_batch())
    torch.testing.assert_close(vectors, case.stated(list(hidden))[mask.bool()], atol=1e-4, rtol=0)


def test_a_weighted_sum_begins_as_the_mean_and_learns() -> None:
    config = dataclasses.replace(CONFIG, num_hidden_layers=4)
    model = TASK_MODELS["token_classification"](config, 5, Adaptation(layers="weighted_sum"))
    states = model.encoder.hidden_states(task_batch().packed)
    torch.testing.assert_close(model.token_vectors(task_batch()), torch.stack(states[1:]).mean(0))
    model(task_batch()).square().sum().backward()
    for learned in (model.mix.weights, model.mix.scale):
        assert learned.grad is not None
        assert learned.grad.any()


def stepped(model: TaskModel) -> dict[str, Tensor]:
    """What an optimizer step with weight decay leaves."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.1, weight_decay=0.1)
    model.train()(task_batch()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in trained)  # as DDP wants it
    optimizer.step()
    return model.state_dict()


@pytest.mark.parametrize("head", PUBLISHED)
@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({"frozen_layers": 2}, ("encoder.blocks.2.", "pooler.", "classifier.")),
        ({"frozen_layers": "all"}, ("classifier.",)),
        ({"frozen_layers": "all", "head": "bilstm", "lstm_hidden_size": 8}, ("classifier.", "lstm.")),
        (
            {"layers": "second_to_last"},
            ("encoder.embeddings.", "encoder.blocks.0.", "encoder.blocks.1.", "classifier."),
        ),
    ],
)
def test_only_what_is_trained_changes(head: Head, options: dict[str, object], trained: tuple[str, ...]) -> None:
    config = dataclasses.replace(CONFIG, hidden_dropout_prob=0.1)
    model = built(head, config, **options)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, tensor in stepped(model).items():
        assert torch.equal(tensor, before[name]) != name.startswith(trained), name


def test_frozen_parts_drop_nothing_out_in_training() -> None:
    config = dataclasses.replace(CONFIG, hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    model = built("token_classification", config, frozen_layers="all", classifier_dropout=0.0).train()
    assert torch.equal(model(task_batch()), model(task_batch()))
    assert torch.equal(model(task_batch()), model.eval()(task_batch()))
    lower = built("token_classification", config, frozen_layers=2, classifier_dropout=0.0).train()
    first, second = (lower.encoder.hidden_states(task_batch().packed) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))
    assert not torch.equal(first[3], second[3])
    assert not any(state.requires_grad for state in first[:3])


@pytest.mark.parametrize("head", PUBLISHED)
def test_dropout_before_the_classifier_is_theirs(head: Head) -> None:
    """Their rate: classifier_dropout, else hidden_dropout_prob; none for question answering."""
    model = built(head, dataclasses.replace(CONFIG, hidden_dropout_prob=0.3))
    own = built(head, CONFIG, classifier_dropout=0.2)
    answers = head == "question_answering"
    assert [model.dropout.rate, own.dropout.rate] == ([0.0, 0.0] if answers else [0.3, 0.2])


def test_rates_of_dropout_can_be_replaced() -> None:
    model = built("token_classification", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.4)
    assert model.encoder.embeddings.dropout.rate == 0.2  # type: ignore[union-attr]
    assert {block.attention.dropout_prob for block in model.encoder.blocks} == {0.4}  # type: ignore[union-attr]
    assert model.config.hidden_dropout_prob == 0.2


def test_gradient_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = built("token_classification", frozen_layers=1)
        model.encoder.gradient_checkpointing = checkpointing
        F.cross_entropy(model.train()(task_batch()), torch.arange(sum(LENGTHS)) % 5).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1])
