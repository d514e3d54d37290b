"""The protocol that both engines stand behind: a model open on one device, for one caller at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


class Seen(NamedTuple):
    """What a model gives for N images: ``prob`` ``(N, C, S, S)``, by :class:`export.runtime.model.Model` ``(N, S, S)``
    where C is 1; ``mask`` uint8 ``(N, H, W)`` where whole images were given; ``suitable`` ``(N,)``, 0-1, where it says
    whether they look like those that it learned from.
    """

    prob: Probs
    mask: Images | None = None
    suitable: Probs | None = None


class FittedSession(Protocol):
    """Takes images that are S x S already."""

    def prob(self, images: Images) -> Probs:
        """Return probabilities ``(N, C, S, S)``, 0-1, of images uint8 ``(N, S, S, 3)`` RGB, for any N from 1 on.

        Raises :class:`export.errors.DeviceError` where the device fails.
        """

    def seen(self, images: Images) -> Seen:
        """Return them with all else that the model gives for such images, in one run. Raises as :meth:`prob`."""


class WholeSession(Protocol):
    """Takes images of any size; they are brought to S x S, and their masks back, inside the graph."""

    def prob_and_mask(self, images: Images) -> tuple[Probs, Images]:
        """Return probabilities ``(N, C, S, S)`` and masks uint8 ``(N, H, W)`` of images uint8 ``(N, H, W, 3)``.

        Raises :class:`export.errors.DeviceError` where the device fails.
        """

    def seen_whole(self, images: Images) -> Seen:
        """Return them with all else that the model gives, in one run. Raises as :meth:`prob_and_mask`."""


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
