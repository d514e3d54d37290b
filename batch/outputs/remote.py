"""Masks below a URL: each mask is one upload, which exists completely or not at all."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Collection, Iterator, Sequence

from batch.errors import OutputError, SourceError, printable
from batch.naming import SUFFIX
from batch.outputs.base import TAKEN
from batch.storage import Storage, as_os_error, is_url, reason
from batch.urls import is_web, place

RIGHTS = "Expected a bucket that exists, and permission to list, read and write it. Correct that, then run again."


def require_outside(sources: Sequence[str], out: str) -> None:
    """Raise :class:`SourceError` if a source and the output lie in one another: masks would become images next time."""
    masks = _below(out)
    for source in filter(is_url, sources):
        images = _below(source)
        if is_url(out) and (masks.startswith(images) or images.startswith(masks)):
            raise SourceError(
                f"{printable(source)} and the output {printable(out)} lie inside one another; expected masks and "
                "images in different places. Choose another output."
            )


def _below(url: str) -> str:
    """Return the prefix of all addresses below this one, the same for http and https."""
    scheme = "" if is_web(url) else url.partition("://")[0].lower()
    return f"{scheme}://{place(url).rstrip('/')}/"


class RemoteStore:
    """Masks below a URL (see :class:`batch.outputs.base.Store`)."""

    def __init__(self, url: str) -> None:
        self._storage = Storage(url.rstrip("/"))
        self._url, self._root = self._storage.public.rstrip("/"), self._storage.root.rstrip("/")
        self._listed: dict[str, set[str]] = {}

    def require_fresh(self) -> None:
        """Raise :class:`OutputError` if there are PNG files below the URL already."""
        found = next(self.names(), None)
        if found is not None:
            raise OutputError(
                f"{printable(self._url)} holds {printable(found)}, which a mask might overwrite, and the ledger is "
                "new; expected an empty URL, or the ledger (--ledger) of the run that wrote it. Choose another output."
            )

    def prepare(self, unfinished: Sequence[str]) -> None:
        """Do nothing: an upload exists completely or not at all."""

    def write(self, mask: str, data: bytes, *, is_fresh: bool = False, made: str = "") -> None:
        """Upload the mask."""
        if is_fresh and self._is_listed(mask):
            raise FileExistsError(errno.EEXIST, TAKEN, self.where(mask))
        with as_os_error(self.where(mask)):
            self._storage.write(self._path(mask), data)

    def read(self, mask: str) -> bytes:
        """Download the mask."""
        with as_os_error(self.where(mask)):
            return self._storage.read(self._path(mask))

    def present(self, masks: Collection[str]) -> set[str]:
        """Return the masks that existed when their folders were listed."""
        return {mask for mask in masks if self._is_listed(mask)}

    def _is_listed(self, mask: str) -> bool:
        """Return whether the mask existed. Masks come folder by folder, so only the last listing is kept."""
        folder = mask.rpartition("/")[0]
        if folder not in self._listed:
            try:
                self._listed = {folder: set(self._list(self._path(folder)))}
            except Exception as error:  # each storage has its own errors
                raise OutputError(
                    f"{printable(self.where(folder))} cannot be listed: {reason(error)}. {RIGHTS}"
                ) from error
        return self._path(mask) in self._listed[folder]

    def remove(self, mask: str, made: str = "") -> None:
        """Remove the mask, if it exists."""
        with contextlib.suppress(FileNotFoundError), as_os_error(self.where(mask)):
            self._storage.remove(self._path(mask))

    def names(self) -> Iterator[str]:
        """Yield the names of the PNG files."""
        try:
            found = self._storage.find(self._root)
        except Exception as error:  # each storage has its own errors
            raise OutputError(f"{printable(self._url)} cannot be listed: {reason(error)}. {RIGHTS}") from error
        for path in sorted(found):
            if path.lower().endswith(SUFFIX):
                yield path.removeprefix(self._root).lstrip("/")

    def where(self, mask: str) -> str:
        """Return the mask's URL."""
        return f"{self._url}/{mask}"

    def sync(self) -> None:
        """Do nothing: uploads are durable."""

    def close(self) -> None:
        """Do nothing: every mask is complete by itself."""

    def _path(self, mask: str) -> str:
        return f"{self._root}/{mask}".rstrip("/")

    def _list(self, folder: str) -> Iterator[str]:
        try:
            entries = self._storage.listing(folder)
        except FileNotFoundError:
            return
        yield from (entry["name"] for entry in entries if entry.get("size"))
