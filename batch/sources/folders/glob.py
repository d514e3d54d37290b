"""Glob patterns, for shells that did not expand them: ``data/**/*.jpg``.

The standard library's recursive glob follows circular links. Here the pattern is only matched, and ``walk.py`` walks.
Suffixes match in any case, as cameras write ``.JPG``; other names match as on the file system. A part of a pattern that
exists under that very name (``photos [2019]``) is not a pattern.
"""

from __future__ import annotations

import enum
import fnmatch
import glob
import os
import unicodedata
from dataclasses import dataclass

from batch.sources.left_out import READ_ARCHIVES

ANY_DEPTH = "**"
LAST_SUFFIXES = sorted({f".{suffix.rpartition('.')[2]}" for suffix in READ_ARCHIVES})


class Match(enum.Enum):
    """How a pattern matches a file: not at all; in general, so that the suffix decides; or by its own suffix."""

    NO = enum.auto()
    FITS = enum.auto()
    NAMED = enum.auto()


@dataclass(frozen=True)
class Pattern:
    """A pattern below its fixed ``folder``; ``parts``: its components from the first wildcard on."""

    folder: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Split a pattern into the folder to walk and the components to match."""
        parts = os.path.abspath(text).split(os.sep)
        end = next(index for index in range(len(parts)) if _is_magic(parts, index))
        return cls(os.sep.join(parts[:end]) or os.sep, tuple(parts[end:]))

    def match(self, parts: tuple[str, ...]) -> Match:
        """Return how the pattern matches the file at ``parts`` below the folder, by itself or by a folder above it."""
        if _match(parts, self.parts, is_file=True):
            return Match.NAMED if self._names_suffix else Match.FITS
        above = any(_match(parts[:end], self.parts, is_file=False) for end in range(1, len(parts)))
        return Match.FITS if above else Match.NO

    def may_lead(self, parts: tuple[str, ...]) -> bool:
        """Return whether the folder at ``parts`` may contain matches."""
        return all(_fits(part, wanted) for part, wanted in zip(parts, self._before_any_depth, strict=False))

    def names(self, name: str) -> bool:
        """Return whether a component names this folder or file specifically, and not just anything (``*``)."""
        return any(set(part) - {"*", "?"} and _fits(name, part) for part in self.parts)

    def names_suffix_of(self, name: str) -> bool:
        """Return whether the last component gives the end of this file's stem, as ``*_superpixels.png`` does."""
        ending = os.path.splitext(self.parts[-1])[0].rpartition("*")[2]
        return bool(ending) and os.path.splitext(name)[0].endswith(ending) and self.names(name)

    @property
    def names_archives(self) -> bool:
        """Return whether the pattern is for archives, as ``*.zip`` and ``*.tar.*`` are."""
        last = self.parts[-1].lower()
        suffix = os.path.splitext(last)[1]
        if not any(character.isalnum() for character in suffix):
            return ".tar." in last
        return any(fnmatch.fnmatchcase(known, suffix) for known in LAST_SUFFIXES)

    @property
    def _before_any_depth(self) -> tuple[str, ...]:
        end = self.parts.index(ANY_DEPTH) if ANY_DEPTH in self.parts else len(self.parts)
        return self.parts[:end]

    @property
    def _names_suffix(self) -> bool:
        suffix = os.path.splitext(self.parts[-1])[1]
        return bool(suffix) and not glob.has_magic(suffix)


def _is_magic(parts: list[str], index: int) -> bool:
    return glob.has_magic(parts[index]) and not os.path.lexists(os.sep.join(parts[: index + 1]))


def _match(parts: tuple[str, ...], wanted: tuple[str, ...], *, is_file: bool) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == ANY_DEPTH:
        return any(_match(parts[skip:], wanted[1:], is_file=is_file) for skip in range(len(parts) + 1))
    if not parts:
        return False
    fits = _file_fits if is_file and len(parts) == 1 else _fits
    return fits(parts[0], wanted[0]) and _match(parts[1:], wanted[1:], is_file=is_file)


def _fits(name: str, wanted: str) -> bool:
    """Return whether a name matches a component. Brackets also match literally; Unicode is compared in form NFC."""
    if name.isascii():
        return fnmatch.fnmatch(name, wanted) or name == wanted
    name, wanted = unicodedata.normalize("NFC", name), unicodedata.normalize("NFC", wanted)
    return fnmatch.fnmatch(name, wanted) or name == wanted


def _file_fits(name: str, wanted: str) -> bool:
    """Return whether a file's name matches, with its suffix in any case."""
    if _fits(name, wanted):
        return True
    lower = _with_lower_suffix(wanted)
    stem, suffix = _split(name)
    return any(_fits(stem + as_written, lower) for as_written in (suffix.lower(), suffix.upper()))


def _with_lower_suffix(name: str) -> str:
    stem, suffix = _split(name)
    return stem + suffix.lower()


def _split(name: str) -> tuple[str, str]:
    """Split off the suffix; that of ``photos.tar.gz`` is ``.tar.gz``."""
    stem, suffix = os.path.splitext(name)
    if stem.lower().endswith(".tar"):
        return stem[:-4], stem[-4:] + suffix
    return stem, suffix
