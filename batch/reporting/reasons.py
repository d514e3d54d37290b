"""Why an image failed, in three to five words; the whole reason, with what to do, is in the ledger."""

from __future__ import annotations

import re

from batch.errors import printable
from seglab.terminal import cut

LONGEST_REASON = 50
OTHER_REASON = "another reason, see seg-batch status"
SHORTEST = 2
"""Parts of a path with fewer characters name nobody."""
KIND = re.compile(r"\b(JPEG 2000|JPEG|PNG|TIFF|BMP|WebP|GIF|AVIF|HEIC|DICOM)\b")
"""Image formats, as reasons name them."""
ARTICLE = re.compile(r"^(an?|the|its|it is an?|it is) ", re.IGNORECASE)
SHORT = (
    (r"The file is empty", "empty file"),
    (r"Not an image \(all \d+ bytes are zeros\)", "not an image: only zeros"),
    (r"Not an image \(\d+ bytes that begin", "not an image"),
    (r"Not an image \(what macOS keeps", "not an image: a file of macOS"),
    (r"Not an image \((?:an? )?(.*?)\);", r"not an image: \1"),
    (r"Not an image of a kind that is read \((?:an? )?(.*?)\);", r"\1 is not read"),
    (r"An HTML page came", "HTML page instead of an image"),
    (r"Not a regular file", "not a file"),
    (r"There is not enough memory|A DICOM image too large for this machine", "not enough memory"),
    (r"The image has (.*?) = .*? million pixels", r"too many pixels: \1"),
    (r"The file has (.*?); expected an image of at most", r"file too large: \1"),
    (r"It has (.*?) unpacked", r"too large unpacked: \1"),
    (r"The file cannot be read: (.*?)\. Check", r"cannot be read: \1"),
    (r"The file changed while it was read", "changed while it was read"),
    (r"The process that read it ended twice", "crashed its decoder twice"),
    (r"It took longer than (\S+ s), twice", r"took longer than \1 twice"),
    (r"Two runs were killed", "two runs were killed on it"),
    (r"The archive ends inside this file", "archive ends too early"),
    (r"It cannot be read from the archive: it ends too early", "archive ends too early"),
    (r"(?:The archive cannot be read|It cannot be read from the archive): (.*?)\. ", r"archive unreadable: \1"),
    (r"It is encrypted in the archive", "encrypted in its archive"),
    (r"It is compressed by (.*?), which", r"compressed by \1"),
    (r"It is a hard link to|It is a link inside", "link inside an archive"),
    (r"It cannot be fetched: (.*?)\. Run", r"cannot be fetched: \1"),
    (r"It has (\d+) bytes; the listing said", "changed since it was listed"),
    (r"The (mask|picture) .*? cannot be written: a file of that name", r"name of its \1 is taken"),
    (r"The mask .*? cannot be written: its name leads out", "name of its mask leads out"),
    (r"The mask .*? cannot be written: it was changed", "its mask was edited"),
    (r"The (?:mask|picture) .*? cannot be written: (.*?)\. ", r"mask cannot be written: \1"),
    (r"Its mask cannot be read: (.*?)\. Run", r"mask cannot be read: \1"),
    (r"A DICOM object of (.*?);", r"DICOM of \1"),
    (r"A DICOM object without an image", "DICOM without an image"),
    (r"A DICOM video", "DICOM video"),
    (r"A DICOM file of (\d+) frames", r"DICOM file of \1 frames"),
    (r"A camera's raw photograph", "raw photograph of a camera"),
    (r"An animation of (\d+) pictures", r"animation of \1 pictures"),
    (r"Signed samples of", "samples below zero"),
    (r"The last \d+ of \d+ bytes are zeros", "zeros at its end"),
    (r"(?:An? )?(.*?) of a kind that cannot be read", r"unsupported \1"),
    (r"(?:An? )?(.*?) of high dynamic range", r"\1 of high dynamic range"),
)  # fmt: skip
"""The beginning of a reason, and its short form."""
_SHORT = tuple((re.compile(pattern), short) for pattern, short in SHORT)


def _taken_over(reason: str) -> tuple[str, ...] | None:
    """Return what the short form of a reason takes over from it; None if it has no short form of its own."""
    text = printable(reason)
    for pattern, _ in _SHORT:
        if (found := pattern.match(text)) is not None:
            return tuple(map(str, found.groups()))
    return () if text.startswith("Damaged") else None


def short_reason(reason: str) -> str:
    """Return a reason in a few words: its short form, else the beginning of its first sentence, cut at a word."""
    text = printable(reason)
    for pattern, short in _SHORT:
        if (found := pattern.match(text)) is not None:
            return cut(found.expand(short), LONGEST_REASON)
    if text.startswith("Damaged"):
        found = KIND.search(text)
        return f"damaged {found[1] if found is not None else 'image'}"
    came = re.split(r"; |\. |\.$", text)[0]
    return cut(ARTICLE.sub("", came), LONGEST_REASON) or "no reason is known"


def nameless_reason(reason: str, path: str) -> str:
    """Return why an image failed, in few words, without any part of its path."""
    taken = _taken_over(reason)
    parts = [part.casefold() for part in re.split(r"[\W_]+", path) if len(part) >= SHORTEST]
    if taken is None or any(part in text.casefold() for part in parts for text in taken):
        return OTHER_REASON
    return short_reason(reason)
