"""Share one network among the processes of a training: a full copy on each, or a shard on each.

``none`` is DistributedDataParallel: every process holds all weights, averages and moments. ``fsdp`` is
fully_shard (FSDP2): every process holds an equal part, and a block's weights are gathered when it runs.
Both compute the same in the same precision, so either can continue the other's checkpoints, and neither
is part of a run's hash.

Matrix products use bfloat16 through autocast, as without sharding, and not through MixedPrecisionPolicy.
Both keep float32 weights, but the policy casts every weight and input of a block, including the times,
while autocast leaves norms and embeddings in float32. The cost is that weights are gathered in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nanogen.training.processes import Processes

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def parallel(model: nn.Module, group: Processes, sharding: str = "none") -> nn.Module:
    """Wrap the network for all processes: weights of the main process, gradients averaged over all.

    Create the EMA and the optimizer afterwards: the weights of the other processes change here, and
    ``fsdp`` replaces the parameters. ``sharding`` is a key of `SHARDINGS`; a single process ignores it.
    """
    return model if group.world == 1 else SHARDINGS[sharding](model, group)


def _replicated(model: nn.Module, group: Processes) -> nn.Module:
    ids = [group.device.index] if group.device.type == "cuda" else None
    # DDP broadcasts the weights of the main process. Buffers never change, and gradients are views of
    # the communication buckets, so no step copies either.
    return DistributedDataParallel(
        model, device_ids=ids, forward_sync_buffers=False, gradient_as_bucket_view=True
    )


def _sharded(model: Any, group: Processes) -> nn.Module:
    """Shard each block separately, as the unit that is gathered, and the rest together."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    for tensor in (*model.parameters(), *model.buffers()):
        dist.broadcast(tensor.detach(), 0)
    mesh = init_device_mesh(group.device.type, (group.world,))
    for block in model.blocks():
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


SHARDINGS: dict[str, Callable[[nn.Module, Processes], nn.Module]] = {
    "none": _replicated,
    "fsdp": _sharded,
}


def in_parts(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether this process holds only a shard of the tensor."""
    if not dist.is_initialized():  # a single process never does, and the import takes half a second
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


@contextmanager
def accumulating(network: nn.Module, more: bool) -> Iterator[None]:
    """Do not synchronise gradients if ``more`` parts of the same step follow.

    ``network`` is what `parallel` returned; run the forward and the backward pass inside the block.
    """
    if in_parts(next(network.parameters())):
        from torch.distributed.fsdp import FSDPModule

        assert isinstance(network, FSDPModule)
        network.set_requires_gradient_sync(not more)
        yield
    elif more and isinstance(network, DistributedDataParallel):
        with network.no_sync():
            yield
    else:
        yield


def whole(tensor: Tensor) -> Tensor:
    """Return the full tensor of one that may be sharded; all processes must call this."""
    return tensor.full_tensor() if in_parts(tensor) else tensor


def gathered(tensors: Mapping[str, Tensor], group: Processes) -> dict[str, Tensor]:
    """Return full tensors by name on the main process, and none on the others; all must call this.

    Sharded tensors are gathered one at a time and moved to the CPU: together they may exceed a GPU's
    memory.
    """
    found = {}
    for name, tensor in tensors.items():
        value = whole(tensor)
        if group.main:
            found[name] = value.cpu() if in_parts(tensor) else value
    return found


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """Shard a full tensor, the same on all processes, as ``like`` is sharded, if it is."""
    if not in_parts(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements
    return distribute_tensor(tensor.to(like.device), mesh, placements, src_data_rank=None)
