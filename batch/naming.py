"""Names of masks: the source's folders, a template for the file name, and numbers where two names clash."""

from __future__ import annotations

import itertools
import os.path
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seglab.errors import ConfigError

FIELDS = ("stem", "name", "suffix")
DEFAULT_NAME = "{stem}.png"
SUFFIX = ".png"


class Naming(Protocol):
    """How masks are named after their images."""

    @property
    def text(self) -> str:
        """Return what the ledger records, so that all runs of an output name masks alike."""

    def best(self, relative: str) -> str:
        """Return the first candidate."""

    def candidates(self, relative: str) -> Iterator[str]:
        """Yield names for an image at ``relative`` (with ``/``), best first, without end."""


@dataclass(frozen=True)
class NameTemplate:
    """The template for a mask's name: ``{stem}`` (``a``), ``{name}`` (``a.jpg``), ``{suffix}`` (``.jpg``) of its image.

    Raises :class:`ConfigError` for a template that has unknown fields, does not name the image, names a folder, or
    does not end in ``.png``.
    """

    text: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        fields = _fields(self.text)
        if not {"stem", "name"} & set(fields):
            raise self._wrong("has neither {stem} nor {name}, so all masks would have one name")
        if not self.text.lower().endswith(SUFFIX):
            raise self._wrong("does not end in .png")
        if any(character in self.text for character in "/\\\0"):
            raise self._wrong("names a folder; masks mirror the folders of their images automatically")
        if self.text.startswith("."):
            raise self._wrong("begins with a dot, which hides the masks")

    def best(self, relative: str) -> str:
        """Return the first candidate."""
        folder, slash, name = relative.rpartition("/")
        stem, suffix = os.path.splitext(name)
        return folder + slash + self.text.format(stem=stem, name=name, suffix=suffix)

    def candidates(self, relative: str) -> Iterator[str]:
        """Yield names for an image at ``relative`` (with ``/``), best first, without end.

        ``a/b.jpg`` gives ``a/b.png``, then with the image's suffix ``a/b.jpg.png``, then ``a/b.jpg.2.png`` and so on.
        """
        folder, slash, name = relative.rpartition("/")
        yield self.best(relative)
        full = self.text.format(stem=name, name=name, suffix="")
        yield folder + slash + full
        base = full[: -len(SUFFIX)]
        for number in itertools.count(2):
            yield f"{folder}{slash}{base}.{number}{full[-len(SUFFIX) :]}"

    def _wrong(self, why: str) -> ConfigError:
        return ConfigError(
            f"The name template {self.text!r} {why}; expected a template like '{DEFAULT_NAME}' or "
            "'{stem}_segmentation.png'. Correct --name."
        )


def overlay_path(overlays: Path, mask: str) -> Path:
    """Return the path of a mask's overlay: the mask's path below ``overlays``, as JPEG."""
    return (overlays / mask).with_suffix(".jpg")


def clash_key(mask: str) -> str:
    """Return a key that is equal for two mask names that some file system takes for the same file.

    Some disks ignore case or normalise Unicode, and an output must survive being copied to one.
    """
    return unicodedata.normalize("NFC", mask.casefold())


def _fields(template: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(
            f"The name template {template!r} cannot be read: {error}. Expected fields in single braces; correct --name."
        ) from error
    fields = [field for _, field, _, _ in parts if field is not None]
    plain = all(not form and not conversion for _, _, form, conversion in parts)
    unknown = [field for field in fields if field not in FIELDS]
    if unknown or not plain:
        raise ConfigError(
            f"The name template {template!r} has an unknown field; expected {{stem}}, {{name}} or "
            "{suffix}, without formats. Correct --name."
        )
    return fields
