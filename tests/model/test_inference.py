"""The packed encoder gives what the plain one gives; groups of hidden states against a loop; the choice of layers."""

import numpy as np
import pytest
import torch

from benchmarks.batches import random_batch
from cloze.model.bert import BertEncoder
from cloze.model.kernels.packed import PackedLinear
from cloze.model.pooling import LayerChoice, LayerPlan, grouped
from tests.tiny import tiny_config

CONFIG = tiny_config(100, num_hidden_layers=5, max_position_embeddings=512)


@pytest.mark.parametrize("lengths", [[5], [3, 3, 9], [128, 1, 60]])
def test_packed_as_plain(lengths: list[int]) -> None:
    torch.manual_seed(0)
    encoder = BertEncoder(CONFIG).eval()
    packed = random_batch(lengths, CONFIG.vocab_size).packed
    with torch.inference_mode():
        plain = encoder.hidden_states(packed)
        fast = encoder.pack().hidden_states(packed)
    for a, b in zip(plain, fast, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_packed_weights_take_the_place_of_the_plain_ones() -> None:
    encoder = BertEncoder(CONFIG).pack()
    if not any(isinstance(module, PackedLinear) for module in encoder.modules()):
        pytest.skip("no oneDNN on this machine")
    names = [name for name, _ in encoder.blocks.named_parameters()]
    assert all("norm" in name for name in names)


@pytest.mark.parametrize("how", ["sum", "max"])
def test_groups_against_a_loop(how: str) -> None:
    vectors = torch.randn(20, 7)
    groups = [[0], [3, 4, 5], [19, 2]]
    tokens = torch.tensor([token for group in groups for token in group])
    starts = torch.tensor([0, 1, 4])
    expected = [getattr(vectors[group].numpy(), how)(axis=0) for group in groups]
    np.testing.assert_allclose(grouped(vectors, tokens, starts, how), np.stack(expected), atol=1e-6)


def test_each_choice_of_layers_by_hand() -> None:
    states = [torch.full((2, 3), float(10**number)) for number in range(6)]

    def results(plan: LayerPlan) -> list[torch.Tensor]:
        return plan.results([states[number] for number in plan.numbers])

    by_hand = {
        "last": [states[5]],
        "second_to_last": [states[4]],
        "sum_last_4": [states[2] + states[3] + states[4] + states[5]],
        "concat_last_4": [torch.cat(states[2:], dim=1)],
        "all": states,
        "3": [states[3]],
    }
    for layers, expected in by_hand.items():
        plan = LayerChoice(layers=layers).plan(5, 3)
        assert plan.width == expected[0].shape[1]
        assert len(plan.names) == len(expected)
        torch.testing.assert_close(results(plan), expected)
    assert LayerChoice(layers=[5, 0]).plan(5, 3).names == ("layer_0", "layer_5")
    blocks = LayerChoice(layers="weighted_sum", weights=[0, 0, 0, 2, -1]).plan(5, 3)
    torch.testing.assert_close(results(blocks), [2 * states[4] - states[5]])
    with_embeddings = LayerChoice(layers="weighted_sum", weights=[3, 0, 0, 0, 2, -1]).plan(5, 3)
    torch.testing.assert_close(results(with_embeddings), [3 * states[0] + 2 * states[4] - states[5]])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"layers": "lst"}, "layers=lst: must be one of all, last"),
        ({"layers": [0, 6]}, "the model has the layers 0 (the embeddings) to 5, but no 6"),
        ({"layers": [1, 1]}, "each layer is to be named once"),
        ({"layers": []}, "each layer is to be named once, and at least one"),
        ({"layers": "weighted_sum"}, "layers=weighted_sum needs weights"),
        ({"layers": "last", "weights": [1.0]}, "only it takes them"),
        ({"layers": "weighted_sum", "weights": [1.0, 2.0]}, "has 2 numbers, but expected 5"),
    ],
)
def test_a_choice_that_cannot_be(choice: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        LayerChoice(**choice).plan(5, 3)  # type: ignore[arg-type]
    if choice["layers"] == "lst":
        with pytest.raises(ValueError, match="has only 2 blocks"):
            LayerChoice(layers="concat_last_4").plan(2, 3)
