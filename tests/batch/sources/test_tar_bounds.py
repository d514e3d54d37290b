"""Tars that claim much: large members, sizes below zero, sparse files, maps without end."""

from __future__ import annotations

import gzip
import random
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest

from batch.errors import SourceError
from batch.sources.image_ref import ImageRef, SourceReport
from tests.support.bombs import (
    MIB,
    gzipped_bomb,
    sparse_tar,
    tar_header,
    tar_of,
)
from tests.support.bounds import PHOTO, found_in, peak_of, refused


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
    assert "unpacked; expected at most" in refused(large.content)
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
