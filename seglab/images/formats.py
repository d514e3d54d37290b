"""What counts as an image file, and how large one may be; known without loading a decoder."""

from __future__ import annotations

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | {".bmp", ".png", ".tif", ".tiff", ".webp"} | DICOM_SUFFIXES
MAX_PIXELS = 400_000_000
"""Images with more pixels than this are refused before they are decoded (decompression bombs, slide scans)."""
