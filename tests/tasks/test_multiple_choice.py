"""Multiple choice: Hugging Face's loss, and predictions."""

import numpy as np
import pytest
import torch
from transformers import BertConfig as TheirConfig
from transformers import BertForMultipleChoice

from cloze.checkpoint.pretrained import Pretrained
from cloze.checkpoint.task_models import task_model
from cloze.data.finetuning.batching import collate
from cloze.data.finetuning.choice import ChoiceFeatures
from cloze.data.tables.examples import ChoiceExample
from cloze.model.adaptation import Adaptation
from cloze.model.families.bert import NAMES
from cloze.optim.schedules import Linear
from cloze.tasks.multiple_choice import MultipleChoice
from cloze.tasks.training import Recipe
from cloze.text.tokenizer import SPECIAL_TOKENS, build_tokenizer
from tests.tiny import NO_DROPOUT, SHAPE, tiny_config

TOKENIZER = build_tokenizer([*SPECIAL_TOKENS, *"abcdefgh"])


@pytest.fixture
def module() -> MultipleChoice:
    torch.manual_seed(0)
    pretrained = Pretrained(config=tiny_config(13, **NO_DROPOUT), tokenizer=TOKENIZER)
    return MultipleChoice(
        model=task_model("multiple_choice", pretrained, labels=[], adaptation=Adaptation()),
        labels=[],
        recipe=Recipe(optimizer=torch.optim.AdamW, schedule=Linear(), length=10),
    )


def choice(label: int | None, *choices: str) -> ChoiceExample:
    return ChoiceExample(id="7", where="x, line 1", text="a b", choices=choices, label=label)


def test_the_loss_is_hugging_faces(module: MultipleChoice) -> None:
    found = [choice(2, "c", "d e f", "g"), choice(0, "h", "a", "b c"), choice(None, "h", "a", "b c")]
    items = ChoiceFeatures().items(found, TOKENIZER, [])
    batch = collate(items, [0, 1], global_labels=2)
    loss, scores = module.eval().step(batch)
    theirs = BertForMultipleChoice(TheirConfig(vocab_size=13, **SHAPE)).eval()
    theirs.load_state_dict(NAMES.to_hugging_face(module.model.state_dict()), strict=True)
    sequences = [sequence for number in batch.items.tolist() for sequence in items[number].sequences]
    pad = torch.nn.utils.rnn.pad_sequence
    rows = {
        "input_ids": [torch.from_numpy(s.input_ids).long() for s in sequences],
        "token_type_ids": [torch.from_numpy(s.token_type_ids).long() for s in sequences],
        "attention_mask": [torch.ones(len(s.input_ids)) for s in sequences],
    }
    with torch.no_grad():
        expected = theirs(
            **{name: pad(row, batch_first=True).unflatten(0, (2, 3)) for name, row in rows.items()}, labels=batch.labels
        )
    assert torch.allclose(scores, expected.logits, atol=1e-5)
    assert loss.item() / 2 == pytest.approx(expected.loss.item(), rel=1e-5)
    assert module.step(collate(items, [2], global_labels=1))[0].item() == 0.0


def test_items_of_one_batch_may_have_different_numbers_of_choices(module: MultipleChoice) -> None:
    found = [choice(2, "c", "d e f", "g"), choice(0, "h", "a"), choice(4, "h", "a", "b c", "d", "e")]
    items = ChoiceFeatures().items(found, TOKENIZER, [])

    def trained(*numbers: int) -> tuple[float, list[torch.Tensor], dict[int, np.ndarray]]:
        module.zero_grad()
        batch = collate(items, numbers, global_labels=len(numbers))
        loss, _ = module.step(batch)
        loss.backward()
        return loss.item(), [p.grad.clone() for p in module.parameters() if p.grad is not None], module.outputs(batch)

    module.eval()
    loss, gradients, outputs = trained(0, 1, 2)
    alone = [trained(number) for number in range(3)]
    assert loss == pytest.approx(sum(one[0] for one in alone), rel=1e-5)
    for together, *parts in zip(gradients, *(one[1] for one in alone), strict=True):
        assert torch.isfinite(together).all()
        assert torch.allclose(together, sum(parts), atol=1e-6)
    said = module.predictions(found, items, [outputs[number] for number in range(3)])
    for number, record in enumerate(said):
        (expected,) = module.predictions([found[number]], [items[number]], [alone[number][2][number]])
        assert record["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        assert len(record["probabilities"]) == len(found[number].choices)


def test_predictions(module: MultipleChoice) -> None:
    found = [choice(1, "c", "d"), choice(0, "e", "f"), choice(None, "g", "h")]
    said = module.predictions(found, [], [np.array([0.0, np.log(4)], np.float32)] * 3)
    assert said[0] == {
        "id": "7",
        "text": "a b",
        "choices": ["c", "d"],
        "prediction": 1,
        "probability": pytest.approx(0.8),
        "probabilities": {"0": pytest.approx(0.2), "1": pytest.approx(0.8)},
        "label": 1,
        "correct": True,
    }
    assert [row.get("correct") for row in said] == [True, False, None]
    assert module.metrics(found, said) == {"accuracy": 0.5}
    assert module.metrics(found[2:], said[2:]) == {}
