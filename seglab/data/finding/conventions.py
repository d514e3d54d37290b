"""Layouts of known data sets of lesions: names of folders and files. This module imports nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The layout of a data set: image folders and truth folders, at most ``depth`` levels below the root."""

    name: str
    images: re.Pattern[str]
    truths: re.Pattern[str]
    depth: int = 2


def _folder(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


TELLING_LAYOUTS = (
    Layout(
        "ISIC 2018 (ISIC2018_Task1-2_*_Input, ISIC2018_Task1_*_GroundTruth)",
        _folder(r"ISIC2018_Task1(-2)?_(Training|Validation|Test)_Input"),
        _folder(r"ISIC2018_Task1_(Training|Validation|Test)_GroundTruth"),
    ),
    Layout(
        "ISIC 2017 (ISIC-2017_*_Data, ISIC-2017_*_Part1_GroundTruth)",
        _folder(r"ISIC-2017_(Training|Validation|Test_v2|Test)_Data"),
        _folder(r"ISIC-2017_(Training|Validation|Test_v2|Test)_Part1_GroundTruth"),
    ),
    Layout(
        "ISIC 2016 (ISBI2016_ISIC_Part1_*_Data, ISBI2016_ISIC_Part1_*_GroundTruth)",
        _folder(r"ISBI2016_ISIC_Part[13]B?_(Training|Test)_Data"),
        _folder(r"ISBI2016_ISIC_Part[13]B?_(Training|Test)_GroundTruth"),
    ),
    Layout(
        "HAM10000 (HAM10000_images_part_*, HAM10000_segmentations_lesion_tschandl)",
        _folder(r"HAM10000_images(_part_\d+)?"),
        _folder(r"HAM10000_segmentations_lesion_tschandl"),
    ),
    Layout(
        "PH2 (IMD*/IMD*_Dermoscopic_Image, IMD*/IMD*_lesion)",
        _folder(r"IMD\d+_Dermoscopic_Image"),
        _folder(r"IMD\d+_lesion"),
        depth=4,
    ),
    Layout("ISIC-like (*_Data or *_Input, *_GroundTruth)", _folder(r".+_(Data|Input)"), _folder(r".+_GroundTruth")),
)
"""Layouts whose folder names are unmistakable."""
PLAIN = Layout("plain (images, masks)", _folder(r"images?"), _folder(r"masks?|truths?|labels?|ground_?truth"))
LAYOUTS = (*TELLING_LAYOUTS, PLAIN)

SUPERPIXELS_ENDING = "_superpixels"
"""Ending of the superpixel maps that ISIC 2017 puts beside its images."""
