"""Outlines of lesions in files: COCO's JSON and Ultralytics' text files."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from seglab.data.finding.found import OUR_OUTLINES
from seglab.data.finding.names import TRUTH, role_of
from seglab.data.finding.walk import Tree
from seglab.data.outlines import Outlines
from seglab.errors import DataError
from seglab.images.formats import MAX_PIXELS

MOST_JSON = 20
"""A set with more JSON files than this uses them for something else: ISIC has one per image."""


@dataclass
class Drawn:
    """Outlines by image. ``missing``: names of images that have outlines but do not exist."""

    outlines: dict[Path, Outlines] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def drawn_truths(tree: Tree, images: Iterable[Path]) -> Drawn:
    """Return the outlines of ``images``, as far as files have some.

    Raises :class:`DataError` for outlines of several classes, and for boxes.
    """
    wanted = list(images)
    jsons = [path for path in tree.others if path.suffix.lower() == ".json"]
    found = Drawn()
    if not wanted:
        return found
    for path in jsons if len(jsons) <= MOST_JSON else []:
        content = _coco(path)
        if content is not None and _is_ours(content):
            tree.ours.append(path)
        elif content is not None:
            add_coco(found, path, content, wanted)
    return found if found.outlines else Drawn(_of_text_files(tree, wanted))


def _coco(path: Path) -> dict[str, Any] | None:
    """Return the content of a COCO file; None for any other JSON."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    is_coco = isinstance(content, dict) and {"images", "annotations"} <= content.keys()
    return content if is_coco else None


def _is_ours(content: Mapping[str, Any]) -> bool:
    """Return whether `seg-batch contours` wrote this COCO file; such outlines are a model's and no truth."""
    info = content.get("info")
    return isinstance(info, dict) and info.get("description") == OUR_OUTLINES


def read_coco(path: Path) -> dict[str, Any]:
    """Return the content of a COCO file. Raises :class:`DataError` for any other file."""
    content = _coco(path)
    if content is None:
        raise DataError(f"{path} is not a COCO file; expected JSON with images and annotations. Check the path.")
    return content


def add_coco(found: Drawn, path: Path, content: Mapping[str, Any], images: Iterable[Path]) -> list[Path]:
    """Add the outlines of ``images`` in a COCO file; return the images that it names, with or without outlines."""
    try:
        outlines: dict[Any, list[Any]] = defaultdict(list)
        notes = [note for note in content["annotations"] if note.get("segmentation")]
        _require_one_class(path, {note["category_id"] for note in notes})
        for note in notes:
            outlines[note["image_id"]].append(note["segmentation"])
        places, named = _by_ending(images), []
        for entry in content["images"]:
            image, own = _place_of(path, entry["file_name"], places), outlines[entry["id"]]
            if image is not None:
                named.append(image)
            if image is not None and own:
                found.outlines[image] = _outlines(own, (int(entry["height"]), int(entry["width"])))
            elif own:
                found.missing.append(f"{entry['file_name']} ({path.name})")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be used ({type(error).__name__}: {error}); expected COCO's format: images with id, "
            "file_name, height and width, annotations with image_id, category_id and segmentation. Export it again."
        ) from error
    return named


def _require_one_class(path: Path, classes: set[Any]) -> None:
    if len(classes) > 1:
        shown = ", ".join(sorted(map(str, classes)))
        raise DataError(
            f"{path} has outlines of {len(classes)} classes ({shown}); expected lesions only. Keep the lesion's class."
        )


def _outlines(segmentations: Iterable[Any], size: tuple[int, int]) -> Outlines:
    polygons: list[tuple[float, ...]] = []
    runs: list[tuple[int, ...] | str] = []
    for segmentation in segmentations:
        if isinstance(segmentation, dict):
            counts = segmentation["counts"]
            runs.append(counts if isinstance(counts, str) else tuple(int(count) for count in counts))
        else:
            polygons += [tuple(float(value) for value in polygon) for polygon in segmentation]
    if any(len(polygon) < 6 or len(polygon) % 2 or not all(map(math.isfinite, polygon)) for polygon in polygons):
        raise ValueError("a polygon of fewer than three points, or not of numbers in pairs")
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"an image of {size[0]} x {size[1]} pixels")
    return Outlines(tuple(polygons), tuple(runs), size)


def _by_ending(images: Iterable[Path]) -> dict[str, list[Path]]:
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_name[unicodedata.normalize("NFC", image.name)].append(image)
    return by_name


def _place_of(file: Path, name: str, places: Mapping[str, list[Path]]) -> Path | None:
    """Return the image that ``file`` calls ``name``: one beside it, else the one with the longest matching path."""
    parts = PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/"))).parts
    same = places.get(parts[-1], []) if parts else []
    for folder in (file.parent, file.parent / "images"):
        if folder.joinpath(*parts) in same:
            return folder.joinpath(*parts)
    for start in range(len(parts)):
        fitting = [image for image in same if image.parts[start - len(parts) :] == parts[start:]]
        if len(fitting) > 1:
            fitting = [image for image in fitting if _shares_word(file, image)]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _shares_word(file: Path, image: Path) -> bool:
    """Return whether a file's name contains the image's folder: ``instances_train2017.json`` and ``train2017/``."""
    return image.parent.name.lower() in file.stem.lower()


def _of_text_files(tree: Tree, images: Iterable[Path]) -> dict[Path, Outlines]:
    """Return the outlines in text files of label folders: lines of ``class x y x y ...``, as shares of the sides."""
    texts: dict[tuple[tuple[str, ...], str], Path] = {}
    for path in tree.others:
        folders = path.relative_to(tree.root).parts[:-1]
        if path.suffix.lower() == ".txt" and role_of(folders)[0] == TRUTH:
            texts[_place(folders), path.stem] = path
    found, classes = {}, set[str]()
    for image in images:
        text = texts.get((_place(image.relative_to(tree.root).parts[:-1]), image.stem))
        lines = [line.split() for line in _lines(text)] if text else []
        if lines:
            classes |= {line[0] for line in lines}
            found[image] = Outlines(tuple(_polygon(text, line) for line in lines))
    _require_one_class(tree.root, classes)
    return found


def _place(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(folder for folder in folders if not role_of((folder,))[0])


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from (line for line in path.read_text().splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); expected lines of class x y x y ... Export it again."
        ) from error


def _polygon(path: Path | None, values: list[str]) -> tuple[float, ...]:
    try:
        polygon = tuple(map(float, values[1:]))
    except ValueError:
        polygon = ()
    if len(polygon) < 6 or len(polygon) % 2 or not all(-0.01 <= value <= 1.01 for value in polygon):
        raise DataError(
            f"{path} has lines of {len(values)} values, such as {' '.join(values[:5])}; expected outlines: a class, "
            "then three or more points x y between 0 and 1 (four values are a box). Export the set for segmentation."
        )
    return polygon
