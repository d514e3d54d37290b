"""Which mask belongs to which truth: by folders if they tell, else by id, never by a guess."""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from batch.errors import printable
from seglab.data.finding.conventions import LAYOUTS
from seglab.data.finding.names import PART_NAMES, part_of, truth_id
from seglab.errors import DataError
from seglab.words import counted

Folders = tuple[str, ...]


@dataclass(frozen=True)
class MaskEntry:
    """A mask to be scored, or an image without one: ``relative`` is the mask's path below the output, existing or not;
    ``image`` its image's path, None if no ledger knows it.
    """

    relative: str
    image: str | None = None
    is_done: bool = True

    @property
    def id(self) -> str:
        """Return the id of the image, whatever its folder."""
        return truth_id(Path(self.image or self.relative))

    @property
    def shown(self) -> str:
        """Return the name for messages."""
        return printable(self.relative if self.is_done else self.image or self.relative)


@dataclass(frozen=True)
class TruthEntry:
    """A truth mask: its ``path``, and ``relative``, its path below the folder that was named."""

    path: Path
    relative: str

    @property
    def id(self) -> str:
        """Return the id of the image it belongs to."""
        return truth_id(self.path)


@dataclass
class Matches:
    """Pairs, and what has no partner."""

    pairs: list[tuple[MaskEntry, TruthEntry]] = field(default_factory=list)
    masks: list[MaskEntry] = field(default_factory=list)
    truths: list[TruthEntry] = field(default_factory=list)


def match(masks: Iterable[MaskEntry], truths: Iterable[TruthEntry]) -> Matches:
    """Pair masks and truths of the same id.

    Where an id occurs several times, the folders must tell: those of the mask below the output, or those of its image,
    must equal the truth's (folders that only say "images" or "masks" do not count, and ``train`` equals ``training``).
    Raises :class:`DataError` if they do not tell, or if truth masks were segmented as photographs.
    """
    by_id: dict[str, tuple[list[MaskEntry], list[TruthEntry]]] = defaultdict(lambda: ([], []))
    for mask in masks:
        by_id[mask.id][0].append(mask)
    for truth in truths:
        by_id[truth.id][1].append(truth)
    found = Matches()
    for id, (some_masks, some_truths) in by_id.items():
        _require_photographs(some_masks, some_truths)
        _match_group(id, some_masks, some_truths, found)
    return found


def _match_group(id: str, masks: list[MaskEntry], truths: list[TruthEntry], found: Matches) -> None:
    if len(masks) == len(truths) == 1:
        found.pairs.append((masks[0], truths[0]))
        return
    left_masks, left_truths = masks, truths
    paired = []
    for key in _keys(truths):
        pairs = _told_by(key, left_masks, left_truths)
        paired += pairs
        left_masks = [mask for mask in left_masks if mask not in [pair[0] for pair in pairs]]
        left_truths = [truth for truth in left_truths if truth not in [pair[1] for pair in pairs]]
    if left_masks and left_truths and not paired:
        raise DataError(_ambiguous(id, masks, truths))
    found.pairs += paired
    found.masks += left_masks
    found.truths += left_truths


Key = Callable[[MaskEntry | TruthEntry], Hashable]


def _keys(truths: Sequence[TruthEntry]) -> list[Key]:
    """Return the keys to pair by, best first: the folders below the output, then those of the photographs."""
    depths = sorted({len(_folders(truth.relative)) for truth in truths} - {0}, reverse=True)

    def by_image(depth: int) -> Key:
        def key(entry: MaskEntry | TruthEntry) -> Hashable:
            path = entry.relative if isinstance(entry, TruthEntry) else entry.image or entry.relative
            folders = _folders(path)
            fits = len(folders) == depth if isinstance(entry, TruthEntry) else len(folders) >= depth
            return folders[-depth:] if fits else None

        return key

    return [lambda entry: _folders(entry.relative), *map(by_image, depths)]


def _told_by(key: Key, masks: Sequence[MaskEntry], truths: Sequence[TruthEntry]) -> list[tuple[MaskEntry, TruthEntry]]:
    """Return the pairs whose key is unique on both sides."""
    by_key: dict[Hashable, tuple[list[MaskEntry], list[TruthEntry]]] = defaultdict(lambda: ([], []))
    for mask in masks:
        by_key[key(mask)][0].append(mask)
    for truth in truths:
        by_key[key(truth)][1].append(truth)
    return [
        (some_masks[0], some_truths[0])
        for found, (some_masks, some_truths) in by_key.items()
        if found is not None and len(some_masks) == len(some_truths) == 1
    ]


def _folders(path: str) -> Folders:
    """Return the folders of a path that distinguish files, without those that only say "images" or "masks"."""
    return tuple(found for folder in PurePath(path).parts[:-1] if (found := _meaning(folder)))


@functools.lru_cache(4096)
def _meaning(folder: str) -> str:
    """Return what a folder says: the part of a data set, its name, or nothing."""
    is_of_layout = any(layout.images.fullmatch(folder) or layout.truths.fullmatch(folder) for layout in LAYOUTS)
    return part_of(Path(), Path(folder, "_")) if is_of_layout or folder.lower() in PART_NAMES else folder


def _require_photographs(masks: Sequence[MaskEntry], truths: Sequence[TruthEntry]) -> None:
    """Raise :class:`DataError` if a truth mask is one of the segmented images."""
    names = {truth.path.name for truth in truths}
    paths = {os.path.realpath(truth.path) for truth in truths}
    for mask in masks:
        if mask.image and os.path.basename(mask.image) in names and os.path.realpath(mask.image) in paths:
            raise DataError(
                f"The truth masks themselves were segmented as photographs, among them {printable(mask.image)} "
                f"(its mask: {mask.shown}). Name only the folder of photographs as the source, and run again into "
                "another output."
            )


def _ambiguous(id: str, masks: Sequence[MaskEntry], truths: Sequence[TruthEntry]) -> str:
    names = " and ".join(mask.shown for mask in masks)
    files = " and ".join(printable(truth.relative) for truth in truths)
    kind = "image" if masks[0].image else "mask"
    return (
        f"{counted(len(masks), kind)} ({names}) and {counted(len(truths), 'truth mask')} ({files}) have the id "
        f"{printable(id)}; expected one of each, or folders that tell which belong together. Put the truth masks into "
        "the same folders as their images, or score each folder by itself."
    )
