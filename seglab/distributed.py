"""One training step spread over processes: who takes which images, and statistics of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seglab.errors import ConfigError


def shards(order: Sequence[int], batch: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Return the images that process ``rank`` of ``world`` takes of each global batch.

    A last batch with fewer images than processes (or than two, which batch normalisation needs) is left out of the
    epoch, unless it is the only one. Raises :class:`ConfigError` where a whole batch does not reach every process.
    """
    if batch < world:
        raise ConfigError(f"batch is {batch} on {world} processes; expected at least one image each. Raise batch.")
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]
    if len(batches) > 1 and len(batches[-1]) < max(2, world):
        batches.pop()
    return [list(part[rank::world]) for part in batches]


def share_of(count: int, batch: int, rank: int, world: int) -> float:
    """Return the weight of a process's mean loss, so that the mean over processes is the mean over the global batch.

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
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if type(module) is not nn.BatchNorm2d:
                raise ConfigError(
                    f"{name} is a {type(module).__name__}, which several CPU processes cannot share; expected "
                    "BatchNorm2d. Use --devices 1, or another encoder."
                )
            module.__class__ = GlobalBatchNorm2d
    return network


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes: what ``nn.SyncBatchNorm`` is, which needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``; in training by mean and variance over every process's images."""
        if not self.training:
            return super().forward(x)
        axes = (0, 2, 3)
        count = x.new_full((1,), x.numel() / x.shape[1], dtype=torch.float32)
        sums = _total(torch.cat([x.float().sum(axes), count]))  # (C + 1,)
        mean = sums[:-1] / sums[-1]  # (C,)
        centred = x.float() - mean.view(1, -1, 1, 1)
        var = _total(centred.square().sum(axes)) / sums[-1]  # (C,)
        self._remember(mean.detach(), var.detach(), sums[-1].detach())
        scale = torch.rsqrt(var + self.eps) * self.weight
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    def _remember(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * count / (count - 1), momentum)


class _Total(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of theirs."""

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
