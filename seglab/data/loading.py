"""Batches of examples, read ahead by processes that persist from epoch to epoch."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from seglab.data.examples import Examples


class Loader:
    """Reads examples in batches. Its processes receive the epoch with every index and keep no count of their own.

    ``workers``: number of processes; 0 reads in this one. ``pin``: put batches into pinned memory for a GPU.
    """

    def __init__(self, examples: Examples, workers: int, pin: bool) -> None:
        self._batches: list[list[tuple[int, int]]] = []
        self._loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            examples,
            batch_sampler=self._batches,
            num_workers=workers,
            pin_memory=pin,
            persistent_workers=workers > 0,
            worker_init_fn=_end_quietly,
            generator=torch.Generator(),  # a separate generator: the loader must not change the network's draws
        )

    def batches(self, epoch: int, indices: Sequence[Sequence[int]]) -> DataLoader[tuple[Tensor, Tensor]]:
        """Return the batches of examples with ``indices`` in an epoch."""
        self._batches[:] = [[(epoch, index) for index in batch] for batch in indices]
        return self._loader


def _end_quietly(_worker: int) -> None:
    """Make a reading process end without an error when a scheduler sends SIGTERM to all processes of a run.

    Otherwise torch would raise in the main process while that is ending in good order.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def worker_count(asked: int, processes: int = 1) -> int:
    """Return the number of reading processes: ``asked``, or at most 8 by the number of cores where it is negative."""
    return asked if asked >= 0 else min(8, max(1, (os.cpu_count() or 1) // 2 // processes))
