"""JPEGs of every kind, and ways to change them segment by segment."""

from __future__ import annotations

import base64
import functools
import io
import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.synth import synthesise

HEIGHT, WIDTH = 40, 48
# Files of gradient(), as `cjpeg -quality 85` of libjpeg-turbo 2.1 wrote them with -sample or -arithmetic.
WRITTEN_BY_CJPEG = {
    "4:1:0": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8fExci"
        "JCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh7/wAAR"
        "CAAoADADAUIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAABAAGCP/EABcQAAMBAAAAAAAAAAAAAAAAAAADBWL/xAAWAQEBAQAAAAAAAAAA"
        "AAAAAAAIBwT/xAAhEQABAgYDAQEAAAAAAAAAAAAABSEBAgMEBjIiIyQTFP/aAAwDAQACEQMRAD8A56TPyLTPyMTPyMTPyKTPyMTPyLTPyMTP"
        "yWHMb7ZzTiilq5nkz8jEz8kRoUz8jEz8kQa1e+9MXEClqXRBwKZ+RiZ+RaZ+RiZ+RSZ+RiZ+RiZ+RaZ+Sw5jf7OD7FVLVzPJn5GJn5IjQpn5"
        "GJn5Ig1q9/6IuIFKUuiDgUz8jFT8jEz8i0z8kREWnMa0/II+K15+LjEz8jEz8kRERBrV60/6YiBS68/wg5//2Q=="
    ),
    "3x1": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8fExci"
        "JCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh7/wAAR"
        "CAAoADADATEAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAABAj/xAAXEAADAQAAAAAAAAAAAAAAAAAAAwVi/8QAFgEBAQEAAAAAAAAAAAAA"
        "AAAACAcD/8QAGBEAAwEBAAAAAAAAAAAAAAAAAAYxAwT/2gAMAwEAAhEDEQA/AJ6TPyLTPyMTPyINk3psv9MGJn5GJn5GJn5D+yb0uC/0wCmf"
        "kYmfkWmfks7JvQ3r/TBiZ+RiZ+RiZ+Q/sm9Lgv8ATAKZ+RiZ+RaZ+SzMm9Dev9MGJn5GJn5GJn5D+yb0uC/0wCmfkYmfkYmfks7LvQ3r/TBa"
        "Z+RiZ+RiZ+Q/Mm9Lev8ATAKZ+Rip+RiZ+S0Mu9Dgv9MFpn5GJn5GJn5D8yb0t6/0w//Z"
    ),
    "chroma finer": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8fExci"
        "JCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh7/wAAR"
        "CAAoADADAREAAiIBAyIB/8QAFgABAQEAAAAAAAAAAAAAAAAABQYH/8QAGhAAAQUBAAAAAAAAAAAAAAAABAAGIjGhIf/EABgBAQADAQAAAAAA"
        "AAAAAAAAAAYABQcI/8QAFhEBAQEAAAAAAAAAAAAAAAAABAAD/9oADAMBAAIRAxEAPwDFhG/UMXVzN4ozesmbxRm9QETJSJs6ImSkTMCN+oYq"
        "5m8UZvWLN4oze0YiZKRNnJEyUiZcRv1DFXM3ijN6yZvFGb2jETJSJs6ImSkTVYjfqGLrxm8VZvWLN4oze4lImSkTZ0RMlImYEb9QxVzN4oze"
        "sWbxVm9opEyUibOiJkpEzAjfqGKtZvFGb1kzeKM3tGImSkTZyRMmImcECH5Bdes3ijN6UuJCJkxE0pMCBD8gijN4ozelJKRMlImlJgQIfkEU"
        "ZvFGb0pJSJkpE0pf/9k="
    ),
    "Cb and Cr differ": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8fExci"
        "JCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh7/wAAR"
        "CAAoADADASIAAiEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAABAYACP/EABcQAAMBAAAAAAAAAAAAAAAAAAADBWL/xAAXAQEBAQEAAAAAAAAA"
        "AAAAAAAGBwgF/8QAGxEAAgIDAQAAAAAAAAAAAAAAAAQFIQIDYTH/2gAMAwEAAhEDEQA/AOekz8i0z8lEmfkYmfk1E490KOPdOFFSXlk6mfkY"
        "mfkoUz8jEz8hRx/oUcf6UuKkvLJ5M/IxM/JQpn5GJn5Cjj3Qo490pUVJeWBTPyMTPyUKZ+RiZ+TUbj3Qq4/0xVFSXlk6mfkYmfkokz8i0z8h"
        "Rx/oUce6UuKkvLJ5M/IxM/JQpn5GJn5Cjj3Qq4/0pUVJeWBTPyMVPyYxqtzdmFHN2ZjSK351YxM/ItM/JjBRzdmFHN2ZSorfnVjEz8jEz8mM"
        "FXN2YUc3ZlLit+dWf//Z"
    ),
    "4:4:1": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8fExci"
        "JCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh7/wAAR"
        "CAAoADADARQAAhEBAxEB/8QAGAABAQEBAQAAAAAAAAAAAAAAAAYEBwj/xAAXEAADAQAAAAAAAAAAAAAAAAAAAwVi/8QAFwEBAQEBAAAAAAAA"
        "AAAAAAAABggHCf/EABwRAAICAwEBAAAAAAAAAAAAAAAEAmEFBlEBIf/aAAwDAQACEQMRAD8A89Jn5K1M/JWpn5K1M/JRDmdszBTZbOBpn5K5"
        "M/JWpn5K1M/IUcztiVXZbOBpn5K1M/JWpn5K5M/IUcztiZTZbOBpn5K1M/JWpn5K1M/IVcztiVTZLOCJn5K1M/JWpn5K1M/IUcztiVTZbOCJ"
        "n5K1M/JWpn5K1M/IUcztiVXZbMKZ+QAUk5KXTnepOXTYqfkABRyXvRKpOXTYmfkABRyUuiVWcvn01pn5AAUclLolVnLpsTPyAAq5KXRMpOXT"
        "YmfkABRyXvRKpOXT/9k="
    ),
    "arithmetic": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8fExci"
        "JCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh7/yQAR"
        "CAAoADADASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/ANi4/CTXHdQ9gwZIkxJmQm0qNOkmlt1xclD2de5Z8owNKd/VU2A4"
        "Fh0gNHYSYeQk1DvX7o1tONXfQuUTEd7vPGoIbkvF/vV+NZTtseCeFNleKVICL7HtndaoLqabQy38ZCv0va7QJVfKJjpsbPGwDujRRraRdAcj"
        "504PeUZEXVLpUNJYJT8mHScl4aB4HHgyG+BVfla0gVpVgP/Z"
    ),
    "arithmetic, progressive": (
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRERGCEYGh0dHx8fExci"
        "JCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh7/ygAR"
        "CAAoADADASIAAhEBAxEB/8wABgAQARD/2gAMAwEAAhADEAAAAf8AsWbjCgsyIa667DNDY1A/lpb30p5CgMymE/xeWiks65v5upBU36xOpaXR"
        "4P/MAAQQBf/aAAgBAQABBQIS++pHgknVMyCZTiobAUD/zAAEEQX/2gAIAQMBAT8BFZhDTYF8i9WSI7EynThE/8wABBEF/9oACAECAQE/ATmP"
        "2eV41oQr1nK8O4GrOzD/zAAEEAX/2gAIAQEABj8CsP/MAAQQBf/aAAgBAQABPyGmMd3PGmDIzoERYP/aAAwDAQACAAMAAAAQqT2uRAVvOP/M"
        "AAQRBf/aAAgBAwEBPxCoDhPl8ME19f/MAAQRBf/aAAgBAgEBPxBOtVCqTDMw8P/MAAQQBf/aAAgBAQABPxBMIB0AB//Z"
    ),
}


