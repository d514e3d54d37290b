"""TIFF and BigTIFF."""

from seglab.images.decoders.tiff.decode import decode, stored

__all__ = ["decode", "stored"]
