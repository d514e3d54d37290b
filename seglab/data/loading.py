"""Batches of examples, read ahead by processes that stay from epoch to epoch."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from seglab.data.examples import Examples


class Loader:
    """Reads examples in batches. Its processes are told the epoch with every index: they keep no count of their own.

    ``workers``: processes; 0 reads in this one. ``pin``: put batches where a GPU can fetch them by itself.
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
            generator=torch.Generator(),  # its own draws are not the network's
        )

    def batches(self, epoch: int, indices: Sequence[Sequence[int]]) -> DataLoader[tuple[Tensor, Tensor]]:
        """Return the batches of an epoch: those with ``indices``, as they look in it."""
        self._batches[:] = [[(epoch, index) for index in batch] for batch in indices]
        return self._loader


def _end_quietly(_worker: int) -> None:
    """In a reading process: end without a fault when a scheduler stops every process of a run at once.

    Torch would raise for it in the main process, at whatever it does to end in good order.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def worker_count(asked: int, processes: int = 1) -> int:
    """Return the number of reading processes: ``asked``, or by the cores (at most 8) where it is negative."""
    return asked if asked >= 0 else min(8, max(1, (os.cpu_count() or 1) // 2 // processes))
