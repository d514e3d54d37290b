"""Image paths for the screen: relative to the source that the user named."""

from __future__ import annotations

import os
from collections.abc import Sequence

from batch.errors import printable
from batch.sources.image_ref import Origin


class ShownPaths:
    """Image paths relative to the only source. With several sources, each path begins with its source as named."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        roots = [origin for origin in origins if origin.root]
        self._is_single = len(origins) == 1
        self._roots = sorted(roots, key=lambda origin: -len(origin.root))
        self._here = os.path.join(os.getcwd(), "")

    def of(self, path: str) -> str:
        """Return the path of an image for the screen."""
        for origin in self._roots:
            root = origin.root.rstrip("/")
            if path.startswith(root + "/"):
                below = path[len(root) + 1 :]
                named = "" if self._is_single else f"{printable(origin.named.rstrip('/'))}/"
                return named + printable(below)
        return printable(path.removeprefix(self._here))
