"""A training step spread over processes: the shards of a batch, and batch statistics over all of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from seglab.errors import ConfigError


def shards(order: Sequence[int], batch: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Return, for each global batch, the images that process ``rank`` of ``world`` takes.

    A last batch with fewer images than processes, or with a single image (batch normalisation needs two), is left out
    of the epoch, unless it is the only batch or ``batch`` is 1. Raises :class:`ConfigError` where a batch has fewer
    images than there are processes.
    """
    if min(batch, len(order)) < world:
        raise ConfigError(
            f"{len(order)} training images in batches of {batch} on {world} processes; expected at least one image per "
            "process. Raise batch, or lower --devices."
        )
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]
    if len(batches) > 1 and len(batches[-1]) < max(min(2, batch), world):
        batches.pop()
    return [list(part[rank::world]) for part in batches]


def share_of(count: int, batch: int, rank: int, world: int) -> float:
    """Return the weight of a process's mean loss that makes the mean over processes that of the global batch.

    ``count``: images of the global batch before it was split, at most ``batch``.
    """
    mine = len(range(rank, min(count, batch), world))
    return mine * world / count


def normalise_globally(network: nn.Module, device: torch.device) -> nn.Module:
    """Make batch normalisation use the statistics of the global batch; weights and their names stay as they are.

    Raises :class:`ConfigError` for layers that cannot be converted on a CPU.
    """
    if device.type == "cuda":
        from timm.layers.norm_act import convert_sync_batchnorm  # knows timm's own layers as well

        converted: nn.Module = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            if type(module) not in _shared():
                raise ConfigError(
                    f"{name} is a {type(module).__name__}, whose statistics CPU processes cannot share; expected "
                    "BatchNorm2d. Use --devices 1, or another encoder."
                )
            module.__class__ = _shared()[type(module)]
    return network


def leave_out_idle(network: nn.Module, size: int) -> None:
    """Exclude weights that no output depends on (some encoders have such layers) from the exchange between processes.

    The processes would wait for their gradients forever. ``size``: side length of the input.
    """
    network.eval()
    network(torch.zeros(1, 3, size, size)).sum().backward()
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.grad is not None)
    network.zero_grad(set_to_none=True)
    network.train()


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes, like ``nn.SyncBatchNorm``, which needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``; in training by mean and variance over the images of all processes."""
        return _normalised(self, x)


@functools.cache
def _shared() -> dict[type[_BatchNorm], type[_BatchNorm]]:
    """Return the replacement for each kind of layer."""
    from timm.layers.norm_act import BatchNormAct2d

    class GlobalBatchNormAct2d(BatchNormAct2d):
        """Batch normalisation over the images of all processes, with the activation that timm puts into the layer."""

        def forward(self, x: Tensor) -> Tensor:
            activated: Tensor = self.act(self.drop(_normalised(self, x)))
            return activated

    return {nn.BatchNorm2d: GlobalBatchNorm2d, BatchNormAct2d: GlobalBatchNormAct2d}


def _normalised(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    if not layer.training:
        return nn.BatchNorm2d.forward(layer, x)
    axes = (0, 2, 3)
    count = x.new_full((1,), x.numel() / x.shape[1], dtype=torch.float32)
    sums = _total(torch.cat([x.float().sum(axes), count]))  # (C + 1,)
    mean = sums[:-1] / sums[-1]  # (C,)
    centred = x.float() - mean.view(1, -1, 1, 1)
    var = _total(centred.square().sum(axes)) / sums[-1]  # (C,)
    _remember(layer, mean.detach(), var.detach(), sums[-1].detach())
    y = centred * torch.rsqrt(var + layer.eps).view(1, -1, 1, 1)
    if layer.affine:
        y = y * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)
    return y.to(x.dtype)


def _remember(layer: nn.BatchNorm2d, mean: Tensor, var: Tensor, count: Tensor) -> None:
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked.add_(1)
    momentum = layer.momentum if layer.momentum is not None else 1 / float(layer.num_batches_tracked)
    layer.running_mean.lerp_(mean, momentum)
    layer.running_var.lerp_(var * count / (count - 1), momentum)


class _Total(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        dist.all_reduce(summed)
        return summed


def _total(values: Tensor) -> Tensor:
    summed: Tensor = _Total.apply(values)
    return summed
