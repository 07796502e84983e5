"""What is compiled and what is written are one: the same batches with numba turned off."""

import os
import sys

import pytest

from cloze.data.objective import MASKINGS, PAIRS
from tests import processes

PROGRAM = """
import hashlib, sys
import numpy as np
np.seterr(over="ignore")  # 64-bit arithmetic wraps around silently when compiled
from cloze.data.dataset import cut_batch
from cloze.data.masking import Masking
from cloze.data.objective import MASKINGS, PAIRS, Objective
from cloze.data.packing import pack
from cloze.data.plan import BatchSize, make_plan
from tests.data.corpora import prose, shard_of, vocabulary

shard = shard_of(prose(8))
for pairs in PAIRS:
    for masking in MASKINGS:
        objective = Objective(pairs=pairs, masking=masking, max_length=64)
        plan = make_plan(shard, objective, BatchSize(tokens=1024), seed=3, epoch=1, shard_index=2)
        how, digest = Masking.of(objective, 0.2), hashlib.sha256()
        for batch in range(plan.num_batches):
            parts, masked, labelled = cut_batch(shard, plan, batch, 2, how, vocabulary())
            for part in parts:
                counts = {"global_masked": masked, "global_pairs": labelled}
                made = pack(shard, plan, part, how, vocabulary(), max_length=64, **counts)
                for tensor in (*made.packed[:4], *made[1:4]):
                    digest.update(tensor.numpy().tobytes())
                digest.update(str(made[4:]).encode())
        print(pairs, masking, plan.num_batches > 1, digest.hexdigest())
"""


@pytest.mark.slow
def test_compiled_and_interpreted_batches_are_equal() -> None:
    outputs = [
        processes.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        ).stdout
        for disabled in ("0", "1")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count(" True ") == len(PAIRS) * len(MASKINGS)
