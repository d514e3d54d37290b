"""An image's mask, overlay and probability map, which are written and removed together."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from batch.naming import overlay_path
from batch.outputs.base import Store, was_there_before
from batch.outputs.leftovers import remove_leftovers
from batch.outputs.probabilities import ProbFiles


class Pictures:
    """The pictures of one run, by the names of their masks."""

    def __init__(self, store: Store, overlays: Path | None, probs: ProbFiles | None) -> None:
        self._store, self._overlays, self._probs = store, overlays, probs

    def present(self, masks: Collection[str]) -> set[str]:
        """Return the masks that exist, with their probability maps if these are wanted."""
        found = self._store.present(masks)
        return found if self._probs is None else self._probs.present(found)

    def prepare(self, unfinished: Sequence[str]) -> None:
        """Clean up what a killed run left."""
        self._store.prepare(unfinished)
        for folder in (self._overlays, None if self._probs is None else self._probs.folder):
            if folder is not None:
                remove_leftovers(folder, unfinished)

    def lacks_overlay(self, mask: str) -> bool:
        """Return whether an overlay is wanted and missing."""
        overlay = self._overlay(mask)
        return overlay is not None and not overlay.exists()

    def are_untouched(self, mask: str, since: float) -> bool:
        """Return whether nothing was written for a mask since then (seconds since 1970), on a local disk."""
        places = (self._store.where(mask), self._overlay(mask), self._probs and self._probs.where(mask))
        return all(not os.path.lexists(path) or was_there_before(str(path), since) for path in places if path)

    def remove(self, mask: str, made: str) -> None:
        """Remove a mask that a run of this output made (see :meth:`Store.remove`), its overlay and probability map."""
        self._store.remove(mask, made)
        for path in (self._overlay(mask), None if self._probs is None else self._probs.where(mask)):
            if path is not None:
                path.unlink(missing_ok=True)

    def _overlay(self, mask: str) -> Path | None:
        if self._overlays is None:
            return None
        return overlay_path(self._overlays, mask)
