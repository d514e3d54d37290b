"""Checks before and after a run for damage from outside: lost masks, missing disks."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Sequence
from datetime import datetime

from batch.errors import SourceGoneError, printable
from batch.ledger.writer import Doubtful, Ledger
from batch.outputs.base import Store, was_there_before
from batch.sources.ahead import map_ahead
from batch.sources.image_ref import Origin
from batch.sources.lists.stream import STDIN

EDITED_SECONDS = 2.0
"""A file that is so much later than its row is not the run's; some disks keep times in steps of two seconds."""
BEGINNINGS = (b"", b"\0", b"\x89")
"""First byte of what is left of a lost mask: nothing, zeros, or a part of a PNG file."""


def reopen_lost(ledger: Ledger, store: Store) -> int:
    """After an unclean end, reopen images whose masks are not on the disk as they were written.

    Only masks written since the last checkpoint are read. A mask that somebody changed is not lost. Returns how many
    were lost.
    """
    if not ledger.doubts:
        return 0

    def was_edited(entry: Doubtful, data: bytes) -> bool:
        where = store.where(entry.mask)
        if not os.path.exists(where):  # a member of an archive, which nobody edits
            return False
        if not _is_picture(data):
            return data[:1] not in BEGINNINGS
        return not ledger.has_restarted or _is_later(where, entry.finished_at)

    def is_as_written(entry: Doubtful) -> bool:
        try:
            data = store.read(entry.mask)
            return hashlib.sha256(data).hexdigest() == entry.sha256 or was_edited(entry, data)
        except OSError:
            return False

    lost = [entry.mask for entry, is_whole in map_ahead(is_as_written, ledger.doubtful()) if not is_whole]
    if lost:
        ledger.reopen(lost)
    return len(lost)


def _is_picture(data: bytes) -> bool:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def _is_later(where: str, finished_at: str) -> bool:
    """Return whether a file was written after its row. Before that, it may be an earlier state of the mask."""
    later = datetime.fromisoformat(finished_at).timestamp() + EDITED_SECONDS
    return not was_there_before(where, later)


def require_something_there(ledger: Ledger, origins: Sequence[Origin], without_images: Collection[str]) -> None:
    """Raise :class:`SourceGoneError` for a source, other than standard input, that held images and now holds none.

    Images of another source inside it, as of an archive in a folder, are not its own.
    """
    roots = [origin.root for origin in origins]
    for origin in origins:
        if origin.named == STDIN or origin.named not in without_images:
            continue
        inside = (root for root in roots if root.startswith(f"{origin.root}/"))
        known = ledger.known_below(origin.root) - sum(map(ledger.known_below, inside))
        if known > 0:
            raise SourceGoneError(
                f"{printable(origin.named)} holds no images now, but earlier runs found {known} in it. Check that its "
                "disk is mounted. Nothing was removed. Run again when the images are back."
            )
