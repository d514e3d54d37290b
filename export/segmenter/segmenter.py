"""``Segmenter``: a model on a device, called with images from Python."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast, overload

import numpy as np

from export.contract import Contract
from export.errors import ContractError
from export.runtime.bundled import bundled_models
from export.runtime.device import COMPUTES, DEVICES, Device
from export.runtime.masks import MOST_CLASSES, enlarge
from export.runtime.opening import open_model
from export.runtime.session import Seen
from export.segmenter.pictures import Pixels, is_batch, is_single, kept, pixels_of
from export.segmenter.result import Result
from seglab.errors import ConfigError, ImageError
from seglab.images.pixels.resize import fit
from seglab.option_names import PythonTerms

if TYPE_CHECKING:
    from PIL import Image

    from export.runtime.model import Model

BATCH = 8
_TERMS = PythonTerms("", {"model": None, "device": "auto", "threads": None, "compute": None, "exact": False})


class Segmenter:
    """A model that is called with images.

    ``model``: a file that ``seg-export`` wrote, or None for the one that comes with the package. ``device``: one of
    ``auto|cpu|openvino|cuda|cuda:K|tensorrt``. ``threads``: for the CPU (None: the engine's own choice). ``compute``:
    ``fp32``, ``bf16`` or ``int8`` (None: the fastest that passes its gate). ``exact``: resize inside the graph, as the
    model was trained and proved; otherwise the host resizes, which is faster and differs by less than ``host`` in the
    parity figures. Several threads may call it; they take turns. Copying or unpickling it opens the model again.
    :meth:`close`, or the end of a ``with`` block, frees its memory.

    Raises :class:`export.errors.ContractError` for a file that is not a model or has more classes than a mask can
    number, :class:`export.errors.DeviceError` for a device that cannot be used, and
    :class:`seglab.errors.ConfigError` for invalid arguments.

    >>> from export import Segmenter
    >>> result = Segmenter()("a.jpg")  # doctest: +SKIP
    >>> results = Segmenter()(["a.jpg", "b.jpg"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        device: str = "auto",
        *,
        threads: int | None = None,
        compute: str | None = None,
        exact: bool = False,
    ) -> None:
        with _TERMS.errors():
            _require_arguments(model, device, threads, compute, exact)
            path = None if model is None else Path(model).absolute()  # it may be opened again from elsewhere
            files = path or bundled_models(compute, exact=exact)
            opened = open_model(files, device, threads=threads, compute=compute, batch=None if exact else BATCH)
        self._open: Model | None = opened
        self._opened_by = (path, device, threads, compute, exact)
        self._exact = exact
        if self.contract.classes > MOST_CLASSES:
            raise ContractError(
                f"{self._model.path} has {self.contract.classes} classes; expected at most {MOST_CLASSES}, because a "
                "mask has 8 bits. Use the graph's output `prob` with onnxruntime."
            )

    @property
    def _model(self) -> Model:
        if self._open is None:
            raise ConfigError("The model was closed; expected an open one. Open it again with seglab.load().")
        return self._open

    def close(self) -> None:
        """Free the model's memory, on a GPU too. Later calls raise :class:`seglab.errors.ConfigError`."""
        self._open = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def contract(self) -> Contract:
        """The model's contract: network, size, threshold, classes, training, parity, licence."""
        return self._model.contract

    @property
    def device(self) -> Device:
        """The device it runs on, the precision, and the devices that ``auto`` rejected."""
        return self._model.whole_device if self._exact else self._model.device

    @overload
    def __call__(self, images: str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image) -> Result: ...

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...] | Iterator[Any]) -> list[Result]: ...

    @overload
    def __call__(self, images: Any) -> Any: ...

    def __call__(self, images: Any) -> Result | list[Result]:
        """Return the :class:`Result` of an image, or a list of results for several images, in their order.

        An image is a path, an encoded image (bytes or an open binary file), a Pillow image, or an array or torch tensor
        in RGB: uint8, uint16, bool, or floats from 0 to 1, ``(H, W, 3)``, grey ``(H, W)`` or ``(H, W, 1)``, or
        ``(H, W, 4)``, whose alpha is dropped. A tensor may also be ``(3, H, W)``. Several images are a list, any other
        iterable, or one array ``(N, H, W, 3)``.

        If an image of a list cannot be used, its result has the reason in ``error``, and the other images get their
        masks. A single image, or an array, raises :class:`seglab.errors.ImageError` instead.
        """
        results = list(self.stream(images))
        return results[0] if is_single(images) else results

    def stream(self, images: Any) -> Iterator[Result]:
        """Yield one result after another for the same kinds of images as :meth:`__call__`.

        At most :data:`BATCH` images are held at a time, besides those in results that you keep (``result.image``).
        """
        is_strict = is_single(images) or is_batch(images)
        remaining = iter([images] if is_single(images) else cast("Iterable[Any]", images))
        with _TERMS.errors():
            while chunk := [_read(image, is_strict) for image in itertools.islice(remaining, BATCH)]:
                made = iter(self._results([entry for _, entry in chunk if not isinstance(entry, Result)]))
                for image, entry in chunk:
                    yield replace(entry if isinstance(entry, Result) else next(made), image=image)

    def _results(self, images: list[Pixels]) -> Iterator[Result]:
        if self._exact:
            for image in images:
                whole = self._model.seen_whole(image[None])
                mask = None if whole.mask is None else whole.mask[0]
                yield Result(mask, whole.prob[0], threshold=self.contract.threshold, suitable=_score(whole, 0))
        elif images:
            seen = self._model.seen(self._fitted(images))
            for at, (image, prob) in enumerate(zip(images, seen.prob, strict=True)):
                mask = enlarge(prob, (image.shape[0], image.shape[1]), self.contract.threshold)
                yield Result(mask, prob, threshold=self.contract.threshold, suitable=_score(seen, at))

    def _fitted(self, images: list[Pixels]) -> Pixels:
        return np.stack([fit(image, self.contract.size) for image in images])  # (N, S, S, 3)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy, or another process, open the model again."""
        return _opened_again, self._opened_by

    def __repr__(self) -> str:
        if self._open is None:
            return "Segmenter(closed)"
        contract, device = self.contract, self.device
        return (
            f"Segmenter({str(self._model.path)!r}, {device.name!r}): {contract.arch}, "
            f"{contract.size} x {contract.size}, {contract.classes} class{'es' if contract.classes > 1 else ''}, "
            f"{device.precision} by {device.engine}"
        )


