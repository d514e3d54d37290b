"""Suffixes of image files and the limit of their size. This module imports no decoder."""

from __future__ import annotations

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".mpo"})
JPEG_2000_SUFFIXES = frozenset({".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"})
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".avif"})
OTHER_SUFFIXES = frozenset({".png", ".apng", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | JPEG_2000_SUFFIXES | HEIF_SUFFIXES | OTHER_SUFFIXES | DICOM_SUFFIXES
MAX_PIXELS = 400_000_000
"""Images with more pixels than this are refused before they are decoded (decompression bombs, slide scans)."""
PICTURE_MARK = b"seglab drew this picture"
"""Comment in pictures that ``seglab`` draws; a file with it may be replaced."""
