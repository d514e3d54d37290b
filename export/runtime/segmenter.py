"""Masks from Python: a model on the fastest device that verifies."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from export.contract import Contract
from export.runtime.bundled import bundled_model
from export.runtime.device import Device
from export.runtime.masks import enlarge
from export.runtime.opening import open_model
from seglab.errors import ImageError
from seglab.images.pixels.resize import fit
from seglab.images.reader import read_image

BATCH = 8

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Probs = NDArray[np.float32]


class Segmenter:
    """A model, ready to be called with images.

    ``model``: a file that ``seg-export`` wrote, or None for the one that comes with the package. ``device``: one of
    ``auto|cpu|openvino|cuda|cuda:K|tensorrt``. ``threads``: for the CPU (None: the engine's own choice). ``compute``:
    ``fp32`` or ``bf16`` asks for that arithmetic (None: see :func:`export.runtime.opening.open_model`). ``exact``:
    resize inside the graph, as the model was trained and proved; without it the host resizes, which is faster and
    differs by less than the parity figures' ``host``. Several threads may call it; they take turns. Raises
    :class:`export.errors.ContractError` for a file that is no model, :class:`export.errors.DeviceError` for a device
    that cannot be had.

    >>> from export import Segmenter
    >>> masks = Segmenter()(["a.jpg", "b.jpg"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | None = None,
        device: str = "auto",
        *,
        threads: int | None = None,
        compute: str | None = None,
        exact: bool = False,
    ) -> None:
        path = bundled_model() if model is None else Path(model)
        self._model = open_model(path, device, threads=threads, compute=compute, batch=None if exact else BATCH)
        self._exact = exact

    @property
    def contract(self) -> Contract:
        """What the model is: network, size, threshold, classes, training, parity, licence."""
        return self._model.contract

    @property
    def device(self) -> Device:
        """Where it runs, in what precision, and what ``auto`` passed over."""
        return self._model.whole_device if self._exact else self._model.device

    def __call__(self, images: Image | str | Path | Iterable[Image | str | Path]) -> list[Mask]:
        """Return the masks of images, each of its image's size; of a single image a list of one.

        An image is a file, or uint8 ``(H, W, 3)`` RGB; an array ``(N, H, W, 3)`` is N of them. A mask is uint8
        ``(H, W)``: 0 or 255, or with several classes their numbers. Raises :class:`seglab.errors.ImageError` for a file
        that is no image, :class:`ValueError` for an array of another shape or type.
        """
        single = isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim == 3)
        many = [cast("Image | str | Path", images)] if single else cast("Iterable[Image | str | Path]", images)
        return [mask for mask, _ in self.stream(many)]

    def stream(self, images: Iterable[Image | str | Path]) -> Iterator[tuple[Mask, Probs]]:
        """Yield mask and probabilities ``(S, S)`` (``(C, S, S)`` of several classes) of one image after another.

        At most :data:`BATCH` images are held at a time.
        """
        remaining = iter(images)
        while chunk := [_pixels(image) for image in itertools.islice(remaining, BATCH)]:
            yield from map(self._whole, chunk) if self._exact else self._fitted(chunk)

    def _whole(self, image: Image) -> tuple[Mask, Probs]:
        probs, masks = self._model.prob_and_mask(image[None])
        return masks[0], probs[0]

    def _fitted(self, images: list[Image]) -> Iterator[tuple[Mask, Probs]]:
        probs = self._model.prob(np.stack([fit(image, self.contract.size) for image in images]))
        for image, prob in zip(images, probs, strict=True):
            yield enlarge(prob, (image.shape[0], image.shape[1]), self.contract.threshold), prob


def _pixels(image: Image | str | Path) -> Image:
    if isinstance(image, str | Path):
        try:
            return read_image(Path(image))
        except ImageError as error:
            raise ImageError(f"{image}: {error}") from error
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or not image.size
    ):
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"The image is {found}; expected a file, or uint8 (H, W, 3) in RGB.")
    return image
