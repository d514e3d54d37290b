"""Find which folders below a source hold truth masks, or other pictures of a data set that are not photographs.

Folders are recognised by the names that ``seglab train`` knows (:mod:`seglab.data.finding.conventions`). A folder of
truth masks counts only if a folder of images of the same data set is near: a folder called ``labels`` alone is taken
as photographs. Nothing is read here: the caller says which folders exist.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from seglab.data.finding.conventions import LAYOUTS, PLAIN, SUPERPIXELS_ENDING
from seglab.data.finding.names import IMAGE_FOLDERS, TRUTH_FOLDERS

Parts = tuple[str, ...]
"""A folder's path below the source, as a tuple of names; ``()`` is the source itself."""

SAMPLE = 3
"""How many pictures of a folder are checked to decide whether it holds masks."""
REACH = 2
"""Images are searched this many levels up from a folder of truth masks, and down from there: known data sets have them
beside it, or keep images and truth in two parts side by side.
"""


@dataclass(frozen=True)
class _Rule:
    """``kind``: in the plural. ``pictures``: folders without photographs. ``is_sure``: whether the name is enough."""

    kind: str
    images: re.Pattern[str]
    pictures: re.Pattern[str]
    is_sure: bool = True


def _folder(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _with(words: Iterable[str]) -> re.Pattern[str]:
    """Match folder names that contain one of the words: ``train_masks``, ``labelsTr``, ``masks 2``."""
    return _folder(rf"(.*[_\-. ])?({'|'.join(sorted(words))})([_\-. \d].*|T[rs])?")


RULES = (
    *(
        _Rule(f"truth masks of a data set ({entry.name})", entry.images, entry.truths, entry is not PLAIN)
        for entry in LAYOUTS
    ),
    _Rule("truth masks of a data set (folders of images and masks)", _with(IMAGE_FOLDERS), _with(TRUTH_FOLDERS), False),
    _Rule("attribute masks of a data set (ISIC 2018)", _folder(r".+_Input"), _folder(r".+_GroundTruth_v\d+")),
    _Rule("masks of colours of a data set (PH2)", _folder(r"IMD\d+_Dermoscopic_Image"), _folder(r"IMD\d+_roi")),
)
BESIDE = (
    ("superpixel maps of a data set", re.compile(rf"(.+){SUPERPIXELS_ENDING}\.png", re.IGNORECASE)),
    ("truth masks of a data set", re.compile(r"(ISIC_\d+)_(segmentation|attribute_\w+)\.png", re.IGNORECASE)),
)
"""Files that lie in one folder with the images they belong to."""


class DataSets:
    """The data sets below one source.

    ``name``: of the source's folder. ``folders``: returns the names of the folders in a folder. ``holds_masks``:
    returns whether the pictures in a folder are masks; called only where the name does not tell (``masks`` beside
    ``images``).
    """

    def __init__(
        self,
        name: str,
        folders: Callable[[Parts], Iterable[str]],
        holds_masks: Callable[[Parts], bool] = lambda _: True,
    ) -> None:
        self._name = name
        self._folders = folders
        self._holds_masks = holds_masks
        self._has_images: dict[tuple[Parts, str], bool] = {}

    def kind(self, folder: Parts) -> str | None:
        """Return what the pictures in a folder are, in the plural for counting; None if they are photographs."""
        for rule in RULES:
            if rule.pictures.fullmatch(folder[-1]) and self._is_near_images(folder, rule):
                return rule.kind if rule.is_sure or self._holds_masks(folder) else None
        return None

    def _is_near_images(self, folder: Parts, rule: _Rule) -> bool:
        above = [folder[:end] for end in range(len(folder) - 1, -1, -1)][:REACH]
        return any(self._are_images_at(place, rule) for place in above)

    def _are_images_at(self, place: Parts, rule: _Rule) -> bool:
        key = (place, rule.kind)
        if key not in self._has_images:
            is_itself = bool(rule.images.fullmatch(place[-1] if place else self._name))
            self._has_images[key] = is_itself or any(map(rule.images.fullmatch, self._names_below(place, rule)))
        return self._has_images[key]

    def _names_below(self, place: Parts, rule: _Rule) -> Iterator[str]:
        """Yield names of folders, nearest first, without those inside folders of truth masks."""
        level = [place]
        for _ in range(REACH):
            deeper: list[Parts] = []
            for folder in level:
                names = [name for name in self._folders(folder) if not rule.pictures.fullmatch(name)]
                yield from names
                deeper += [(*folder, name) for name in names]
            level = deeper


def may_be_data_set(folder: str) -> bool:
    """Return whether :meth:`DataSets.kind` may know a folder of this name; a cheap check made for every folder."""
    return any(rule.pictures.fullmatch(folder) for rule in RULES)


def may_lie_beside(name: str) -> bool:
    """Return whether :func:`kind_beside` may know a file of this name."""
    return any(pattern.fullmatch(name) for _, pattern in BESIDE)


def kind_beside(name: str, is_there: Callable[[str], bool], suffixes: Iterable[str]) -> str | None:
    """Return what a picture is if it is not a photograph but belongs to one in its folder, else None. ``is_there``:
    returns whether its folder has a file of this name.
    """
    if not name.lower().endswith(".png"):
        return None
    for kind, pattern in BESIDE:
        if (found := pattern.fullmatch(name)) is not None:
            stem = found[1]
            if any(is_there(stem + suffix) or is_there(stem + suffix.upper()) for suffix in suffixes):
                return kind
    return None


def kind_of_archive(name: str, names: Iterable[str]) -> str | None:
    """Return what an archive called ``name`` among ``names`` (all without suffixes) holds, as :meth:`DataSets.kind`."""
    among = [os.path.basename(entry) for entry in names]
    return DataSets("", lambda place: () if place else among).kind((os.path.basename(name),))
