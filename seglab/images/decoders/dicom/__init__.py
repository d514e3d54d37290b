"""Photographs in DICOM files."""

from seglab.images.decoders.dicom.decode import decode

__all__ = ["decode"]
