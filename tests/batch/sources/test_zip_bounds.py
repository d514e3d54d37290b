"""Members of zips are unpacked no further than their directory says, and as zipfile unpacks them."""

from __future__ import annotations

import random
import zipfile
import zlib
from pathlib import Path

import pytest

from batch.sources.archives.zip_members import ZipMember
from batch.sources.bytes import (
    MOST_UNPACKED_BYTES,
    ByteSource,
)
from seglab.errors import ImageError
from tests.support.bombs import (
    MIB,
    crc_of_zeros,
    packed_zeros,
    zip_of,
)
from tests.support.bounds import PHOTO, found_in, peak_of, refused

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.slow
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
    assert "It has 1.5 GiB unpacked; expected at most 512 MiB" in refused(item.content)
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
    assert "LZMA header" in refused(item.content)
