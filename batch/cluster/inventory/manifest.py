"""Read the ``manifest.json`` of an S3 Inventory, and fetch the data files that it names.

Their format: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from batch.errors import SourceError, printable
from batch.storage import Storage, is_url, storage_errors
from seglab.words import counted

CSV, PARQUET = "CSV", "Parquet"
MANIFEST = "manifest.json"
DATA = "data"
"""Folder of the data files, beside the folders of the dates."""


@dataclass(frozen=True)
class DataFile:
    """A file with rows. ``bytes``, ``md5``: as the manifest says; None if it does not."""

    key: str
    bytes: int | None = None
    md5: str | None = None


@dataclass(frozen=True)
class InventoryManifest:
    """``named``: its own path or URL. ``bucket``: that is listed; ``destination``: that holds the data files.

    ``form``: ``CSV`` or ``Parquet``. ``columns``: of a CSV, in their order; a Parquet file names its own.
    """

    named: str
    bucket: str
    destination: str
    form: str
    columns: tuple[str, ...]
    files: tuple[DataFile, ...]

    @contextlib.contextmanager
    def fetched(self, file: DataFile) -> Iterator[Path]:
        """Yield a data file as a local file, which has the size and MD5 that the manifest says.

        Raises :class:`SourceError`.
        """
        if not is_url(self.named):
            path = self._beside(file)
            _require_same(path, file, str(path))
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="seg-batch-inventory-") as scratch:
            path = Path(scratch, PurePosixPath(file.key).name)
            url = f"s3://{self.destination}/{file.key}"
            storage = Storage(f"s3://{self.destination}")
            with storage_errors(url):
                try:
                    storage.download(f"{storage.root}/{file.key}", path)
                except FileNotFoundError as error:
                    raise _missing(self.named, url) from error
            _require_same(path, file, url)
            yield path

    def _beside(self, file: DataFile) -> Path:
        """Return the path of a data file of a manifest on disk."""
        folder, name = Path(self.named).absolute().parent, PurePosixPath(file.key).name
        for path in (folder / DATA / name, folder / name, folder.parent / DATA / name):
            if path.is_file():
                return path
        raise _missing(self.named, str(folder / DATA / name))


def read_manifest(named: str) -> InventoryManifest:
    """Read a manifest at a path or URL. Raises :class:`SourceError` if it is none, or of a format that is not read."""
    try:
        found = json.loads(_content(named))
        manifest = _manifest_of(named, found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(named, f"is damaged, or another file ({type(error).__name__}: {error})") from error
    if manifest.form not in (CSV, PARQUET):
        raise SourceError(
            f"The inventory {printable(named)} is in the format {printable(manifest.form)}; expected {CSV} or "
            f"{PARQUET}. Set one of them in the configuration of the inventory, or name the bucket as a source: "
            f"s3://{printable(manifest.bucket)}"
        )
    return manifest


def _content(named: str) -> bytes:
    try:
        if not is_url(named):
            return Path(named).read_bytes()
        storage = Storage(named)
        with storage_errors(named):
            return storage.read(storage.root)
    except FileNotFoundError as error:
        raise _wrong(named, "does not exist") from error
    except IsADirectoryError as error:
        raise _wrong(named, "is a folder") from error
    except OSError as error:
        raise _wrong(named, f"cannot be read ({error.strerror or error})") from error


def _manifest_of(named: str, found: dict[str, Any]) -> InventoryManifest:
    form, schema = str(found["fileFormat"]), str(found["fileSchema"])
    columns = tuple(name.strip() for name in schema.split(",")) if form == CSV else ()
    files = tuple(DataFile(str(file["key"]), file.get("size"), file.get("MD5checksum")) for file in found["files"])
    destination = str(found["destinationBucket"]).rpartition(":")[2]  # arn:aws:s3:::BUCKET
    return InventoryManifest(named, str(found["sourceBucket"]), destination, form, columns, files)


def _require_same(path: Path, file: DataFile, where: str) -> None:
    """Raise :class:`SourceError` if a data file is not the one that the manifest names."""
    try:
        size = path.stat().st_size
        with path.open("rb") as opened:
            md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise SourceError(
            f"{printable(where)} cannot be read: {error.strerror or error}; expected a data file of the inventory. "
            "Check its permissions."
        ) from error
    if file.bytes is not None and size != file.bytes:
        why = f"has {counted(size, 'byte')}, and the manifest says {file.bytes:,}"
    elif file.md5 is not None and md5 != file.md5.lower():
        why = f"has the MD5 {md5}, and the manifest says {file.md5}"
    else:
        return
    raise SourceError(f"{printable(where)} {why}; expected the file that S3 wrote. Get it again.")


def _missing(named: str, where: str) -> SourceError:
    return SourceError(
        f"{printable(where)} does not exist, and {printable(named)} names it; expected all data files of the inventory "
        f"in its bucket, or in a folder {DATA}/ beside a copy of the manifest. Copy them there, or name a newer "
        "inventory."
    )


def _wrong(named: str, why: str) -> SourceError:
    return SourceError(
        f"{printable(named)} {why}; expected the {MANIFEST} of an S3 Inventory. Name that file: it lies in the folder "
        "of a date, such as 2026-11-30T01-00Z/."
    )
