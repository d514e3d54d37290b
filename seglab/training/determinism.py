"""Reproducible training: order and random draws from seeds, and deterministic computation."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
import torch


def order_of(seed: int, epoch: int, count: int) -> list[int]:
    """Return the order of ``count`` images in an epoch: a permutation drawn from ``seed`` and ``epoch``."""
    order: list[int] = np.random.default_rng([seed, epoch]).permutation(count).tolist()
    return order


def seed_draws(seed: int, epoch: int, rank: int) -> None:
    """Seed the random draws of a network in an epoch (dropout) on CPU and GPU, so that a resumed run draws the same."""
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0]))


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Use deterministic algorithms on a CPU; on a GPU some operations of these networks have none.

    Torch's default to fill fresh memory in this mode is turned off: it costs time, and these networks read no memory
    that they have not written.
    """
    before, filled = torch.are_deterministic_algorithms_enabled(), _fill(False)
    torch.use_deterministic_algorithms(device.type == "cpu" or before)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*", category=UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before)
        _fill(filled)


def _fill(wanted: bool) -> bool:
    """Set whether torch fills fresh memory, and return the earlier setting."""
    settings = torch.utils.deterministic
    before: bool = settings.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property of the module
    settings.fill_uninitialized_memory = wanted  # type: ignore[attr-defined]
    return before
