"""Shard parameters over ranks with PyTorch's fully sharded data parallel, FSDP2 (Zhao et al. 2023).

Each rank keeps a part of every parameter. Those of a block are put together when the block is computed, forward and
again backward, and given up after it; its gradients are averaged in fp32 where they are sharded again. The root, which
holds the embeddings, the pooler and the heads, is put together once a step and in fp32. So the decoder that is tied to
the word embeddings sees the one and only parameter, whose gradient has both parts before it is sharded.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only

from cloze.model.encoder import EncoderWithHeads


def shard(model: EncoderWithHeads, mesh: DeviceMesh, *, bf16: bool) -> None:
    """Shard all parameters of a model with an encoder, in place; one that is split already stays as it is.

    Args:
        model: the same on all ranks; blocks become units of their own, the rest one unit.
        mesh: the ranks.
        bf16: send and compute the blocks' parameters in bf16, as autocast does with those of their matrix products.
    """
    if isinstance(model, FSDPModule):
        return
    # The residual stream stays in fp32, as under autocast without sharding: inputs are not cast.
    half = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in (block for encoder in model.encoders for block in encoder.blocks):
        fully_shard(block, mesh=mesh, mp_policy=half if bf16 else MixedPrecisionPolicy())
        register_fsdp_forward_method(block, "queries_keys_values")  # which distillation asks for by itself
    fully_shard(model, mesh=mesh)
    for name in model.entry_points:
        register_fsdp_forward_method(model, name)


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that is on this rank; of one that is not sharded, all of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(state: Any, *, keep: bool = True) -> Any:
    """Any nesting of containers with every sharded tensor gathered, on the CPU.

    All ranks must call it; only those with ``keep`` hold more than one whole tensor at a time.

    Args:
        state: dictionaries, lists, ...; what is not sharded stays as it is.
        keep: false returns an empty dictionary.
    """
    found = tree_map_only(
        DTensor, lambda tensor: tensor.full_tensor().cpu() if keep else tensor.full_tensor()[:0], state
    )
    return found if keep else {}


def cut_like(tensor: Any, parameter: Tensor) -> Any:
    """This rank's part of a whole tensor, sharded as a parameter of its shape is; anything else stays as it is."""
    if isinstance(parameter, DTensor) and isinstance(tensor, Tensor) and tensor.shape == parameter.shape:
        # No rank sends anything: each takes its part of what it has read.
        return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)
    return tensor


def load_whole(module: nn.Module, state: Mapping[str, Any]) -> None:
    """``module.load_state_dict`` of whole tensors, whether the module's are sharded or not."""
    own = module.state_dict()
    module.load_state_dict({name: cut_like(value, own.get(name, value)) for name, value in state.items()})
