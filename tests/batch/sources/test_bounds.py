"""What is read is bounded, whatever files and servers say of themselves: every kind of content."""

from __future__ import annotations

import gzip
import io
import os
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from batch.sources.archives.zip_members import ZipMember
from batch.sources.bytes import (
    ByteSource,
    FileBytes,
    FileSlice,
    HeldBytes,
    NoBytes,
    read_exactly,
)
from batch.sources.urls.file import RemoteBytes
from batch.storage import Storage
from seglab.errors import ImageError
from tests.support.bombs import (
    MIB,
    tar_header,
    tar_of,
)
from tests.support.bounds import PHOTO, found_in, peak_of, refused
from tests.support.storage import Reply, Scripted

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def a_file(folder: Path) -> ByteSource:
    (folder / "a.png").write_bytes(PHOTO)
    return FileBytes(str(folder / "a.png"))


def a_slice(folder: Path) -> ByteSource:
    (folder / "a.tar").write_bytes(tar_of({"a.png": PHOTO}))
    (item,), _ = found_in(folder / "a.tar")
    assert isinstance(item.content, FileSlice)
    return item.content


def held(folder: Path) -> ByteSource:
    (folder / "a.tar.gz").write_bytes(gzip.compress(tar_of({"a.png": PHOTO})))
    (item,), _ = found_in(folder / "a.tar.gz")
    assert isinstance(item.content, HeldBytes)
    return item.content


def zipped(method: int) -> Callable[[Path], ByteSource]:
    def make(folder: Path) -> ByteSource:
        with zipfile.ZipFile(folder / "a.zip", "w", method) as file:
            file.writestr("a.png", PHOTO)
        (item,), _ = found_in(folder / "a.zip")
        assert isinstance(item.content, ZipMember)
        return item.content

    return make


@pytest.mark.parametrize("make", [a_file, a_slice, held, *map(zipped, METHODS)])
def test_what_has_more_bytes_than_the_limit_is_refused(tmp_path: Path, make: Callable[[Path], ByteSource]) -> None:
    content = make(tmp_path)
    assert content.read().data == content.read(len(PHOTO)).data == PHOTO
    said = refused(content, len(PHOTO) - 1)
    assert "10,000 bytes" in said
    assert "9,999 bytes" in said


def test_what_cannot_be_read_says_why_whatever_the_limit() -> None:
    assert refused(NoBytes("why"), 0) == "why"


@pytest.mark.parametrize("length", ["", str(len(PHOTO))])
def test_a_file_on_the_web_is_refused_at_the_limit_though_its_length_is_not_said(
    scripted: Scripted, length: str
) -> None:
    scripted.answer = lambda _: Reply(PHOTO, headers={"Content-Length": length, "Connection": "close"})
    content = RemoteBytes(Storage(f"{scripted.url}/a.png"), f"{scripted.url}/a.png", -1, 0)
    assert refused(content, 2 * 10**3).startswith("It has more than 0 MiB")
    assert content.read(len(PHOTO)).data == PHOTO


def test_an_object_that_became_larger_is_not_fetched_to_its_end(s3: object, scripted: Scripted) -> None:
    storage = Storage("s3://photos/a.png")
    for size in (0, 1, 2000):
        storage.files.pipe_file("photos/a.png", PHOTO[:size])
        assert RemoteBytes(storage, "photos/a.png", size, 0).read(2000).data == PHOTO[:size]
        assert RemoteBytes(storage, "photos/a.png", -1, 0).read(2000).data == PHOTO[:size]
    storage.files.pipe_file("photos/a.png", PHOTO)
    assert "more than 0 MiB" in refused(RemoteBytes(storage, "photos/a.png", 2000, 0), 2000)
    assert "10000 bytes; the listing said 2000" in refused(RemoteBytes(storage, "photos/a.png", 2000, 0), 10_000)
    assert "10,000 bytes" in refused(RemoteBytes(storage, "photos/a.png", len(PHOTO), 0), 2000)


def test_a_file_that_grows_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PHOTO)
    stopped = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stopped.is_set() and file.tell() < 2**28:
                file.write(PHOTO)
                time.sleep(0.0001)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        end = time.monotonic() + 30
        said: set[str] = set()
        while "The file changed while it was read" not in said and time.monotonic() < end:
            said.add(_outcome(path))
    finally:
        stopped.set()
        writer.join()
    assert "The file changed while it was read" in said
    assert said <= {"read", "The file changed while it was read"}


def _outcome(path: Path) -> str:
    try:
        return "read" if FileBytes(str(path)).read().data else "empty"
    except ImageError as error:
        return str(error).partition(".")[0]


def test_what_a_system_gives_in_parts_is_read_to_its_end() -> None:
    class Slow(io.RawIOBase):
        left = PHOTO

        def read(self, size: int = -1) -> bytes:
            part, self.left = self.left[: min(size, 999)], self.left[min(size, 999) :]
            return part

    assert read_exactly(Slow(), len(PHOTO)) == PHOTO
    assert read_exactly(Slow(), 1000) == PHOTO[:1000]
    assert read_exactly(Slow(), len(PHOTO) + 1) == PHOTO


def test_a_slice_that_claims_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar_header("a.png", 3 * 2**30) + PHOTO)
    content = FileSlice(str(path), 512, 3 * 2**30, 0)
    assert peak_of(lambda: refused(content, 2**32)) < MIB
    assert "ends inside this file" in refused(content, 2**32)
    assert "ends inside this file" in refused(FileSlice(str(path), 10**12, 5, 0), 2**32)


def test_a_file_over_the_limit_is_not_opened_to_be_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        os.truncate(file.fileno(), 5 * 2**30)
    assert peak_of(lambda: refused(FileBytes(str(tmp_path / "a.png")), 2**32)) < MIB
