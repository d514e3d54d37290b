"""``--checksum``: identify images by their content instead of size and modification time, reading each on the walk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from batch.sources.ahead import map_ahead
from batch.sources.image_ref import CHECKSUM, ImageRef
from seglab.errors import ImageError


def checksum_of(data: bytes) -> str:
    """Return the version (see :class:`batch.sources.image_ref.ImageRef`) of these bytes."""
    return f"{CHECKSUM}:{hashlib.sha256(data).hexdigest()}"


def with_checksums(images: Iterable[ImageRef]) -> Iterator[ImageRef]:
    """Yield the images with the checksums of their contents; unreadable ones unchanged."""
    for image, version in map_ahead(_version, images):
        yield image if version is None else replace(image, version=version)


def _version(image: ImageRef) -> str | None:
    try:
        return checksum_of(image.content.read().data)
    except ImageError:
        return None
