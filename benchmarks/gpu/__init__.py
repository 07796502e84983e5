"""The training step on one GPU, ours and Hugging Face's: ``python -m benchmarks.gpu``."""

import importlib.util
import sys
import types
from typing import Any

if importlib.util.find_spec("numba") is None:
    # Its kernels are for CPUs; without it, the names that they are declared with are enough on a GPU.
    def _as_it_is(function: Any = None, **_: Any) -> Any:
        return function if function is not None else _as_it_is

    _stand_in = types.ModuleType("numba")
    _stand_in.njit = _as_it_is  # type: ignore[attr-defined]
    sys.modules["numba"] = _stand_in
    HAS_NUMBA = False
else:
    HAS_NUMBA = True
