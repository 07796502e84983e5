"""Our kernel of attention under Triton's interpreter, without a GPU: against attention written out, with its masks.

Needs the package triton, which comes with torch's builds for GPUs: ``pip install triton 'numpy<2.4'`` runs it anywhere.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

PROGRAM = """
import itertools
import math

import numpy as np
import torch

from cloze.model.kernels.dropout import keeps
from cloze.model.kernels.triton_attention import packed_attention

HEADS, SIZE = 2, 32


def written_out(qkv, begins, ends, key, dropout, longest):
    '''Every query with every key, those that it does not see at minus infinity; and the same elements dropped.'''
    places, inside = torch.arange(len(qkv)), ends > 0
    same = (places >= begins[:, None]) & (places < ends[:, None])
    low, high = key.numpy().view(np.uint32)
    threshold, tokens, mixed = np.uint32(round(dropout * 2**32)), len(qkv), []
    for head in range(HEADS):
        query, keys, value = qkv[:, :, head].unbind(1)
        scores = (query @ keys.T / math.sqrt(SIZE)).masked_fill(~same, -torch.inf)
        probs = torch.where(inside[:, None], scores, 0.0).softmax(-1) * inside[:, None]
        kept = torch.ones(tokens, tokens)
        for q, k in same.nonzero().tolist() if dropout else []:
            index = (q * HEADS + head) * longest + k - int(begins[q])
            kept[q, k] = float(keeps(np.uint32(index), (low, high), threshold))
        mixed.append((probs * kept / (1 - dropout)) @ value)
    return torch.stack(mixed, 1)


torch.manual_seed(0)
CASES = (
    ([3, 17, 17, 40, 64, 1, 64, 5], 0, 0.0, None), ([30, 64, 0, 0], 7, 0.0, None), ([70, 5, 90], 3, 0.3, None),
    ([3, 17, 40, 130, 1], 5, 0.0, 1), ([200, 64, 65, 66], 0, 0.0, 64), ([70, 5, 90], 3, 0.3, 16),
)
for lengths, tail, dropout, window in CASES:
    bounds = list(itertools.accumulate(lengths, initial=0))
    tokens = bounds[-1] + tail
    begins, ends = torch.zeros(2, tokens, dtype=torch.int32)
    for begin, end in itertools.pairwise(bounds):
        begins[begin:end], ends[begin:end] = begin, end
    begins[bounds[-1] :] = bounds[-1]
    if window is not None:
        places = torch.arange(tokens, dtype=torch.int32)
        begins, ends = torch.maximum(begins, places - window), torch.minimum(ends, places + window + 1)
    key = torch.randint(-(2**31), 2**31 - 1, (2,), dtype=torch.int32)
    qkv, weight = torch.randn(tokens, 3, HEADS, SIZE), torch.randn(tokens, HEADS, SIZE)
    found = []
    for attend in (
        lambda x: packed_attention(x, begins, ends, key, dropout, max(lengths))[0],
        lambda x: written_out(x, begins, ends, key, dropout, max(lengths)),
    ):
        x = qkv.clone().requires_grad_()
        mixed = attend(x)
        (mixed * weight).sum().backward()
        found.append((mixed.detach(), x.grad))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=2e-5, rtol=2e-5)
print("equal")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="triton, which comes with torch's builds for GPUs, is missing")
@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) >= "2.4.0", reason="Triton's interpreter needs numpy before 2.4"
)
def test_values_and_gradients_equal_attention_written_out() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "equal\n", done.stderr
