"""How the processes of a training share one network: a copy on each, or each a part of every weight.

``none`` is DistributedDataParallel: weights, average and moments lie whole on every process. ``fsdp`` is
fully_shard (FSDP2): they lie in equal parts, and a block's weights are gathered when it computes. Both
compute the same in the same precision, so that one continues the other and neither is part of a run's
hash.

Matrix products are in bfloat16 by autocast, as without sharding, and not by MixedPrecisionPolicy: both
keep float32 weights, but the policy casts every weight and input of a block, the times among them, while
autocast leaves norms and embeddings in float32. The price is that weights are gathered in float32.
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
    """The network as the processes share it, with the main one's weights, gradients averaged over all.

    Take its average and its optimizer afterwards: the weights of others change here, and ``fsdp``
    exchanges the parameters themselves. ``sharding`` is one of `SHARDINGS`; alone it means nothing.
    """
    return model if group.world == 1 else SHARDINGS[sharding](model, group)


def _replicated(model: nn.Module, group: Processes) -> nn.Module:
    ids = [group.device.index] if group.device.type == "cuda" else None
    # It broadcasts the main process's weights. Buffers never change, and gradients lie where they are
    # summed, so that no step copies either.
    return DistributedDataParallel(
        model, device_ids=ids, forward_sync_buffers=False, gradient_as_bucket_view=True
    )


def _sharded(model: Any, group: Processes) -> nn.Module:
    """Block by block, which is what is gathered at a time; the rest together."""
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
    """Whether this process holds only a part of the tensor."""
    if not dist.is_initialized():  # alone it never does, and the import takes half a second
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


@contextmanager
def accumulating(network: nn.Module, more: bool) -> Iterator[None]:
    """Within, gradients stay on their process if ``more`` of the same step follow.

    ``network`` is what `parallel` gave; forward and backward belong inside.
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
    """The whole of a tensor of which each process may hold a part; all of them must ask."""
    return tensor.full_tensor() if in_parts(tensor) else tensor


def gathered(tensors: Mapping[str, Tensor], group: Processes) -> dict[str, Tensor]:
    """Whole tensors by name on the main process, none elsewhere; all of them must ask.

    Those in parts come one by one and to the main memory: together they may exceed a GPU's.
    """
    found = {}
    for name, tensor in tensors.items():
        value = whole(tensor)
        if group.main:
            found[name] = value.cpu() if in_parts(tensor) else value
    return found


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, the same on all processes, in such parts as ``like`` if that is in parts."""
    if not in_parts(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements
    return distribute_tensor(tensor.to(like.device), mesh, placements, src_data_rank=None)
