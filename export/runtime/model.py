"""An opened model, through which all other code runs images."""

from __future__ import annotations

import threading
from typing import cast

import numpy as np

from export.contract import Contract
from export.runtime.device import Device
from export.runtime.forks import require_own_process
from export.runtime.masks import drop_single_class
from export.runtime.plan import Request
from export.runtime.session import FittedSession, Images, Opener, Probs, Seen, WholeSession


class Model:
    """An opened model on a verified device.

    Several threads may call it; they take turns. :meth:`prob` and :meth:`seen` take images at the network's size,
    :meth:`mask`, :meth:`prob_and_mask` and :meth:`seen_whole` whole images. ``device``: of the former.
    ``whole_device``: of the latter, the same one, or ``cpu`` if that cannot resize with antialiasing. ``batch``: the
    length to which batches are padded.
    """

    def __init__(
        self, request: Request, device: Device, whole_device: Device, session: FittedSession, opener: Opener
    ) -> None:
        self.path = request.path
        self.contract: Contract = request.contract
        self.sha256 = request.sha256
        self.batch = request.batch
        self.device = device
        self.whole_device = whole_device
        self._opener = opener
        self._session: FittedSession | None = session
        self._whole: WholeSession | None = None
        self._turns = threading.Lock()

    def prob(self, batch: Images) -> Probs:
        """Return probabilities ``(N, S, S)``, 0-1, of images at the network's size; ``(N, C, S, S)`` for several
        classes.

        ``batch``: uint8 ``(N, S, S, 3)``, RGB. A model opened for a fixed batch runs it in batches of that length,
        the last one padded. Raises :class:`ValueError` for another shape or type, :class:`DeviceError` if the device
        fails, for example for lack of memory.
        """
        return self.seen(batch).prob

    def seen(self, batch: Images) -> Seen:
        """Return what :meth:`prob` returns, and ``suitable`` if the model has it, in one run. Raises as that."""
        size, classes = self.contract.size, self.contract.classes
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (size, size, 3):
            raise ValueError(f"The batch is {batch.dtype} {batch.shape}; expected uint8 (N, {size}, {size}, 3).")
        require_own_process(self.device.name)
        if not len(batch):
            suitable = np.empty(0, np.float32) if self.contract.suitable else None
            return Seen(drop_single_class(np.empty((0, classes, size, size), np.float32)), suitable=suitable)
        with self._turns:
            if self._session is None:  # opening it for another batch length had failed
                self._session = self._opener.fitted(self.batch)
            seen = self._session.seen(batch)
        return seen._replace(prob=drop_single_class(seen.prob))

    def mask(self, images: Images) -> Images:
        """Return masks ``(N, H, W)``, 0 or 255 (for several classes: their numbers), of images uint8 ``(N, H, W, 3)``
        of any H and W, resized inside the graph.
        """
        return self.prob_and_mask(images)[1]

    def prob_and_mask(self, images: Images) -> tuple[Probs, Images]:
        """Return probabilities ``(N, S, S)`` and masks ``(N, H, W)`` of images uint8 ``(N, H, W, 3)``."""
        seen = self.seen_whole(images)
        return seen.prob, cast(Images, seen.mask)

    def seen_whole(self, images: Images) -> Seen:
        """Return what :meth:`prob_and_mask` returns, and ``suitable`` if the model has it, in one run."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"The images are {images.dtype} {images.shape}; expected uint8 (N, H, W, 3).")
        require_own_process(self.device.name)
        with self._turns:
            if self._whole is None:
                self._whole = self._opener.whole()
            seen = self._whole.seen_whole(images)
        return seen._replace(prob=drop_single_class(seen.prob))

    def use_batch(self, batch: int) -> None:
        """Open the model again on the same device for another batch length, after releasing the memory of this one.

        Raises :class:`DeviceError`.
        """
        with self._turns:
            self._session = self._whole = None
            self.batch = batch
            self._session = self._opener.fitted(batch)
