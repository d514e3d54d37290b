"""Errors for files that are not read: what a file is instead of a photograph, or how its decoder failed.

Errors of all decoders are mapped here.
"""

from __future__ import annotations

import re
import struct

from PIL import UnidentifiedImageError

from seglab.errors import ImageError, printable
from seglab.images.kinds import archive_kind, document_kind, graphics_kind, picture_kind

READ = "expected JPEG, PNG, TIFF, BMP, WebP, GIF, AVIF, HEIC, JPEG 2000 or DICOM"
SAVE = "Save it as JPEG or PNG."
FRAME = "Save the right frame as JPEG or PNG."
UNSUPPORTED = re.compile(
    r"unsupported|not supported|unrecogni[sz]ed|unknown|cannot handle|unable to determine|not implemented|no decoder",
    re.IGNORECASE,
)
"""Pattern of decoders' messages for files that may be complete but are of an unsupported kind."""
ADVICE = {
    "a JPEG XL": SAVE,
    "a JPEG XR": SAVE,
    "a Photoshop file": SAVE,
    "a raw file of a camera": "Develop it, and save it as JPEG or TIFF.",
    "a PDF": "Save its pages as JPEG or PNG.",
    "a web page or XML": "It may be a server's answer instead of the image: download it again.",
    "JSON": "It may be a server's answer instead of the image: download it again.",
    "a Git LFS pointer": "Get the image itself with: git lfs pull.",
    "what macOS keeps beside a file (AppleDouble)": "Remove it; the image is beside it.",
}
DOUBTFUL = 0.3
"""Largest share of non-ASCII letters in data that count as text although they are not UTF-8."""
LOOKUPS = (struct.error, IndexError, KeyError, EOFError)
BREAKS_OFF = "its structure is incomplete or invalid"
"""Text for lookup errors of decoders, whose own messages do not help users."""
BEGINNING = 512
SHOWN = 12
LONGEST = 200
"""Largest length of a decoder's message that is shown."""


def unknown(data: bytes) -> ImageError:
    """Return the error for bytes that are not a supported image."""
    beginning = data[:BEGINNING]
    what = picture_kind(beginning) or graphics_kind(beginning)
    if what is not None:
        advice = FRAME if "video" in what else ADVICE.get(what, SAVE)
        return ImageError(f"Not an image of a kind that is read ({what}); {READ}. {advice}")
    if not data.strip(b"\0"):
        return ImageError(
            f"Not an image (all {len(data)} bytes are zeros); {READ}. Its copy or recovery failed: get it again."
        )
    what = archive_kind(beginning) or document_kind(beginning)
    advice = ADVICE.get(what or "", "Unpack it." if archive_kind(beginning) else "")
    if what is None:
        what = "text" if _is_text(beginning) else f"{len(data)} bytes that begin with {beginning[:SHOWN].hex(' ')}"
    return ImageError(f"Not an image ({what}); {READ}. {advice or 'Remove it from the source, or export it again.'}")


def failed(data: bytes, error: Exception) -> ImageError:
    """Return the error for an image whose decoder raised ``error``."""
    kind = picture_kind(data[:BEGINNING]) or "an image"
    if isinstance(error, MemoryError):
        return ImageError(
            f"There is not enough memory to decode this image ({kind}, {len(data)} bytes). Use fewer processes, or "
            "save a smaller copy."
        )
    if isinstance(error, UnidentifiedImageError):
        return ImageError(
            f"Damaged image: {len(data)} bytes that begin as {kind} and do not continue as one. Expected a whole file; "
            "its copy or download may be incomplete: get it again."
        )
    words = printable(" ".join(str(error).split()))[:LONGEST].rstrip(".")
    said = BREAKS_OFF if isinstance(error, LOOKUPS) else words or type(error).__name__
    if UNSUPPORTED.search(said):
        return ImageError(
            f"{kind[0].upper()}{kind[1:]} of a kind that cannot be read ({said}); expected an ordinary one. {SAVE}"
        )
    return ImageError(f"Damaged image: {kind}; {said}. Expected a whole file; copy it again from the original.")


def _is_text(beginning: bytes) -> bool:
    """Return whether (nearly) all bytes are text, in UTF-8 or an older encoding."""
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    odd = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in beginning)
    return odd == 0 and (_is_utf8(beginning) or sum(byte > 126 for byte in beginning) <= DOUBTFUL * len(beginning))


def _is_utf8(beginning: bytes) -> bool:
    try:
        beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(beginning) - 4 and len(beginning) == BEGINNING
    return True
