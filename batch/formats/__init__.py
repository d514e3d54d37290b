"""Masks in the formats of hospitals and annotation tools: ``seg-batch export``."""

NAMES = ("coco", "labelme", "png", "dicom")
"""Names of the formats in :mod:`batch.formats.table`, which is slower to import."""
MADE_BY = "seg-batch export"
"""The mark inside every file that an export writes: only such files are replaced."""

__all__ = ["MADE_BY", "NAMES"]
