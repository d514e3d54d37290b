"""What makes a training run repeat itself: order and draws from seeds, and the same bits from the same sums."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
import torch


def order_of(seed: int, epoch: int, count: int) -> list[int]:
    """Return the order of ``count`` images in an epoch."""
    order: list[int] = np.random.default_rng([seed, epoch]).permutation(count).tolist()
    return order


def seed_draws(seed: int, epoch: int, rank: int) -> None:
    """Seed what a network draws in an epoch (dropout), on CPU and GPU; so a resumed run draws the same."""
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0]))


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Compute the same bits each time, on a CPU; on a GPU some operations of these networks have no such form.

    Memory is not filled beforehand, as torch does by default then: it takes an eighth of a step's time, and nothing in
    these networks reads memory that it has not written.
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
    """Set whether fresh memory is filled, and return what was set before."""
    settings = torch.utils.deterministic
    before: bool = settings.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property of the module
    settings.fill_uninitialized_memory = wanted  # type: ignore[attr-defined]
    return before
