"""Checks before and after a run for damage from outside: lost masks, missing disks."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from batch.errors import SourceGoneError, printable
from batch.ledger.writer import Doubtful, Ledger
from batch.outputs.base import Store
from batch.sources.ahead import map_ahead
from batch.sources.image_ref import Origin
from batch.sources.lists.stream import STDIN


def reopen_lost(ledger: Ledger, store: Store) -> int:
    """After an unclean end, reopen images whose masks are not on the disk as they were written.

    Only masks written since the last checkpoint are read. Returns how many were lost.
    """
    if not ledger.doubts:
        return 0

    def is_as_written(entry: Doubtful) -> bool:
        try:
            return hashlib.sha256(store.read(entry.mask)).hexdigest() == entry.sha256
        except OSError:
            return False

    lost = [entry.mask for entry, is_whole in map_ahead(is_as_written, ledger.doubtful()) if not is_whole]
    if lost:
        ledger.reopen(lost)
    return len(lost)


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
