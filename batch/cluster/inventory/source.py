"""The images of a bucket, from its inventory: those that a walk of the bucket would give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batch.cluster.inventory.manifest import InventoryManifest, read_manifest
from batch.cluster.inventory.order import in_walk_order
from batch.cluster.inventory.rows import Listed, rows_of
from batch.sources.image_ref import ImageRef, Origin, SourceReport
from batch.sources.urls.listing import nameless
from batch.sources.urls.remote import folder_origin, images_among, url_of
from batch.storage import Storage
from seglab.images.formats import IMAGE_SUFFIXES


class InventorySource:
    """The images of the bucket that an inventory lists, in the order of a walk, for planning.

    They have the paths, sizes, times and versions that a walk would find, as far as the inventory has the columns Size,
    LastModifiedDate and ETag. ``report``: what got no row.
    """

    def __init__(self, manifest: InventoryManifest) -> None:
        self.report = SourceReport()
        self._manifest = manifest
        self._storage = Storage(f"s3://{manifest.bucket}")
        self._origin = folder_origin(self._storage)

    @property
    def origins(self) -> list[Origin]:
        """Return the bucket as the ledger knows it."""
        return [self._origin]

    def __iter__(self) -> Iterator[ImageRef]:
        """Yield the images. The first comes when the whole inventory was read.

        Raises :class:`batch.errors.SourceError` for data files that are missing, damaged, or not the manifest's.
        """
        found = False
        files = self._files()
        for image in images_among(files, self._storage, self._origin, IMAGE_SUFFIXES, self.report):
            found = True
            yield image
        if not found:
            self.report.without_images.append(self._origin.named)

    def _files(self) -> Iterator[dict[str, Any]]:
        """Yield fsspec's details of each object that a walk finds."""
        unreachable = None
        for listed in in_walk_order(rows_of(self._manifest)):
            above = _above_nameless(listed.key)
            if above is None:
                yield self._details(listed)
            elif above != unreachable:  # objects below the same folder follow one another
                unreachable = above
                self.report.unreadable.append(nameless(url_of(self._storage, f"{self._storage.root}/{above}")))

    def _details(self, listed: Listed) -> dict[str, Any]:
        name = f"{self._storage.root}/{listed.key}"
        return {"name": name, "size": listed.bytes, "mtime": listed.changed, "ETag": listed.tag}


def _above_nameless(key: str) -> str | None:
    """Return the part of a key before a folder with an empty name, with its slash; None if it has no such folder."""
    if key.startswith("/"):
        return ""
    before, slashes, _ = key.partition("//")
    return f"{before}/" if slashes else None


def inventory_source(manifest: str) -> InventorySource:
    """Return the images of an S3 Inventory. ``manifest``: path or URL of its ``manifest.json``.

    Raises :class:`batch.errors.SourceError` if that is no manifest, or names data in a format that is not read.
    """
    return InventorySource(read_manifest(manifest))
