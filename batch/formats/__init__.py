"""Masks in the formats of hospitals and annotation tools: ``seg-batch export``."""

NAMES = ("coco", "labelme", "png", "dicom")
"""Names of the formats in :mod:`batch.formats.table`, which is slower to import."""
MADE_BY = "seg-batch export"
"""What wrote a file, as the file says."""

__all__ = ["MADE_BY", "NAMES"]
