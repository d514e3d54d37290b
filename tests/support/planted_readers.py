"""Readers of photographs with faults that the study of formats has to find."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from seglab.images.reader import Photo, read_photo


def bgr(data: bytes, **options: Any) -> Photo:
    """Return the channels in the wrong order."""
    photo = read_photo(data, **options)
    return replace(photo, pixels=np.ascontiguousarray(photo.pixels[..., ::-1]))


def mirrored(data: bytes, **options: Any) -> Photo:
    """Return the photograph mirrored."""
    photo = read_photo(data, **options)
    return replace(photo, pixels=np.ascontiguousarray(photo.pixels[:, ::-1]))


def darker(data: bytes, **options: Any) -> Photo:
    """Return the pixels three levels too dark."""
    photo = read_photo(data, **options)
    return replace(photo, pixels=np.maximum(photo.pixels, 3) - np.uint8(3))


def dies(data: bytes, **options: Any) -> Photo:
    """Kill the process by a signal, for one kind of file."""
    if data.startswith(b"GIF8"):
        os.kill(os.getpid(), 11)
    return read_photo(data, **options)


def eats(data: bytes, **options: Any) -> Photo:
    """Take much more memory than the file needs, for one kind of file."""
    if data.startswith(b"GIF8"):
        np.ones(700 << 20, np.uint8)
    return read_photo(data, **options)


def raises(data: bytes, **options: Any) -> Photo:
    """Raise an exception other than a refusal, for one kind of file."""
    if data.startswith(b"GIF8"):
        raise KeyError("GIF")
    return read_photo(data, **options)
