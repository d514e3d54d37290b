"""Storage that fsspec reaches by URL: ``s3://``, ``gs://``, ``https://``. Images come from it, masks go to it.

fsspec and the driver of the storage are optional (``pip install "seglab[remote]"``); what they raise is mapped here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from batch.errors import OutputError, SourceError, shown
from batch.outputs.naming import SUFFIX
from batch.sources.bytes import Read, require_bounded
from batch.sources.image_ref import UNKNOWN, Item, SourceReport, suffix_of
from seglab.errors import ImageError

if TYPE_CHECKING:
    from batch.sources.archive import ArchiveSource

URL = re.compile(r"[a-z][a-z0-9+.-]+://")
INSTALL = 'Install it: pip install "seglab[remote]" (for gs:// also gcsfs, for az:// adlfs).'
CHANGE_TIMES = ("LastModified", "last_modified", "mtime", "updated")
NOT_THERE = "expected a file, or a folder with images. Check the address, and the rights of your account."

RIGHTS = "Expected a bucket that is there, and rights to list, read and write it. Correct one of them, then run again."


def is_url(text: str) -> bool:
    """Is this an address of storage and not a path?"""
    return URL.match(text) is not None


def require_apart(sources: Sequence[str], out: str) -> None:
    """Raise :class:`SourceError` where masks at a URL would lie among images there, and be taken for some next time."""
    place = out.rstrip("/") + "/"
    for source in filter(is_url, sources):
        images = source.rstrip("/") + "/"
        if is_url(out) and (place.startswith(images) or images.startswith(place)):
            raise SourceError(
                f"{shown(source)} and the output {shown(out)} lie one in the other; expected masks and images in "
                "different places. Choose another output."
            )


def connect(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path on it. Raises :class:`SourceError`."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        raise SourceError(f"{shown(url)} needs a library that is not installed ({error}). {INSTALL}") from error
    except ValueError as error:
        raise SourceError(f"{shown(url)} cannot be opened: {error}. Expected s3://, gs://, https:// or so.") from error


@dataclass(frozen=True, slots=True)
class RemoteContent:
    """A file of a file system of fsspec's."""

    files: Any
    path: str
    bytes: int
    mtime_ns: int
    held: ClassVar[int] = 0

    def read(self) -> Read:
        """Fetch it. Raises :class:`ImageError`."""
        require_bounded(self.bytes)
        try:
            data: bytes = self.files.cat_file(self.path)
        except Exception as error:  # each storage has errors of its own
            raise ImageError(f"It cannot be fetched: {_brief(error)}. Run again to try again.") from error
        if self.bytes not in (UNKNOWN, len(data)):
            raise ImageError(f"It has {len(data)} bytes; the listing said {self.bytes}. Run again to try again.")
        return Read(data, len(data) if self.bytes == UNKNOWN else self.bytes, self.mtime_ns)


