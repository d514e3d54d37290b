"""The batch size for the cores and the device."""

from __future__ import annotations

from batch.cores import cores
from batch.executors.placement import may_be_gpu
from batch.settings import RunSettings

CPU_BATCH = 8
ONE_CORE_BATCH = 2
"""Larger batches are hardly faster on one core, and an incomplete last batch costs as much as a full one."""
GPU_BATCH = 64
AHEAD = 2
"""Groups that are read before the model needs them."""


def batch_for(settings: RunSettings, threads: int | None = None) -> int:
    """Return the batch to open a model with. ``threads``: CPU threads that it may use; None: all cores."""
    if settings.batch is not None:
        return settings.batch
    if may_be_gpu(settings.device):
        return GPU_BATCH
    return ONE_CORE_BATCH if (threads or cores()) == 1 else CPU_BATCH


def batch_of(settings: RunSettings, opened: int | None) -> int:
    """Return how many images make a group. ``opened``: the batch that the model was opened with."""
    return 1 if settings.exact else opened or batch_for(settings)
