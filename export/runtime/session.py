"""The protocol that both engines stand behind: a model open on one device, for one caller at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


class FittedSession(Protocol):
    """Takes images that are S x S already."""

    def prob(self, images: Images) -> Probs:
        """Return probabilities ``(N, C, S, S)``, 0-1, of images uint8 ``(N, S, S, 3)`` RGB, for any N from 1 on.

        Raises :class:`export.errors.DeviceError` where the device fails.
        """


class WholeSession(Protocol):
    """Takes images of any size; they are brought to S x S, and their masks back, inside the graph."""

    def prob_and_mask(self, images: Images) -> tuple[Probs, Images]:
        """Return probabilities ``(N, C, S, S)`` and masks uint8 ``(N, H, W)`` of images uint8 ``(N, H, W, 3)``.

        Raises :class:`export.errors.DeviceError` where the device fails.
        """


class Opener(Protocol):
    """Opens and verifies sessions of one request on one device; both raise :class:`export.errors.DeviceError`."""

    def fitted(self, batch: int | None) -> FittedSession:
        """Return a session for S x S whose batches have this length (None: any)."""

    def whole(self) -> WholeSession:
        """Return a session for whole images."""


def spans(count: int, length: int | None) -> Iterator[slice]:
    """Yield the batches that ``count`` images are run in: of ``length``, the last one shorter; one if it is None."""
    for start in range(0, count, length or max(1, count)):
        yield slice(start, min(count, start + (length or count)))
