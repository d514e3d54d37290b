"""What is read is bounded, whatever archives, files and servers say of themselves."""

from __future__ import annotations

import gzip
import io
import os
import random
import subprocess
import tarfile
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from batch.errors import SourceError
from batch.sources.archives.zip_members import ZipMember
from batch.sources.bytes import (
    MOST_UNPACKED_BYTES,
    ByteSource,
    FileBytes,
    FileSlice,
    HeldBytes,
    NoBytes,
    read_exactly,
)
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef, SourceReport
from batch.sources.urls.file import RemoteBytes
from batch.storage import Storage
from seglab.errors import ImageError
from tests.support.bombs import (
    MIB,
    crc_of_zeros,
    gzipped_bomb,
    packed_zeros,
    sparse_tar,
    tar_header,
    tar_of,
    zip_of,
)
from tests.support.storage import Reply, Scripted

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
PHOTO = random.Random(1).randbytes(5000) + bytes(5000)


def found_in(path: Path) -> tuple[list[ImageRef], SourceReport]:
    sources = Sources([str(path)], frozenset({".png"}))
    return list(sources), sources.report


def peak_of(action: Callable[[], object]) -> int:
    """Return how many bytes Python held at most meanwhile."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(content: ByteSource, limit: int = MOST_UNPACKED_BYTES) -> str:
    with pytest.raises(ImageError) as error:
        content.read(limit)
    return str(error.value)


# Every kind, and its limit


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
        return str(error).partition(";")[0]


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


# Zips


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("says", [0, 100, MIB])
def test_a_member_that_unpacks_to_more_than_its_directory_says_is_not_unpacked(
    tmp_path: Path, method: int, says: int
) -> None:
    size = 200 * MIB if method != zipfile.ZIP_STORED else 20 * MIB
    (tmp_path / "a.zip").write_bytes(zip_of("a.png", packed_zeros(size, method), method, says, crc_of_zeros(says)))
    (item,), _ = found_in(tmp_path / "a.zip")
    said: list[str] = []
    assert peak_of(lambda: said.append(refused(item.content))) < 12 * MIB
    assert "holds more than" in said[0]


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_member_that_says_that_it_is_too_large_is_not_unpacked(tmp_path: Path, method: int) -> None:
    size = 3 * MOST_UNPACKED_BYTES
    (tmp_path / "a.zip").write_bytes(zip_of("a.png", b"anything", method, size, 0, {"b.png": PHOTO}))
    (item, other), report = found_in(tmp_path / "a.zip")
    assert "It has 1.5 GiB unpacked; expected an image of at most 512 MiB" in refused(item.content)
    assert "Unpack the archive and name the folder" in refused(item.content)
    assert other.content.read().data == PHOTO
    assert report.is_complete


def test_a_stored_member_may_be_as_large_as_a_file(tmp_path: Path) -> None:
    member = ZipMember(str(tmp_path / "none.zip"), 0, 2**30, 2**30, 0, zipfile.ZIP_STORED, 0, 0)
    assert "No such file" in refused(member, 2**31)
    assert "at most 512 MiB" in refused(ZipMember("none.zip", 0, 2**30, 2**30, 0, zipfile.ZIP_DEFLATED, 0, 0), 2**31)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, 9, MIB - 1, MIB, MIB + 1, 3 * MIB + 7])
def test_members_of_all_sizes_are_read_as_zipfile_reads_them(tmp_path: Path, method: int, size: int) -> None:
    data = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file:
        file.writestr("a.png", data)
    (item,), _ = found_in(tmp_path / "a.zip")
    read = item.content.read()
    assert (read.data == data, read.bytes, read.version) == (True, size, f"crc32:{zlib.crc32(data):08x}")


@pytest.mark.parametrize("method", METHODS)
def test_damage_is_seen_where_zipfile_sees_it(tmp_path: Path, method: int) -> None:
    data = PHOTO * 3
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", method) as file:
        file.writestr("a.png", data)
        file.writestr("b.png", data)
    whole = (tmp_path / "whole.zip").read_bytes()
    (item, _), _ = found_in(tmp_path / "whole.zip")
    assert isinstance(item.content, ZipMember)
    chance = random.Random(method)
    for _ in range(150):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 1, 5))):
            changed[chance.randrange(35, item.content.packed + 40)] = chance.randrange(256)
        (tmp_path / "whole.zip").write_bytes(changed)
        theirs, ours = _by_zipfile(tmp_path / "whole.zip"), _by_us(item.content)
        assert ours == theirs or (ours is None and theirs is not None and theirs != data)


def _by_zipfile(path: Path) -> bytes | None:
    try:
        with zipfile.ZipFile(path) as file:
            return file.read("a.png")
    except Exception:  # a decompressor may make anything of damage
        return None


def _by_us(content: ByteSource) -> bytes | None:
    try:
        return content.read().data
    except ImageError:
        return None


def test_a_zip_that_ends_inside_a_member_says_so(tmp_path: Path) -> None:
    for method in METHODS:
        data = zip_of("a.png", packed_zeros(MIB, method), method, MIB, crc_of_zeros(MIB))
        (tmp_path / "a.zip").write_bytes(data)
        (item,), _ = found_in(tmp_path / "a.zip")
        (tmp_path / "a.zip").write_bytes(data[:40])
        assert "it ends too early" in refused(item.content)


def test_lzma_without_an_end_mark_or_with_a_huge_dictionary_is_read(tmp_path: Path) -> None:
    packed = bytearray(packed_zeros(5000, zipfile.ZIP_LZMA))
    packed[5:9] = b"\xff" * 4  # a dictionary of 4 GiB
    (tmp_path / "a.zip").write_bytes(zip_of("a.png", bytes(packed), 14, 5000, crc_of_zeros(5000)))
    (item,), _ = found_in(tmp_path / "a.zip")
    assert peak_of(item.content.read) < 2 * MIB
    assert item.content.read().data == bytes(5000)
    packed[2] = 4  # properties of another length
    (tmp_path / "a.zip").write_bytes(zip_of("a.png", bytes(packed), 14, 5000, crc_of_zeros(5000)))
    assert "header of LZMA" in refused(item.content)


# Tars


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("batch.sources.archives.tar_members.MOST_UNPACKED_BYTES", 4 * MIB)
    return 4 * MIB


def test_a_member_of_a_compressed_tar_over_the_limit_is_a_row_and_never_held(tmp_path: Path, small_limit: int) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzipped_bomb("a.png", 200 * MIB, {"b.png": PHOTO}))
    found: list[ImageRef] = []
    assert peak_of(lambda: found.extend(found_in(path)[0])) < 12 * MIB
    large, small = found
    assert (large.bytes, large.content.held) == (200 * MIB, 0)
    assert "It has 200 MiB unpacked" in refused(large.content)
    assert "Unpack the archive and name the folder" in refused(large.content)
    assert small.content.read().data == PHOTO


def test_a_member_at_the_limit_is_read_and_held_once(tmp_path: Path, small_limit: int) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzipped_bomb("a.png", small_limit, {"b.png": PHOTO}))
    (large, small), _ = found_in(path)
    assert large.content.read().data == bytes(small_limit)
    assert small.content.read().data == PHOTO


def test_a_long_member_of_a_stream_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzipped_bomb("a.png", 64 * MIB, {}))
    assert peak_of(lambda: found_in(path)) < 85 * MIB


def test_a_tar_that_claims_a_huge_member_and_ends_is_an_incomplete_one(tmp_path: Path) -> None:
    for name, size in (("a.tar", 2**33), ("b.tar.gz", 2**33), ("c.tar.gz", 400 * MIB)):
        data = tar_header("a.png", size) + PHOTO
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        found: list[tuple[list[ImageRef], SourceReport]] = []
        assert peak_of(lambda found=found, name=name: found.append(found_in(tmp_path / name))) < 8 * MIB  # type: ignore[misc]
        assert not found[0][1].is_complete
        assert all(item.content.held == 0 for item in found[0][0])


@pytest.mark.parametrize("size", [-1, -512, -1024, -(2**62)])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_sizes_below_zero_are_damage_and_no_endless_walk(tmp_path: Path, name: str, size: int) -> None:
    data = tar_of({"a.png": PHOTO})[:-1024] + tar_header("b.png", size) + tar_of({"c.png": PHOTO})
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found, report = found_in(tmp_path / name)
    assert [item.path.rpartition("/")[2] for item in found] == ["a.png", "c.png"]
    assert [item.content.read().data for item in found] == [PHOTO, PHOTO]
    assert "damaged" in report.unreadable[0]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_size_below_zero_in_an_extended_header_is_no_endless_walk(tmp_path: Path, name: str) -> None:
    record = b"13 size=-512\n"
    extended = tar_header("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")
    data = tar_of({"a.png": PHOTO})[:-1024] + extended + tar_header("b.png", 0) + tar_of({"c.png": PHOTO})
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found, report = found_in(tmp_path / name)
    assert [item.path.rpartition("/")[2] for item in found] == ["a.png", "c.png"]
    assert "damaged" in report.unreadable[0]


def pax(records: dict[str, str]) -> bytes:
    parts = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + 2
        parts += (b"%d" % length if len(b"%d" % length) == 2 else b"%d" % (length + 1)) + rest
    return tar_header("x", len(parts), tarfile.XHDTYPE) + parts + bytes(-len(parts) % 512)


def sparse(size: int, chart: bytes, data: bytes, name: str = "s.png") -> bytes:
    """A sparse file as GNU tar writes it: its map, then the parts that are no holes."""
    chart += bytes(-len(chart) % 512)
    body = chart + data
    records = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    head = pax({f"GNU.sparse.{key}": value for key, value in records.items()})
    return head + tar_header(name, len(body)) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_sparse_file_is_filled_and_one_over_the_limit_is_not(tmp_path: Path, name: str, small_limit: int) -> None:
    chart = b"2\n1000\n5\n3000000\n5\n"
    data = sparse(small_limit, chart, b"begin" + b"ended")
    data += sparse(small_limit + 1, chart, b"begin" + b"ended", "t.png") + tar_of({"c.png": PHOTO})
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    (filled, large, last), report = found_in(tmp_path / name)
    expected = bytearray(small_limit)
    expected[1000:1005], expected[3_000_000:3_000_005] = b"begin", b"ended"
    assert filled.content.read().data == expected
    assert "unpacked; expected an image of at most" in refused(large.content)
    assert last.content.read().data == PHOTO
    assert report.is_complete


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_sparse_files_of_the_system_are_filled(tmp_path: Path, name: str) -> None:
    with (tmp_path / "s.png").open("wb") as file:
        for place in range(5):
            file.seek(place * MIB)
            file.write(b"%d" % place + PHOTO)
    expected = (tmp_path / "s.png").read_bytes()
    kind = "z" if name.endswith("gz") else ""
    for dialect in ("gnu", "posix"):
        line: list[str | Path] = ["tar", f"cS{kind}f", tmp_path / name, f"--format={dialect}", "s.png"]
        if subprocess.run(line, cwd=tmp_path, check=False, capture_output=True).returncode:
            pytest.skip("needs GNU tar")
        (item,), report = found_in(tmp_path / name)
        assert item.content.read().data == expected
        assert report.is_complete


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_map_of_a_sparse_file_without_end_is_not_read_to_its_end(tmp_path: Path, name: str) -> None:
    endless = b"%d\n" % 10**9 + b"0\n" * (2 * MIB)
    for bomb in (sparse(100, endless, b""), _endless_old_map()):
        data = tar_of({"a.png": PHOTO})[:-1024] + bomb + tar_of({"c.png": PHOTO})
        (tmp_path / name).write_bytes(gzip.compress(data, 1) if name.endswith("gz") else data)
        items, report = found_in(tmp_path / name)
        assert [item.path.rpartition("/")[2] for item in items] == ["a.png", "c.png"]
        assert "damaged" in report.unreadable[0]


def _endless_old_map() -> bytes:
    """The dialect before: blocks of 21 entries, each of which says that another follows."""
    header = bytearray(tar_header("s.png", 100, tarfile.GNUTYPE_SPARSE))
    header[482] = 1
    header[483:495] = b"00000000144\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    block = b"00000000001\x0000000000001\x00" * 21 + b"\1" + bytes(7)
    return bytes(header) + block * (4 * MIB // 512)


def test_a_dictionary_of_gigabytes_is_refused_in_words(tmp_path: Path) -> None:
    flags, block = b"\0\4", b"\2\0\x21\1\x26" + bytes(3)  # LZMA2 with a dictionary of 2 GiB
    header = b"\xfd7zXZ\0" + flags + zlib.crc32(flags).to_bytes(4, "little")
    (tmp_path / "a.tar.xz").write_bytes(header + block + zlib.crc32(block).to_bytes(4, "little") + bytes(2000))
    with pytest.raises(SourceError, match="Memory usage limit"):
        found_in(tmp_path / "a.tar.xz")


def test_a_gzip_that_lies_about_its_length_and_sum_is_damaged(tmp_path: Path) -> None:
    large = random.Random(2).randbytes(3 * MIB)
    data = bytearray(gzip.compress(tar_of({"a.png": PHOTO, "b.png": large})))
    data[-8:] = b"\xff" * 8
    (tmp_path / "a.tar.gz").write_bytes(data)
    found, report = found_in(tmp_path / "a.tar.gz")
    assert found[0].content.read().data == PHOTO
    assert "damaged after" in report.unreadable[0]


def test_a_sparse_file_on_disk_as_a_tar_gives_its_other_members(tmp_path: Path) -> None:
    sparse_tar(tmp_path / "a.tar", "a.png", 5 * 2**30, {"b.png": PHOTO})
    (large, small), _ = found_in(tmp_path / "a.tar")
    assert "The file has 5 GiB; expected an image of at most 4 GiB" in refused(large.content, 2**32)
    assert small.content.read().data == PHOTO


def test_a_file_over_the_limit_is_not_opened_to_be_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        os.truncate(file.fileno(), 5 * 2**30)
    assert peak_of(lambda: refused(FileBytes(str(tmp_path / "a.png")), 2**32)) < MIB
