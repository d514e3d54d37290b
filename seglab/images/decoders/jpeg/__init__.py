"""JPEG."""

from seglab.images.decoders.jpeg.decode import decode

__all__ = ["decode"]
