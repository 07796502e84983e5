"""fp8 matrix products in the blocks, with torchao (experimental).

Activations and weights are scaled to e4m3, gradients to e5m2, each by its own largest value (Micikevicius et al. 2022);
the parameters stay in fp32, and so do checkpoints and their names.
"""

from torch import nn

from cloze.errors import InputError
from cloze.model.encoder import Encoder
from cloze.runtime.distribution import installation

MULTIPLE = 16
"""Of both sides of a matrix that the fp8 kernels take."""


def multiply_in_fp8(encoder: Encoder, *, emulate: bool = False) -> int:
    """Replace the linear layers of every block, in place, before anything is compiled.

    Args:
        encoder: with parameters in fp32.
        emulate: round to fp8 but multiply in fp32, on any device, for tests.

    Returns:
        How many were replaced.

    Raises:
        InputError: torchao is not installed, or no layer has sides that fp8 can multiply.
    """
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
        from torchao.float8.float8_linear import Float8Linear
    except ImportError as error:
        raise InputError(
            f"hardware.precision is fp8-mixed, which needs torchao: {installation('fp8')}, or take bf16-mixed"
        ) from error

    def fits(module: nn.Module, _: str) -> bool:
        return isinstance(module, nn.Linear) and not any(side % MULTIPLE for side in module.weight.shape)

    convert_to_float8_training(encoder.blocks, config=Float8LinearConfig(emulate=emulate), module_filter_fn=fits)
    replaced = sum(isinstance(module, Float8Linear) for module in encoder.modules())
    if not replaced:
        raise InputError(
            f"hardware.precision is fp8-mixed, which multiplies matrices whose sides are multiples of {MULTIPLE}, and "
            "this model has none: take bf16-mixed"
        )
    return replaced
