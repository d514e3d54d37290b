"""What names of folders and files say: the part of a data set, the role of a folder, the image of a mask."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from seglab.data.finding.conventions import LAYOUTS

PART_NAMES = {
    "train": "training", "training": "training", "tr": "training",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test", "ts": "test",
}  # fmt: skip
IMAGE, TRUTH, OTHER = "image", "truth", "other"
"""Roles of folders."""
TRUTH_FOLDERS = frozenset(
    {
        "mask", "masks", "truth", "truths", "label", "labels", "gt", "gts", "groundtruth", "groundtruths",
        "ann", "annotation", "annotations", "annot", "annots", "seg", "segs", "segmentation", "segmentations",
        "target", "targets",
    }
)  # fmt: skip
IMAGE_FOLDERS = frozenset(
    {
        "image", "images", "img", "imgs", "input", "inputs", "photo", "photos", "picture", "pictures",
        "dermoscopic", "original", "originals",
    }
)  # fmt: skip
OTHER_FOLDERS = frozenset(
    {
        "superpixel", "superpixels", "overlay", "overlays", "prediction", "predictions", "preview", "previews",
        "thumbnail", "thumbnails", "thumbs", "heatmap", "heatmaps", "figure", "figures", "attribute",
        "attributes",
    }
)  # fmt: skip
"""Words in names of folders that say their role. The deepest folder decides; within a name, truth before image."""
SPECIAL = (
    (re.compile(r"IMD\d+_roi", re.IGNORECASE), "masks of colours (PH2)"),
    (re.compile(r"SegmentationObject", re.IGNORECASE), "masks of instances (Pascal VOC)"),
    (re.compile(r".+_GroundTruth_v\d+", re.IGNORECASE), "masks of attributes (ISIC task 2)"),
    (re.compile(r"ISBI2016_ISIC_Part2B?_\w+_GroundTruth", re.IGNORECASE), "masks of attributes (ISIC task 2)"),
)
BESIDE = (
    (re.compile(r".+_superpixels", re.IGNORECASE), "superpixel maps"),
    (re.compile(r".+_attribute_\w+", re.IGNORECASE), "masks of attributes (ISIC task 2)"),
)
"""Folders and stems of pictures that are neither photographs nor truths of lesions."""

TRUTH_WORDS = (
    "segmentation", "mask", "seg", "gt", "truth", "lesion", "label", "segmentations", "segmented", "segment", "masks",
    "ground_truth", "groundtruth", "labels", "annotation", "annot", "binary",
)  # fmt: skip
IMAGE_WORDS = ("image", "img", "photo", "picture", "dermoscopic", "input", "original", "orig", "downsampled")
ISIC = re.compile(r"(ISIC_\d+)(_downsampled)?", re.IGNORECASE)
"""Names that the ISIC archive gives to pictures; they are the same in every data set."""


def part_of(root: Path, path: Path) -> str:
    """Return the part that the folders between ``root`` and a file say: ``training``, ``validation``, ``test``, or an
    empty text.
    """
    for folder in path.relative_to(root).parts[:-1]:
        for word in words_of(folder):
            if word in PART_NAMES:
                return PART_NAMES[word]
    return ""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, without numbers: ``labels`` and ``tr`` for ``labelsTr``."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[\W_\d]+", apart.lower()) if word]


@functools.lru_cache(4096)
def role_of(folders: tuple[str, ...]) -> tuple[str, str]:
    """Return the role of the files in a folder (or an empty text), and for ``other`` what they are."""
    for folder in reversed(folders):
        for pattern, kind in SPECIAL:
            if pattern.fullmatch(folder):
                return OTHER, kind
        for layout in LAYOUTS:
            if layout.truths.fullmatch(folder):
                return TRUTH, ""
            if layout.images.fullmatch(folder):
                return IMAGE, ""
        words = set(words_of(folder)) | {folder.lower()}
        for role, known in ((OTHER, OTHER_FOLDERS), (TRUTH, TRUTH_FOLDERS), (IMAGE, IMAGE_FOLDERS)):
            if words & known:
                return role, f"in a folder called {folder}" if role == OTHER else ""
    return "", ""


def tells_apart(word: str) -> bool:
    """Return whether a word in the name of a folder with a role distinguishes it, such as a number."""
    known = (PART_NAMES, TRUTH_FOLDERS, IMAGE_FOLDERS, OTHER_FOLDERS, TRUTH_WORDS)
    return bool(word) and not any(word in words or set(words_of(word)) & set(words) for words in known)


def image_id(path: Path) -> str:
    """Return the id of an image: the ISIC name in its stem, or else the stem."""
    stem = unicodedata.normalize("NFC", path.stem)
    found = ISIC.fullmatch(stem)
    return found[1].upper() if found else stem


def is_isic(id: str) -> bool:
    """Return whether an id is from ISIC; the same one then means the same picture in every set."""
    found = ISIC.fullmatch(id)
    return found is not None and found[1] == id


def _affixes(words: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """Return patterns for one of the words before or behind a name, with a separator, or an image suffix."""
    either = "|".join(sorted(words, key=len, reverse=True))
    return (
        re.compile(rf"^(?:{either})[_\-. ]+(?=.)", re.IGNORECASE),
        re.compile(rf"(?<=[^_\-. ])[_\-. ]+(?:{either})$", re.IGNORECASE),
        re.compile(r"(?<=.)\.(?:jpe?g|png|bmp|tiff?)$", re.IGNORECASE),
    )


_TRUTH, _IMAGE = _affixes(TRUTH_WORDS), _affixes((*IMAGE_WORDS, "0000"))  # 0000: the channel of nnU-Net
_TRUTH_ENDING = _TRUTH[1]


def truth_id(path: Path) -> str:
    """Return the id that an image, its truth and its mask share: the stem without all endings that say truth.

    All are removed, because an image may have one itself: ``3_lesion.jpg`` and ``3_lesion_mask.png`` are both ``3``.
    """
    name = path.stem
    while (shorter := _TRUTH_ENDING.sub("", name)) != name:
        name = shorter
    return name


def truth_names(stem: str) -> Iterator[str]:
    """Yield possible names for the image of a truth: the truth's stem, then without one and without two affixes.

    For ``mask`` the name becomes empty, which stands for the only image of its folder.
    """
    yield stem
    level = [stem]
    for _ in range(2):
        level = [shorter for name in level for shorter in _without(_TRUTH, name)]
        yield from level
    if stem.lower() in TRUTH_WORDS:
        yield ""


def image_names(stem: str) -> Iterator[str]:
    """Yield an image's stem, then the stem without an affix that says image."""
    yield stem
    yield from _without(_IMAGE, stem)
    if stem.lower() in IMAGE_WORDS:
        yield ""


def _without(affixes: tuple[re.Pattern[str], ...], name: str) -> Iterator[str]:
    yield from (affix.sub("", name) for affix in affixes if affix.search(name))
