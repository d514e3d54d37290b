"""PNG and APNG."""

from seglab.images.decoders.png.decode import decode

__all__ = ["decode"]