@dataclass(frozen=True)
class RemoteSource:
    """The images below a URL, or the one that it names. Raises :class:`SourceError` at once where there is nothing."""

    source: str
    suffixes: frozenset[str]
    prefix: str = ""

    def __post_init__(self) -> None:
        if self._single() is None and next(self._below(), None) is None:
            raise SourceError(f"Nothing is at {shown(self.source)}; {NOT_THERE}")

    def items(self, report: SourceReport) -> Iterator[Item]:
        """Yield the images, as the storage lists them."""
        files, root = connect(self.source)
        single = self._single()
        if single is not None:
            yield _item(files, single, root, self.source, root.rsplit("/", 1)[-1])
            return
        for path, details in self._below():
            relative = path.removeprefix(root).lstrip("/")
            if any(part.startswith(".") for part in relative.split("/")):
                report.hidden += 1
            elif suffix_of(path) in self.suffixes:
                yield _item(files, details, path, self.source, self.prefix + relative)
            else:
                report.others[suffix_of(path)] += 1

    def names(self) -> None:
        """Return None: listing storage takes its time, once is enough."""

    def _single(self) -> dict[str, Any] | None:
        """Return the details of what the URL names, if that is one file."""
        files, root = connect(self.source)
        with _mapped(self.source):
            try:
                details: dict[str, Any] = files.info(root)
            except FileNotFoundError:
                return None
        is_file = details.get("type") == "file" and not self.source.endswith("/")
        return details if is_file else None

    def _below(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (path, details) folder by folder, each sorted, without holding the whole listing."""
        files, root = connect(self.source)
        stack = [root]
        while stack:
            with _mapped(self.source):
                try:
                    listing = sorted(files.ls(stack.pop(), detail=True), key=lambda entry: str(entry["name"]))
                except FileNotFoundError:
                    continue
            yield from ((entry["name"], entry) for entry in listing if entry["type"] == "file")
            stack += [entry["name"] for entry in reversed(listing) if entry["type"] == "directory"]


def remote_archive(source: str, suffixes: frozenset[str], prefix: str) -> ArchiveSource:
    """Return the images of a zip or tar at a URL: a zip is read in parts, a tar as a stream."""
    from batch.sources.archive import ZIP_SUFFIX, ArchiveSource

    files, path = connect(source)
    with _mapped(source):
        if not files.exists(path):
            raise SourceError(f"Nothing is at {shown(source)}; {NOT_THERE}")
    streamed = source.startswith("http") and not source.lower().endswith(ZIP_SUFFIX)
    options = {"block_size": 0} if streamed else {}  # many web servers cannot give a part of a file
    return ArchiveSource(source, source, suffixes, prefix, opener=lambda: files.open(path, "rb", **options))


class RemoteStore:
    """Masks below a URL (see :class:`batch.outputs.base.Store`)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._files, self._root = connect(self._url)
        self._listed: dict[str, set[str]] = {}

    def require_fresh(self) -> None:
        """Raise :class:`OutputError` where it holds PNG files already."""
        found = next(self.names(), None)
        if found is not None:
            raise OutputError(
                f"{shown(self._url)} holds {shown(found)}, which a mask might overwrite, and the ledger is new; "
                "expected an empty place, or the ledger (--ledger) of the run that wrote it. Choose another one."
            )

    def prepare(self, unfinished: Sequence[str]) -> None:
        """Do nothing: an upload is there as a whole, or not at all."""

    def write(self, mask: str, data: bytes) -> None:
        """Upload."""
        with _as_os_error(self.where(mask)):
            self._files.pipe_file(self._path(mask), data)

    def read(self, mask: str) -> bytes:
        """Fetch."""
        with _as_os_error(self.where(mask)):
            return bytes(self._files.cat_file(self._path(mask)))

    def present(self, masks: Collection[str]) -> set[str]:
        """Return those that were there when their folders were listed."""
        return {mask for mask in masks if self._is_listed(mask)}

    def _is_listed(self, mask: str) -> bool:
        """Was it there? Folders come one after the other, so one listing is kept."""
        folder = mask.rpartition("/")[0]
        if folder not in self._listed:
            try:
                self._listed = {folder: set(self._list(self._path(folder)))}
            except Exception as error:  # each storage has errors of its own
                raise OutputError(f"{self.where(folder)} cannot be listed: {_brief(error)}. {RIGHTS}") from error
        return self._path(mask) in self._listed[folder]

    def remove(self, mask: str) -> None:
        """Remove it, if it is there."""
        with contextlib.suppress(FileNotFoundError), _as_os_error(self.where(mask)):
            self._files.rm_file(self._path(mask))

    def names(self) -> Iterator[str]:
        """Yield the PNG files."""
        try:
            found = self._files.find(self._root)
        except Exception as error:  # each storage has errors of its own
            raise OutputError(f"{self._url} cannot be listed: {_brief(error)}. {RIGHTS}") from error
        for path in sorted(found):
            if path.lower().endswith(SUFFIX):
                yield path.removeprefix(self._root).lstrip("/")

    def where(self, mask: str) -> str:
        """Return the mask's URL."""
        return f"{self._url}/{mask}"

    def close(self) -> None:
        """Do nothing: every mask is whole by itself."""

    def _path(self, mask: str) -> str:
        return f"{self._root}/{mask}".rstrip("/")

    def _list(self, folder: str) -> Iterator[str]:
        try:
            entries = self._files.ls(folder, detail=True)
        except FileNotFoundError:
            return
        yield from (entry["name"] for entry in entries if entry.get("size"))


def _item(files: Any, details: dict[str, Any], path: str, source: str, relative: str) -> Item:
    size = details.get("size")
    mtime_ns = _change_time(details)
    size = UNKNOWN if size is None else int(size)
    return Item(
        files.unstrip_protocol(path), relative, source, size, mtime_ns, RemoteContent(files, path, size, mtime_ns)
    )


def _change_time(details: dict[str, Any]) -> int:
    """Return the time of change in nanoseconds, 0 where the storage does not say."""
    for name in CHANGE_TIMES:
        value = details.get(name)
        if isinstance(value, datetime):
            return int(value.timestamp()) * 10**9
        if isinstance(value, (int, float)):
            return int(value * 10**9)
    return 0


@contextlib.contextmanager
def _mapped(source: str) -> Iterator[None]:
    try:
        yield
    except (SourceError, FileNotFoundError):
        raise
    except Exception as error:  # each storage has errors of its own
        raise SourceError(f"{shown(source)} cannot be read: {_brief(error)}; {NOT_THERE}") from error


@contextlib.contextmanager
def _as_os_error(place: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(2, "nothing is there", place) from error
    except Exception as error:  # each storage has errors of its own
        raise OSError(5, _brief(error), place) from error


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
