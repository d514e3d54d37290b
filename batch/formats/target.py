"""What an export writes, and its destination."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """``to``: the folder or the file. ``with_images``: photographs, too. ``polygons``: outlines instead of run lengths.

    ``are_pseudonyms``: files have pseudonyms, and their times must not show the order of names.
    """

    to: Path
    with_images: bool = False
    polygons: bool = False
    are_pseudonyms: bool = False
