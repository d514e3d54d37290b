"""Images from an S3 Inventory: a list of a bucket that S3 writes every day, so that nobody has to list it."""

from __future__ import annotations

from batch.sources.collect import Sources


def inventory_source(manifest: str) -> Sources:
    raise NotImplementedError
