"""The attention that is drawn is the attention of ``transformers`` with the same weights."""

import pytest
import torch

from benchmarks.batches import padded, random_batch
from tests.model.test_parity import both


def test_maps_equal() -> None:
    ours, theirs = both(layers=3)
    theirs.bert.config._attn_implementation = "eager"  # the other kernels do not hand them out
    batch = random_batch([23], 211)
    with torch.no_grad():
        found = ours.eval().encoder.attention_weights(batch.packed)
        inputs = padded(batch)
        inputs.pop("labels", None), inputs.pop("next_sentence_label", None)
        expected = theirs.eval()(**inputs, output_attentions=True).attentions
    assert len(found) == len(expected) == 3
    for ours_of_layer, theirs_of_layer in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_of_layer, theirs_of_layer[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours_of_layer.sum(-1), torch.ones(4, 23))
    with torch.no_grad():
        begun = ours.encoder.attention_weights(batch.packed, 5)
    for whole, part in zip(found, begun, strict=True):
        assert torch.equal(part, whole[:, :5, :5])
        assert part.untyped_storage().nbytes() == part.nbytes  # and nothing else of a long sequence is kept
    assert found[0].max() > 1.5 * found[0].min()  # they are not all alike


def test_only_one_sequence() -> None:
    ours, _ = both(layers=1)
    with pytest.raises(ValueError, match="one sequence, but was given 2"):
        ours.eval().encoder.attention_weights(random_batch([5, 6], 211).packed)