def gradient() -> NDArray[np.uint8]:
    """Return uint8 ``(40, 48, 3)``, RGB: smooth, so that every sampling keeps it."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([5 * across, 6 * down, 255 - 5 * across], axis=2).astype(np.uint8)  # (H, W, 3)


def by_cjpeg(kind: str) -> bytes:
    """Return a file of :func:`gradient`."""
    return base64.b64decode(WRITTEN_BY_CJPEG[kind])


def photograph(height: int = 120, width: int = 160) -> NDArray[np.uint8]:
    """Return a synthetic one: uint8 ``(H, W, 3)``, RGB."""
    return synthesise(height, width, seed=3).image


def encoded(pixels: NDArray[np.uint8] | Image.Image, **options: Any) -> bytes:
    """Return a JPEG that Pillow wrote."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    """Return what Pillow decodes, as RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def segments(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the segments from behind SOI to the first SOS, and all that follows."""
    found, at = [], 2
    while True:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        found.append(data[at:end])
        at = end
        if found[-1][1] == 0xDA:
            return found, data[at:]


def joined(parts: list[bytes], rest: bytes) -> bytes:
    """Return a file of segments and what follows."""
    return b"\xff\xd8" + b"".join(parts) + rest


def inserted(data: bytes, marker: int, what: bytes) -> bytes:
    """Put bytes before the first segment of a marker."""
    parts, rest = segments(data)
    number = next(number for number, part in enumerate(parts) if part[1] == marker)
    parts[number] = what + parts[number]
    return joined(parts, rest)


def without(data: bytes, *markers: int) -> bytes:
    """Leave out the segments of some markers."""
    parts, rest = segments(data)
    return joined([part for part in parts if part[1] not in markers], rest)


def samples_at(data: bytes) -> int:
    """Return where coded samples begin."""
    return len(data) - len(segments(data)[1])


def _twelve_bits() -> bytes:
    return bytes(imagecodecs.jpeg8_encode(photograph().astype(np.uint16) << 4, 80, bitspersample=12))


def _lossless() -> bytes:
    return bytes(imagecodecs.jpeg8_encode(photograph()[..., 0].copy(), lossless=True))


def as_mode(mode: str, **options: int) -> bytes:
    """Return the photograph in a mode of Pillow's."""
    return encoded(Image.fromarray(photograph()).convert(mode), **options)


KINDS: dict[str, Callable[[], bytes]] = {
    "baseline": lambda: encoded(photograph()),
    "optimised": lambda: encoded(photograph(), optimize=True, subsampling=0),
    "progressive": lambda: encoded(photograph(), progressive=True),
    "restart": lambda: encoded(photograph(), restart_marker_blocks=4),
    "progressive, restart": lambda: encoded(photograph(), progressive=True, restart_marker_rows=1),
    "grey": lambda: as_mode("L"),
    "grey, progressive": lambda: as_mode("L", progressive=True),
    "cmyk": lambda: as_mode("CMYK", subsampling=0),
    "cmyk 4:2:0": lambda: as_mode("CMYK", subsampling=2),
    "cmyk 4:2:0, restart": lambda: as_mode("CMYK", subsampling=2, restart_marker_blocks=3),
    "black": lambda: encoded(np.zeros((120, 160, 3), np.uint8), optimize=True),
    "4:1:0": lambda: by_cjpeg("4:1:0"),
    "chroma finer": lambda: by_cjpeg("chroma finer"),
    "12 bits": _twelve_bits,
    "lossless": _lossless,
}
ARITHMETIC: dict[str, Callable[[], bytes]] = {
    kind: functools.partial(by_cjpeg, kind) for kind in ("arithmetic", "arithmetic, progressive")
}
