"""Helpers for tests of bounds: the images of a source, the reason of a refusal, and peak memory."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from batch.sources.bytes import MOST_UNPACKED_BYTES, ByteSource
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef, SourceReport
from seglab.errors import ImageError

PHOTO = random.Random(1).randbytes(5000) + bytes(5000)


def found_in(path: Path) -> tuple[list[ImageRef], SourceReport]:
    sources = Sources([str(path)], frozenset({".png"}))
    return list(sources), sources.report


def peak_of(action: Callable[[], object]) -> int:
    """Return the peak number of bytes that Python held during ``action``."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(content: ByteSource, limit: int = MOST_UNPACKED_BYTES) -> str:
    with pytest.raises(ImageError) as error:
        content.read(limit)
    return str(error.value)
