"""What is compiled and what is written are one: the same batches with numba turned off."""

from pathlib import Path

import pytest

from cloze.data.pretraining.settings import MASKINGS, PAIRS
from tests import forks

PROGRAM = """
import hashlib, sys
import numba
import numpy as np

if {0}:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cloze", "tests")]:
        del sys.modules[name]  # which the fork has, compiled
    numba.config.DISABLE_JIT = True
np.seterr(over="ignore")  # 64-bit arithmetic wraps around silently when compiled
from cloze.data.pretraining.dataset import cut_batch
from cloze.data.pretraining.masked_lm import MaskedLM
from cloze.data.pretraining.settings import MASKINGS
from cloze.data.pretraining.plan import Sequences
from cloze.data.pretraining.settings import PAIRS
from cloze.data.pretraining.plan import BatchSize, make_plan
from cloze.data.pretraining.pairs import next_sentence_rows
from tests.data.corpora import prose, shard_of, vocabulary

assert hasattr(next_sentence_rows, "py_func") is not {0}  # it is compiled, or not
shard = shard_of(prose(8))
for pairs in PAIRS:
    for masking in MASKINGS:
        objective = MaskedLM(pairs=pairs, masking=masking, max_length=64, mask_rate=0.2, max_predictions=12)
        plan = make_plan(shard, objective, BatchSize(tokens=1024), seed=3, epoch=1, shard_index=2)
        digest = hashlib.sha256()
        for batch in range(plan.num_batches):
            every = np.arange(plan.batches[batch], plan.batches[batch + 1])
            parts, counts = cut_batch(objective, Sequences(shard, plan, every, vocabulary()), 2)
            for part in parts:
                made = objective.batch(part, counts, None)
                for tensor in (*made.packed[:4], *made[1:4]):
                    digest.update(tensor.numpy().tobytes())
                digest.update(str(made[4:]).encode())
        print(pairs, masking, plan.num_batches > 1, digest.hexdigest())
"""


@pytest.mark.slow
def test_compiled_and_interpreted_batches_are_equal(tmp_path: Path) -> None:
    runs = [forks.run("-c", PROGRAM.format(disabled), cwd=tmp_path) for disabled in (False, True)]
    assert [done.returncode for done in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    outputs = [done.stdout for done in runs]
    assert outputs[0] == outputs[1]
    assert outputs[0].count(" True ") == len(PAIRS) * len(MASKINGS)
