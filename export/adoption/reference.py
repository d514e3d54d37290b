"""The reference for an adopted model: the untouched file, fed by Pillow and numpy, its planes resized by OpenCV."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.adoption.entry import Entry, Planes
from export.adoption.head import LOGITS, Head, resized
from export.adoption.untouched import Untouched
from export.adoption.values import Kind
from export.adoption.wrapping import Wrapping
from export.contract import INPUT
from export.graph.stages import head_alone
from export.precision.calibration import session
from export.runtime.masks import enlarge
from seglab.images.hair import remove

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


class Reference:
    """The original of an adopted model (see :class:`export.proof.gate.Original`)."""

    def __init__(self, untouched: Untouched, entry: Entry, head: Head, wrapping: Wrapping, kind: Kind) -> None:
        self._untouched = untouched
        self._entry = entry
        self._head = head
        self._wrapping = wrapping
        self._kind = kind

    def prob(self, image: Images) -> Probs:
        """Return probabilities ``(S, S)`` of an image ``(H, W, 3)``; ``(C, S, S)`` for several classes."""
        planes = given_planes(self._untouched, self._entry, self._head, self._wrapping, image)
        values = resized(planes / self._kind.scale, self._entry.size)
        probs = _activated(values) if self._kind.output == LOGITS else values
        if self._wrapping.lesion_class is not None:
            probs = probs[self._wrapping.lesion_class, None]
        return np.asarray(probs[0] if len(probs) == 1 else probs, np.float32)

    def prob_and_mask(self, image: Images) -> tuple[Probs, Images]:
        """Return the probabilities as :meth:`prob`, and the mask ``(H, W)``."""
        prob = self.prob(image)
        return prob, enlarge(prob, (image.shape[0], image.shape[1]), self._wrapping.threshold)


def given_planes(
    untouched: Untouched, entry: Entry, head: Head, wrapping: Wrapping, image: Images
) -> NDArray[np.float64]:
    """Return the untouched network's output for an image ``(H, W, 3)`` as planes ``(C, side, side)``."""
    values = entry.arrange(*normalised(image, entry, wrapping))
    return head.planes(untouched.run(entry.name, values)[head.name])


def normalised(image: Images, entry: Entry, wrapping: Wrapping) -> tuple[Planes, Planes | None]:
    """Return planes ``(3, S, S)`` of an image ``(H, W, 3)``, normalised, in the network's channel order; and, for a
    network that takes whole pixels, the planes by which the graph rounds.
    """
    planes = _fitted(image, entry.size)
    graphs = _fitted_by_the_graph(image, entry.size) if entry.takes_pixels else None
    if wrapping.hair != "none":
        pixels = np.moveaxis(np.round(planes), 0, 2).astype(np.uint8)
        planes, graphs = np.moveaxis(remove(wrapping.hair, pixels), 2, 0).astype(np.float32), None
    if not entry.takes_pixels:
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (wrapping.mean, wrapping.std))
        planes = (planes / np.float32(255) - mean) / std
    if wrapping.channels == "bgr":
        return planes[::-1], None if graphs is None else graphs[::-1]
    return planes, graphs


def _fitted(image: Images, size: int) -> Planes:
    return np.stack(
        [
            # Pillow's BILINEAR is antialiased, and does not round float32.
            np.asarray(Image.fromarray(plane.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR))
            for plane in np.moveaxis(image, 2, 0)
        ]
    )


def _fitted_by_the_graph(image: Images, size: int) -> Planes:
    (planes,) = _head_session(size).run(None, {INPUT: image[None]})
    return np.asarray(planes[0], np.float32)


@functools.lru_cache(maxsize=1)
def _head_session(size: int) -> Any:
    return session(head_alone(size))


def _activated(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the sigmoid of ``(1, S, S)``, or the softmax over classes of ``(C, S, S)``."""
    if len(logits) == 1:
        # 1 / (1 + exp(-x)), without overflow on either side of zero
        return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))
