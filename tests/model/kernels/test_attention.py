"""Every kernel against the reference, in values and gradients: here those that run on a CPU, on a GPU all."""

import inspect
import itertools
from collections.abc import Sequence
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from cloze.batch import Packed
from cloze.model.bert import BertEncoder, SelfAttention
from cloze.model.kernels.attention import Padded, attend, fastest
from cloze.model.kernels.fused import varlen_has_windows
from tests.tiny import NO_DROPOUT, tiny_config

HEADS, HEAD_SIZE = 2, 16
LENGTHS = {
    "mixed": [3, 17, 17, 40, 64, 1, 64, 5],
    "one": [64],
    "full": [64, 64],
    "empty ones at the end": [30, 64, 0, 0],
    "much longer ones": [300, 5, 200, 130],
}
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def packed(lengths: Sequence[int], device: str = "cpu", *, longest: int | None = None) -> Packed:
    bounds = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)
    nothing = torch.zeros(int(bounds[-1]), dtype=torch.int64, device=device)
    return Packed(nothing, nothing, nothing, bounds, longest or max(lengths))


def outcome(
    kernel: str, qkv: Tensor, batch: Packed, weight: Tensor, window: int | None = None, dropout: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What comes out, and the gradient of what goes in."""
    leaf = qkv.clone().requires_grad_()
    if kernel == "written out":
        mixed = written_out(leaf, batch, window)
    else:
        mixed = attend(leaf, batch, dropout, kernel, window)
    (mixed * weight).sum().backward()
    assert leaf.grad is not None
    return mixed.detach(), leaf.grad


def written_out(qkv: Tensor, batch: Packed, window: int | None) -> Tensor:
    """Every query with every key, those of other sequences and beyond the window at minus infinity."""
    places, bounds = torch.arange(len(qkv)), batch.cu_seqlens
    owner = torch.bucketize(places, bounds[1:].contiguous(), right=True)
    seen = owner[:, None] == owner
    if window is not None:
        seen &= (places[:, None] - places).abs() <= window
    query, key, value = qkv.movedim(0, 2).unbind(0)  # (H, N, K)
    scores = (query @ key.mT / HEAD_SIZE**0.5).masked_fill(~seen, -torch.inf)
    mixed: Tensor = (scores.softmax(-1) @ value).transpose(0, 1)
    return mixed * (places < bounds[-1])[:, None, None]


def drawn(batch: Packed, *, tail: int = 0, head_size: int = HEAD_SIZE) -> tuple[Tensor, Tensor]:
    """Queries, keys, values and the weights of a loss, in fp32; ``tail`` tokens belong to no sequence."""
    generator = torch.Generator().manual_seed(1)
    tokens = len(batch.input_ids) + tail
    shape = (tokens, 3, HEADS, head_size)
    return torch.randn(shape, generator=generator), torch.randn(tokens, HEADS, head_size, generator=generator)


@pytest.mark.parametrize("tail", [0, 11])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("longest", [None, 512], ids=["longest there is", "constant bound"])
def test_sdpa_equals_the_reference(lengths: list[int], longest: int | None, tail: int) -> None:
    batch = packed(lengths, longest=longest)
    qkv, weight = drawn(batch, tail=tail)
    for ours, expected in zip(
        outcome("sdpa", qkv, batch, weight), outcome("reference", qkv, batch, weight), strict=True
    ):
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tail", [0, 11])
@pytest.mark.parametrize("lengths", [*LENGTHS.values(), [96, 97, 193, 192, 385], [64, 65, 66, 129, 1000]], ids=str)
@pytest.mark.parametrize("window", [None, 0, 1, 4, 64, 128, 4096])
def test_windows_equal_attention_written_out(window: int | None, lengths: list[int], tail: int) -> None:
    batch = packed(lengths)
    qkv, weight = drawn(batch, tail=tail)
    expected = outcome("written out", qkv, batch, weight, window)
    for kernel in ("reference", "sdpa"):
        for ours, exact in zip(outcome(kernel, qkv, batch, weight, window), expected, strict=True):
            torch.testing.assert_close(ours, exact, atol=2e-5, rtol=1e-4)
    # So rarely that no probability is dropped, but by the way that keeps them.
    for ours, exact in zip(outcome("reference", qkv, batch, weight, window, 1e-9), expected, strict=True):
        torch.testing.assert_close(ours, exact, atol=2e-5, rtol=1e-4)


def test_a_window_in_padded_rows_is_that_of_packed_tokens() -> None:
    lengths = [5, 40, 33]
    batch, mask = packed(lengths), torch.zeros(3, 40, dtype=torch.int64)
    qkv, _ = drawn(batch)
    rows = torch.zeros(3, 40, *qkv.shape[1:])
    for row, (sequence, length) in enumerate(zip(qkv.split(lengths), lengths, strict=True)):
        rows[row, :length], mask[row, :length] = sequence, 1
    found = attend(rows, Padded(mask, mask, torch.arange(40), mask), 0.0, window=7)
    torch.testing.assert_close(found[mask.bool()], attend(qkv, batch, 0.0, window=7), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_what_is_kept_for_the_backward_pass_of_a_window_grows_linearly(dropout: float) -> None:
    kept = []
    for length in (1024, 4096):
        sizes: list[int] = []

        def note(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        leaf = drawn(packed([length]))[0].requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            attend(leaf, packed([length]), dropout, window=64)
        kept.append(sum(sizes))
    assert kept[1] == 4 * kept[0]


def test_sdpa_in_bf16_is_as_near_to_fp32_as_the_reference() -> None:
    batch = packed(LENGTHS["mixed"])
    qkv, weight = drawn(batch)
    exact = outcome("reference", qkv, batch, weight)
    for kernel in ("sdpa", "reference"):
        for found, expected in zip(outcome(kernel, qkv.bfloat16(), batch, weight.bfloat16()), exact, strict=True):
            assert (found.float() - expected).norm() < 0.02 * expected.norm()


def test_dropped_probabilities_of_sdpa_leave_the_mean() -> None:
    batch = packed([4, 4])
    qkv, _ = drawn(batch)
    torch.manual_seed(0)
    draws = torch.stack([attend(qkv, batch, 0.5, "sdpa") for _ in range(1000)])
    assert draws.std(0).min() > 0.01  # it does drop
    torch.testing.assert_close(draws.mean(0), attend(qkv, batch, 0.0, "sdpa"), atol=0.2, rtol=0.0)


def test_a_kernel_refuses_what_it_cannot_honour() -> None:
    batch = packed([4, 4])
    qkv = drawn(batch)[0].to(torch.bfloat16).requires_grad_()
    with pytest.raises(ValueError, match="needs CUDA in bf16 or fp16, not cpu"):
        attend(qkv, batch, 0.0, "varlen")


def test_auto_takes_the_fastest_that_can_do_it() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert fastest(cpu, torch.bfloat16, 0.0, 64) == "reference"
    assert fastest(cuda, torch.bfloat16, 0.1, 64) == ("triton" if find_spec("triton") else "sdpa")
    assert fastest(cuda, torch.bfloat16, 0.0, 48) == "varlen"
    assert fastest(cuda, torch.bfloat16, 0.1, 48) == "sdpa"
    assert fastest(cuda, torch.float32, 0.0, 64) == "sdpa"
    assert fastest(cuda, torch.bfloat16, 0.0, 48, window=64) == ("varlen" if varlen_has_windows() else "sdpa")


def test_every_layer_gets_the_kernel() -> None:
    shape = tiny_config(9, **NO_DROPOUT)
    encoder, batch = BertEncoder(shape), packed([4, 64])
    expected = encoder(batch)
    encoder.use_kernel("sdpa")
    assert [m.kernel for m in encoder.modules() if isinstance(m, SelfAttention)] == ["sdpa", "sdpa"]
    torch.testing.assert_close(encoder(batch), expected, atol=1e-5, rtol=1e-5)


def test_torch_takes_the_arguments_that_varlen_is_called_with() -> None:
    """By place: torch 2.11 has these seven and two more, 2.13 has keywords beyond them."""
    from torch.nn.attention.varlen import varlen_attn

    parameters = list(inspect.signature(varlen_attn).parameters.values())
    assert [parameter.name for parameter in parameters[:7]] == [
        "query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k",
    ]  # fmt: skip
    assert all(parameter.default is not inspect.Parameter.empty for parameter in parameters[7:])


@GPU
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize(("kernel", "dtype"), [
    ("triton", torch.bfloat16), ("triton", torch.float16),
    ("varlen", torch.bfloat16), ("varlen", torch.float16), ("sdpa", torch.bfloat16), ("sdpa", torch.float32),
])  # fmt: skip
@pytest.mark.parametrize("window", [None, 1, 64])
def test_kernels_of_a_gpu_equal_the_reference_in_fp32(
    kernel: str, dtype: torch.dtype, window: int | None, lengths: list[int]
) -> None:
    if kernel == "varlen" and window is not None and not varlen_has_windows():
        pytest.skip("this torch's flash attention over sequences has no windows")
    batch = packed(lengths)
    qkv, weight = drawn(batch, head_size=64)
    expected = outcome("reference", qkv, batch, weight, window)
    there = packed(lengths, "cuda")
    found = outcome(kernel, qkv.to("cuda", dtype), there, weight.to("cuda", dtype), window)
    for ours, exact in zip(found, expected, strict=True):
        assert (ours.float().cpu() - exact).norm() < (1e-3 if dtype == torch.float32 else 0.02) * exact.norm()


@pytest.mark.parametrize("dropout", [0.0, 1e-9], ids=["plain", "with dropout of next to nothing"])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_some_rows_are_those_of_all(lengths: str, window: int | None, dropout: float) -> None:
    batch = packed([*LENGTHS[lengths], 6, 6])  # of the last two none is wanted
    generator = torch.Generator().manual_seed(0)
    tokens = int(batch.cu_seqlens[-1])
    rows = torch.randint(tokens - 12, (tokens // 3 + 2,), generator=generator)
    rows[-1] = rows[0]
    qkv = torch.randn(tokens, 3, HEADS, HEAD_SIZE, generator=generator)
    weight = torch.randn(len(rows), HEADS, HEAD_SIZE, generator=generator)
    found, expected = qkv.clone().requires_grad_(), qkv.clone().requires_grad_()
    some = attend(found, batch, dropout, "reference", window, rows)
    every = attend(expected, batch, 0.0, "reference", window)[rows]
    (some * weight).sum().backward()
    (every * weight).sum().backward()
    torch.testing.assert_close(some, every, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.grad, expected.grad, atol=1e-5, rtol=1e-5)
