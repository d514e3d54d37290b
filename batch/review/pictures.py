"""Pictures of the images under review: thumbnails, which are kept, and the layers of one image, drawn when asked for.

They hold pixels only, nothing of a photograph's metadata.
"""

from __future__ import annotations

import enum
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.output_mark import owner_of
from batch.outputs.png import decode_mask
from batch.outputs.probabilities import FULL, ProbFiles
from batch.reporting.thumbnails import jpeg, thumbnail
from batch.sources.by_path import Photographs
from seglab.errors import ImageError
from seglab.images.outlines import PREDICTION, label_overlay, overlay
from seglab.images.pictures import sides_within
from seglab.images.reader import read_photo

if TYPE_CHECKING:
    from batch.review.reviewed import Image, Reviewed

THUMBNAIL_SIDE = 320
SIDES = (1600, 4096)
"""Longest sides of layers: to fit a window, and to zoom in."""
MOST_BYTES = 64 << 20
"""Of the thumbnails that are kept in memory."""
AT_ONCE = 4
"""Pictures that are drawn at the same time: each holds a decoded photograph."""
PHOTO_QUALITY = 92
FILL = 110
"""Opacity of the mask's layer, of 255."""
GREY = 128
GONE = "The run wrote no probability map of this image, or it is not there any more."


class Layer(enum.StrEnum):
    """A picture of an image. All but the first lie on one another."""

    THUMBNAIL = "thumbnail"
    PHOTO = "photo"
    OUTLINE = "outline"
    MASK = "mask"
    HEAT = "heat"


class Pictures:
    """The pictures of an output, for any thread."""

    def __init__(self, reviewed: Reviewed) -> None:
        self._reviewed = reviewed
        self._photographs = Photographs(next(iter(reviewed.runs_setting("zip_encoding")), None))
        self._maps = _maps_of(reviewed)
        self._thumbnails = Kept(MOST_BYTES)
        self._drawing = threading.BoundedSemaphore(AT_ONCE)

    @property
    def has_heat(self) -> bool:
        """Return whether runs wrote probability maps that are still there."""
        return bool(self._maps)

    def of(self, image: Image, layer: Layer, side: int) -> tuple[bytes, str]:
        """Return a picture and its media type. Raises :class:`ImageError` with the reason if it cannot be drawn."""
        if layer is Layer.THUMBNAIL:
            key = (image.row, image.path, image.sha256)
            return self._thumbnails.get(key, lambda: self._drawn(self._thumbnail, image)), "image/jpeg"
        if layer is Layer.PHOTO:
            return self._drawn(self._photo, image, side), "image/jpeg"
        if layer is Layer.HEAT:
            return self._drawn(self._heat, image, side), "image/jpeg"
        draw = _outline if layer is Layer.OUTLINE else _fill
        return self._drawn(lambda: _png(draw(self._small_mask(image, side), image.classes > 1))), "image/png"

    def _drawn(self, draw: Callable[..., bytes], *arguments: Any) -> bytes:
        with self._drawing:
            return draw(*arguments)

    def _thumbnail(self, image: Image) -> bytes:
        photograph = self._photograph(image)
        mask = self._mask(image) if image.is_done else None
        return thumbnail(photograph, mask, THUMBNAIL_SIDE, are_labels=image.classes > 1)

    def _photo(self, image: Image, side: int) -> bytes:
        photo = read_photo(self._photograph(image), at_least=side, any_dicom=True)
        sides = sides_within(photo.size, side)
        return jpeg(np.asarray(cv2.resize(photo.pixels, sides, interpolation=cv2.INTER_AREA), np.uint8), PHOTO_QUALITY)

    def _photograph(self, image: Image) -> bytes:
        photograph = self._photographs.read(image.path)
        self._reviewed.require_same(image, photograph)
        return photograph

    def _heat(self, image: Image, side: int) -> bytes:
        files = () if _leads_out(image.mask) else (maps.where(image.mask) for maps in self._maps)
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise ImageError(GONE)
        levels = _levels(file)
        small = cv2.resize(levels, sides_within(levels.shape, side), interpolation=cv2.INTER_AREA)
        return jpeg(np.asarray(cv2.applyColorMap(small, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8))

    def _small_mask(self, image: Image, side: int) -> NDArray[np.uint8]:
        mask = self._mask(image)
        small = cv2.resize(mask, sides_within(mask.shape, side), interpolation=cv2.INTER_NEAREST)
        return np.asarray(small, np.uint8)

    def _mask(self, image: Image) -> NDArray[np.uint8]:
        if not image.is_done or _leads_out(image.mask):
            raise ImageError("This image has no mask.")
        return decode_mask(self._reviewed.mask_file(image), image.classes)


class Kept:
    """Contents that were used last, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self.bytes = most_bytes, 0
        self._contents: OrderedDict[object, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object, make: Callable[[], bytes]) -> bytes:
        """Return the content of a key; it is made if it is not there."""
        with self._lock:
            if key in self._contents:
                self._contents.move_to_end(key)
                return self._contents[key]
        content = make()
        with self._lock:
            if key not in self._contents:
                self._contents[key] = content
                self.bytes += len(content)
            while self.bytes > self._most:
                self.bytes -= len(self._contents.popitem(last=False)[1])
        return content


def _maps_of(reviewed: Reviewed) -> list[ProbFiles]:
    """Return the folders of probability maps that runs wrote to, recognised by their marks."""
    owner = reviewed.owner()
    if owner is None:
        return []
    state = reviewed.output.state.absolute()
    bases = (Path.cwd(), state.parent, state)
    folders = [base / name for name in reviewed.runs_setting("probs") for base in bases]
    ours = dict.fromkeys(folder.resolve() for folder in folders if owner_of(folder) == owner)
    kinds: Sequence[str] = reviewed.runs_setting("probs_format") or ["png"]
    return [ProbFiles(folder, kind) for folder in ours for kind in kinds]


def _levels(file: Path) -> NDArray[np.uint8]:
    """Return a probability map as uint8 ``(H, W)``. Raises :class:`ImageError`."""
    try:
        if file.suffix == ".npy":
            shares = np.load(file, allow_pickle=False).astype(np.float32)
        else:
            samples = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
            shares = np.asarray(samples, np.float32) / FULL
        if shares.ndim != 2 or not shares.size:
            raise ValueError("no map of probabilities")
        return np.asarray(np.rint(np.clip(shares, 0, 1) * 255), np.uint8)
    except (OSError, ValueError, TypeError, cv2.error) as error:
        raise ImageError(f"The probability map cannot be read: {error}.") from error


def _outline(mask: NDArray[np.uint8], are_labels: bool) -> NDArray[np.uint8]:
    """Return the outline of a mask on nothing, uint8 RGBA ``(H, W, 4)``."""
    blank = np.full((*mask.shape, 3), GREY, np.uint8)
    drawn = (label_overlay if are_labels else overlay)(blank, mask)
    seen = np.where((drawn != GREY).any(axis=2), np.uint8(255), np.uint8(0))  # (H, W)
    return np.dstack([drawn, seen])


def _fill(mask: NDArray[np.uint8], _are_labels: bool) -> NDArray[np.uint8]:
    """Return the area of a mask on nothing, uint8 RGBA ``(H, W, 4)``."""
    filled = np.zeros((*mask.shape, 4), np.uint8)
    filled[mask > 0] = (*PREDICTION, FILL)
    return filled


def _png(rgba: NDArray[np.uint8]) -> bytes:
    order = cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)
    return bytes(cv2.imencode(".png", order, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1])


def _leads_out(mask: str) -> bool:
    return mask.startswith("/") or ".." in mask.split("/")