def _opened_again(model: Path | None, device: str, threads: int | None, compute: str | None, exact: bool) -> Segmenter:
    return Segmenter(model, device, threads=threads, compute=compute, exact=exact)


def _score(seen: Seen, at: int) -> float | None:
    return None if seen.suitable is None else float(seen.suitable[at])


def _read(image: object, is_strict: bool) -> tuple[object, Pixels | Result]:
    """Return the image to keep, and its pixels.

    If it cannot be read, return a result with the error instead of pixels, or raise the error if ``is_strict``.
    """
    try:
        again = kept(image)
        return again, pixels_of(again)
    except ImageError as error:
        if is_strict:
            raise
        return image, Result(None, None, _TERMS.say(str(error)))


def _require_arguments(model: object, device: object, threads: object, compute: object, exact: object) -> None:
    """Raise :class:`ConfigError` for arguments of wrong types."""
    is_path = isinstance(model, str | os.PathLike) and str(model) != "" and "://" not in str(model)
    expected = {
        "model": (model, model is None or is_path, "the path of a model file, or None"),
        "device": (device, isinstance(device, str), DEVICES),
        "threads": (
            threads,
            threads is None or (isinstance(threads, int) and not isinstance(threads, bool) and threads >= 0),
            "a whole number, or None for the engine's choice",
        ),
        "compute": (compute, compute is None or isinstance(compute, str), f"{' or '.join(COMPUTES)}, or None"),
        "exact": (exact, isinstance(exact, bool), "True or False"),
    }
    for name, (value, is_right, wanted) in expected.items():
        if not is_right:
            raise ConfigError(f"{name} is {value!r}; expected {wanted}.")
