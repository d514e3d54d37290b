"""Glob patterns, for shells that did not expand them: ``data/**/*.jpg``.

The standard library's recursive glob follows links in circles; here the pattern is only matched, and the walk is ours.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from dataclasses import dataclass

ANY_DEPTH = "**"


@dataclass(frozen=True)
class Pattern:
    """A pattern below its fixed ``folder``; ``parts`` are its components from the first with a wildcard on."""

    folder: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Split a pattern into the folder to walk and the components to match."""
        parts = os.path.abspath(text).split(os.sep)
        first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        return cls(os.sep.join(parts[:first]) or os.sep, tuple(parts[first:]))

    def matches(self, parts: tuple[str, ...], is_image: bool) -> bool:
        """Is the file at ``parts`` below the folder meant? As by a shell: itself, or by a folder above it.

        What is not named with its suffix (``*.dat``) must have an image's: ``is_image``.
        """
        itself = _match(parts, self.parts)
        if itself and self._names_suffix:
            return True
        return is_image and (itself or any(_match(parts[:end], self.parts) for end in range(1, len(parts))))

    def may_lead(self, parts: tuple[str, ...]) -> bool:
        """Can the folder at ``parts`` hold what is meant?"""
        return all(
            fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(parts, self._before_any_depth, strict=False)
        )

    @property
    def _before_any_depth(self) -> tuple[str, ...]:
        end = self.parts.index(ANY_DEPTH) if ANY_DEPTH in self.parts else len(self.parts)
        return self.parts[:end]

    @property
    def _names_suffix(self) -> bool:
        suffix = os.path.splitext(self.parts[-1])[1]
        return bool(suffix) and not glob.has_magic(suffix)


def _match(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == ANY_DEPTH:
        return any(_match(parts[skip:], wanted[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], wanted[0]) and _match(parts[1:], wanted[1:])
