"""The protocol of both engines: a model open on one device, for one caller at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


class Seen(NamedTuple):
    """A model's results for N images: ``prob`` ``(N, C, S, S)``, from :class:`export.runtime.model.Model` ``(N, S, S)``
    if C is 1; ``mask`` uint8 ``(N, H, W)`` for whole images; ``suitable`` ``(N,)``, 0-1, how much they look like the
    training images, if the model has it.
    """

    prob: Probs
    mask: Images | None = None
    suitable: Probs | None = None


class FittedSession(Protocol):
    """Takes images that are already S x S."""

    def prob(self, images: Images) -> Probs:
        """Return probabilities ``(N, C, S, S)``, 0-1, of images uint8 ``(N, S, S, 3)`` RGB, for any N from 1 on.

        Raises :class:`export.errors.DeviceError` if the device fails.
        """

    def seen(self, images: Images) -> Seen:
        """Return them and the model's other results for such images, in one run. Raises as :meth:`prob`."""


class WholeSession(Protocol):
    """Takes images of any size; the graph resizes them to S x S, and their masks back."""

    def prob_and_mask(self, images: Images) -> tuple[Probs, Images]:
        """Return probabilities ``(N, C, S, S)`` and masks uint8 ``(N, H, W)`` of images uint8 ``(N, H, W, 3)``.

        Raises :class:`export.errors.DeviceError` if the device fails.
        """

    def seen_whole(self, images: Images) -> Seen:
        """Return the same and the model's other results, in one run. Raises as :meth:`prob_and_mask`."""


class Opener(Protocol):
    """Opens and verifies sessions of one request on one device; raises :class:`export.errors.DeviceError`."""

    def fitted(self, batch: int | None) -> FittedSession:
        """Return a session for S x S with batches of this length (None: any)."""

    def whole(self) -> WholeSession:
        """Return a session for whole images."""


def spans(count: int, length: int | None) -> Iterator[slice]:
    """Yield the batches in which ``count`` images are run: of ``length``, the last one shorter; one batch if None."""
    for start in range(0, count, length or max(1, count)):
        yield slice(start, min(count, start + (length or count)))
