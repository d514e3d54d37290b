"""Archives as other programs write them: joined, damaged, misnamed, with names of every encoding. All through the
command.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from batch.cli import main
from tests.support.archive import command, masks_below, save, save_many, spot

Compress = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Ended:
    """What a run left: exit code, rows by the end of their path, masks, and what was said."""

    code: int
    rows: dict[str, dict[str, Any]]
    masks: dict[str, bytes]
    said: str

    def status(self, path: str) -> str:
        (status,) = [str(row["status"]) for name, row in self.rows.items() if name.endswith(path)]
        return status

    def error(self, path: str) -> str:
        (error,) = [str(row["error"]) for name, row in self.rows.items() if name.endswith(path)]
        return error


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, model_file: Path) -> Run:
    """Run the command over sources into the folder ``masks``."""

    def run_command(*sources: Path | str, stdin: bytes = b"", options: Sequence[str] = (), out: str = "masks") -> Ended:
        table = tmp_path / f"{out}.jsonl"
        words: list[str | Path | bytes] = [
            "run",
            *sources,
            "--out",
            tmp_path / out,
            "--model",
            model_file,
            "--device",
            "cpu",
            "--table",
            table,
        ]
        code, said = _invoke([*words, *options], stdin)
        assert "Traceback" not in said, said
        rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
        return Ended(code, {row["path"]: row for row in rows}, masks_below(tmp_path / out), said)

    return run_command


def _invoke(words: list[str | Path | bytes], stdin: bytes) -> tuple[int, str]:
    """Return the exit code and what was said; a process of its own where something comes by standard input."""
    if stdin:
        ended = subprocess.run(command(*words), input=stdin, capture_output=True, check=False, timeout=120)
        return ended.returncode, ended.stderr.decode(errors="replace")
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Files of six photographs with different masks."""
    return [path.read_bytes() for path in save_many(tmp_path_factory.mktemp("photos"), 6)]


@pytest.fixture(scope="module")
def expected(photos: list[bytes], model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The masks of the photographs."""
    folder = tmp_path_factory.mktemp("expected")
    for number, photo in enumerate(photos):
        (folder / f"{number}.png").write_bytes(photo)
    words: list[str | Path] = ["run", folder, "--out", folder / "masks", "--model", model_file, "--device", "cpu"]
    subprocess.run(command(*words), check=True, capture_output=True)
    masks = list(masks_below(folder / "masks").values())
    assert len(set(masks)) == len(photos)
    return masks


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None, kind: bytes = tarfile.LNKTYPE) -> bytes:
    """Return a tar with files, then links by their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    return buffer.getvalue()


def without_end(tar: bytes) -> bytes:
    """Return a tar up to its end mark."""
    cut = tar.rstrip(b"\0")
    return cut + bytes(-len(cut) % 512)


def zip_of(members: Sequence[tuple[bytes, bytes]], flags: int = 0, system: int = 3, extra: bytes = b"") -> bytes:
    """Return a zip, written by hand: with names as bytes, nothing compressed."""
    body, directory = b"", b""
    for name, data in members:
        common = struct.pack("<5H3L2H", 20, flags, 0, 0, 0x5821, zlib.crc32(data), len(data), len(data), len(name), 0)
        directory += b"PK\x01\x02" + bytes((20, system)) + common[:-2] + struct.pack("<H", len(extra))
        directory += struct.pack("<3H2L", 0, 0, 0, 0, len(body)) + name + extra
        body += b"PK\x03\x04" + common + name + data
    count = len(members)
    return body + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)


def same(data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("compress", [same, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("by_stdin", [False, True])
def test_joined_tars_are_read_to_the_end(
    tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes], compress: Compress, by_stdin: bool
) -> None:
    tars = [tar_of({f"{part}.png": photos[part]}) for part in range(4)]
    lone = without_end(tars[0]) + bytes(512) + tars[1]  # one zero block between
    data = (
        compress(lone) + (b"" if compress is same else bytes(5000)) + b"".join(map(compress, tars[2:])) + bytes(99999)
    )
    path = tmp_path / "joined.tar"
    path.write_bytes(data)
    ended = run("-", stdin=data) if by_stdin else run(path)
    assert ended.code == 0, ended.said
    assert list(ended.masks.values()) == expected[:4]


def test_a_compressed_stream_may_be_cut_anywhere(tmp_path: Path, run: Run, photos: list[bytes]) -> None:
    """As parallel compressors write it: pieces that are streams of their own."""
    data = tar_of({f"{number}.png": photo for number, photo in enumerate(photos)})
    (tmp_path / "a.tgz").write_bytes(b"".join(gzip.compress(data[at : at + 777]) for at in range(0, len(data), 777)))
    ended = run(tmp_path / "a.tgz")
    assert (ended.code, len(ended.masks)) == (0, len(photos)), ended.said


@pytest.mark.parametrize("compress", [same, gzip.compress])
def test_what_is_no_tar_behind_the_end_mark_is_said(
    tmp_path: Path, run: Run, photos: list[bytes], compress: Compress
) -> None:
    rubbish = bytes(range(1, 256)) * 10
    (tmp_path / "a.tar").write_bytes(compress(tar_of({"a.png": photos[0]}) + rubbish))
    (tmp_path / "b.tar").write_bytes(compress(tar_of({"b.png": photos[1]})) + rubbish)
    ended = run(tmp_path / "a.tar", tmp_path / "b.tar")
    assert (ended.code, len(ended.masks)) == (3, 2), ended.said
    assert ended.said.count("not readable") == 2
    assert "data after its end mark that is not a tar" in ended.said


def test_a_damaged_header_costs_one_image(tmp_path: Path, run: Run, photos: list[bytes]) -> None:
    parts = [without_end(tar_of({f"{number}.png": photos[number]})) for number in range(3)]
    (tmp_path / "a.tar").write_bytes(parts[0] + b"\1" * 512 + parts[1][512:] + parts[2] + bytes(1024))
    ended = run(tmp_path / "a.tar")
    assert (ended.code, sorted(ended.masks)) == (3, ["0.png", "2.png"]), ended.said
    assert "damaged" in ended.said


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_the_last_of_equal_names_counts(
    tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes], name: str
) -> None:
    if name == "a.zip":
        data = zip_of([(b"p.png", photos[0]), (b"q.png", photos[1]), (b"p.png", photos[2])])
    else:
        data = tar_of({"p.png": photos[0], "q.png": photos[1]}) + tar_of({"p.png": photos[2]})
    (tmp_path / name).write_bytes(data)
    ended = run(tmp_path / name)
    assert ended.code == 0, ended.said
    assert ended.masks == {"p.png": expected[2], "q.png": expected[1]}
    assert "1 file named twice in an archive; the last of each counts" in ended.said
    assert "2 masks unchanged" in run(tmp_path / name).said


def test_hard_links_have_the_bytes_of_their_file(
    tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes]
) -> None:
    links = {"b.png": "a.png", "c.png": "b.png", "d.png": "blobs/1f", "e.png": "nowhere.png"}
    (tmp_path / "a.tar").write_bytes(tar_of({"a.png": photos[0], "blobs/1f": photos[1]}, links))
    ended = run(tmp_path / "a.tar")
    a, b = expected[:2]
    assert ended.code == 3, ended.said
    assert ended.masks == {"a.png": a, "b.png": a, "c.png": a, "d.png": b, "blobs/1f.png": b}
    assert "hard link to nowhere.png" in ended.error("e.png")
    assert "0 masks, 1 failed, 5 unchanged" in run(tmp_path / "a.tar").said


def test_links_that_are_not_followed_say_what_they_are(tmp_path: Path, run: Run, photos: list[bytes]) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar_of({"a.png": photos[0]}, {"b.png": "a.png"})))
    (tmp_path / "b.tar").write_bytes(tar_of({"x.png": photos[1]}, {"y.png": "x.png"}, tarfile.SYMTYPE))
    ended = run(tmp_path / "a.tgz", tmp_path / "b.tar")
    assert (ended.code, len(ended.masks)) == (3, 2), ended.said
    assert "hard link to a.png" in ended.error("b.png")
    assert "links are not followed" in ended.error("y.png")


def test_an_archive_inside_an_archive_is_left_out_and_said(tmp_path: Path, run: Run, photos: list[bytes]) -> None:
    inner = zip_of([(b"x.png", photos[1])])
    (tmp_path / "a.zip").write_bytes(zip_of([(b"a.png", photos[0]), (b"inner.zip", inner)]))
    (tmp_path / "b.tar").write_bytes(tar_of({"b.png": photos[2], "inner.zip": inner}))
    ended = run(tmp_path / "a.zip", tmp_path / "b.tar")
    assert (ended.code, len(ended.masks)) == (3, 2), ended.said
    assert "inner.zip (archives inside an archive; " in ended.said


NAMES = [
    # (raw name, flags, system that made it, extra field, options, mask)
    (b"L\xe4sion.png", 0x800, 3, b"", [], os.fsdecode(b"L\xe4sion.png")),
    ("Läsion.png".encode(), 0, 3, b"", [], "Läsion.png"),
    ("Läsion.png".encode("cp437"), 0, 0, b"", [], "Läsion.png"),
    ("病/变.png".encode("gbk"), 0, 0, b"", ["--zip-encoding", "gbk"], "病/变.png"),
    ("поле.png".encode("cp866"), 0, 0, b"", ["--zip-encoding", "cp866"], "поле.png"),
    ("été.png".encode(), 0x800, 3, b"", ["--zip-encoding", "cp866"], "été.png"),
    (b"a\\b\\c.png", 0, 0, b"", [], "a/b/c.png"),
    (b"a/b\\c.png", 0, 3, b"", [], "a/b\\c.png"),
    (b"/etc/../../c.png", 0, 3, b"", [], "etc/c.png"),
]


@pytest.mark.parametrize(("raw", "flags", "system", "extra", "options", "mask"), NAMES)
def test_names_in_zips(
    tmp_path: Path, run: Run, photos: list[bytes], raw: bytes, flags: int, system: int, extra: bytes,
    options: list[str], mask: str,
) -> None:  # fmt: skip
    (tmp_path / "a.zip").write_bytes(zip_of([(raw, photos[0]), (b"plain.png", photos[1])], flags, system, extra))
    ended = run(tmp_path / "a.zip", options=options)
    assert ended.code == 0, ended.said
    assert set(ended.masks) == {mask, "plain.png"}


@pytest.mark.parametrize(("written_for", "mask"), [(b"?.png", "Ω.png"), (b"!.png", "?.png")])
def test_the_unicode_name_of_info_zip_counts_if_it_is_of_this_name(
    tmp_path: Path, run: Run, photos: list[bytes], written_for: bytes, mask: str
) -> None:
    name = struct.pack("<BL", 1, zlib.crc32(written_for)) + "Ω.png".encode()
    extra = struct.pack("<2H", 0x7075, len(name)) + name
    (tmp_path / "a.zip").write_bytes(zip_of([(b"?.png", photos[0])], extra=extra))
    assert set(run(tmp_path / "a.zip").masks) == {mask}


def test_different_names_that_read_the_same_keep_their_rows(tmp_path: Path, run: Run, photos: list[bytes]) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of([(b"a/b.png", photos[0]), (b"a\\b.png", photos[1])]))
    ended = run(tmp_path / "a.zip")
    assert ended.code == 0, ended.said
    assert len(ended.rows) == len(set(ended.masks.values())) == 2


def test_an_unknown_encoding_is_refused(run: Run) -> None:
    ended = run("a.zip", options=["--zip-encoding", "klingon"])
    assert ended.code == 2
    assert "--zip-encoding" in ended.said


def test_later_copies_in_a_stream_are_said(tmp_path: Path, run: Run, photos: list[bytes]) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar_of({"a.png": photos[0]}) + tar_of({"a.png": photos[1]})))
    ended = run(tmp_path / "a.tgz")
    assert (ended.code, len(ended.masks)) == (3, 1), ended.said
    assert "a.png (repeated names in a compressed tar" in ended.said


@pytest.mark.parametrize("pack", [zip_of, tar_of], ids=["zip", "tar"])
@pytest.mark.parametrize("suffix", [".tar", ".zip", ".TAR.GZ", ".bin", ""])
def test_an_archive_is_told_by_its_content(
    tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes], pack: Any, suffix: str
) -> None:
    path = tmp_path / f"photos{suffix}"
    path.write_bytes(zip_of([(b"a.png", photos[0])]) if pack is zip_of else tar_of({"a.png": photos[0]}))
    ended = run(path)
    assert (ended.code, ended.masks) == (0, {"a.png": expected[0]}), ended.said


def test_a_zip_that_unpacks_itself_is_read(
    tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes]
) -> None:
    (tmp_path / "photos.exe").write_bytes(b"MZ" + bytes(3000) + zip_of([(b"a.png", photos[0])]))
    assert run(tmp_path / "photos.exe").masks == {"a.png": expected[0]}


def test_a_zip_before_a_zip_in_one_file_is_said(tmp_path: Path, run: Run, photos: list[bytes]) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of([(b"a.png", photos[0])]) + zip_of([(b"b.png", photos[1])]))
    ended = run(tmp_path / "a.zip")
    assert (ended.code, set(ended.masks)) == (3, {"b.png"}), ended.said
    assert "another archive precedes it" in ended.said


def test_a_large_zip_is_read(tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes]) -> None:
    """With the fields of zip64, as streaming writers use them for small files, too."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("a.png", "w", force_zip64=True) as file:
        file.write(photos[0])
    data = (tmp_path / "a.zip").read_bytes()
    at = data.index(b"PK\x05\x06")
    start, size = data.index(b"PK\x01\x02"), at - data.index(b"PK\x01\x02")
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "a.zip").write_bytes(data[:at] + end64 + locator + end)
    assert run(tmp_path / "a.zip").masks == {"a.png": expected[0]}


WORDS = {
    "lfs.zip": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "page.zip": (b"\n<!DOCTYPE html><html>Log in</html>", "web page"),
    "empty.zip": (b"", "empty file"),
    "empty.tar.gz": (b"", "empty file"),
    "a.tar.zst": (b"\x28\xb5\x2f\xfd" + bytes(40), "zstd data, which is not supported"),
    "b.zip": (b"7z\xbc\xaf\x27\x1c" + bytes(40), "7z archive, which is not supported"),
    "c.rar": (b"?" * 600, "another kind of archive, which is not supported"),
    "split.zip": (struct.pack("<4s4H2LH", b"PK\x05\x06", 2, 2, 1, 1, 60, 0, 0), "split"),
    "cut.zip": (b"PK\x03\x04" + bytes(300), "cut off"),
    "text.tar.gz": (gzip.compress(b"hello" * 500), "no tar header"),
    "rubbish.tar": (b"\xff" * 5000, "no tar header"),
    "half.tgz": (gzip.compress(random.Random(0).randbytes(9000))[:2000], "Get the archive again"),
}


def test_what_cannot_be_read_stops_no_other_and_says_what_it_is(
    tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes]
) -> None:
    (tmp_path / "good.zip").write_bytes(zip_of([(b"a.png", photos[0])]))
    for name, (data, _) in WORDS.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "loop.zip").symlink_to("loop.zip")
    bad = [tmp_path / name for name in (*WORDS, "loop.zip")]
    ended = run(*bad[:7], tmp_path / "good.zip", *bad[7:])
    assert ended.code == 3
    assert list(ended.masks.values()) == expected[:1]
    lines = {line.split(" ")[2].rsplit("/")[-1]: line for line in ended.said.splitlines() if "not readable" in line}
    assert set(lines) == {path.name for path in bad}
    for name, (_, words) in WORDS.items():
        assert words in lines[name], lines[name]
    assert not any("\\x" in line or "b'" in line for line in lines.values())


def test_an_archive_without_the_right_to_read_says_so(
    tmp_path: Path, run: Run, photos: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of([(b"a.png", photos[0])]))
    real = open

    def refuse(path: Any, *words: Any, **options: Any) -> Any:
        if str(path).endswith("a.zip"):  # root may read all
            raise PermissionError(13, "Permission denied", path)
        return real(path, *words, **options)

    monkeypatch.setattr("builtins.open", refuse)
    ended = run(tmp_path / "a.zip")
    assert ended.code == 2
    assert "Permission denied" in ended.said
    assert "permissions" in ended.said


@pytest.mark.parametrize(
    ("method", "flags", "words"), [(9, 0, "deflate64"), (42, 0, "method 42"), (99, 1, "encrypted")]
)
def test_members_that_are_not_read_say_why(
    tmp_path: Path, run: Run, photos: list[bytes], method: int, flags: int, words: str
) -> None:
    data = bytearray(zip_of([(b"a.png", photos[0])], flags))
    at = data.index(b"PK\x01\x02")
    data[at + 10 : at + 12] = struct.pack("<H", method)
    (tmp_path / "a.zip").write_bytes(data)
    ended = run(tmp_path / "a.zip")
    assert ended.code == 3
    assert words in ended.error("a.png")


def test_a_directory_that_breaks_off_costs_what_follows(
    tmp_path: Path, run: Run, photos: list[bytes], expected: list[bytes]
) -> None:
    data = bytearray(zip_of([(b"a.png", photos[0]), (b"b.png", photos[1])]))
    at = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[at : at + 4] = b"????"
    (tmp_path / "a.zip").write_bytes(data)
    ended = run(tmp_path / "a.zip")
    assert (ended.code, ended.masks) == (3, {"a.png": expected[0]}), ended.said
    assert "damaged" in ended.said


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_of_a_data_set_in_an_archive_the_photographs_are_taken(tmp_path: Path, run: Run, kind: str) -> None:
    root = tmp_path / "set"
    for number in range(3):
        save(root / "ISIC2018_Task1-2_Training_Input" / f"ISIC_000{number}.png")
        save(root / "ISIC2018_Task1_Training_GroundTruth" / f"ISIC_000{number}_segmentation.png", spot(48, 64))
        save(root / "own" / "images" / f"{number}.png")
        save(root / "own" / "masks" / f"{number}.png", np.full((48, 64, 3), 255, np.uint8))
        save(root / "clinic" / "labels" / f"{number}.png")  # photographs in a folder of that name
        save(root / "ISIC2018_Task1-2_Training_Input" / f"ISIC_000{number}_superpixels.png")
    ended = run(Path(shutil.make_archive(str(tmp_path / "all"), kind, root)))
    assert (ended.code, len(ended.masks)) == (0, 9), ended.said
    assert not [name for name in ended.masks if "GroundTruth" in name or "/masks/" in name or "superpixels" in name]
    assert "3 superpixel maps of a data set" in ended.said


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_images_without_suffix_are_known_by_their_first_bytes(
    tmp_path: Path, run: Run, photos: list[bytes], kind: str
) -> None:
    root = tmp_path / "export"
    root.mkdir()
    for name in ("IM000001", "1.2.840.113619.2.5", "photo.png.1"):
        (root / name).write_bytes(photos[0])
    (root / "inner").write_bytes(zip_of([(b"a.png", photos[0])]))
    (root / "README").write_bytes(b"no picture")
    (root / "notes.txt").write_bytes(photos[0])
    ended = run(Path(shutil.make_archive(str(tmp_path / "all"), kind, root)))
    assert (ended.code, len(ended.masks)) == (3, 3), ended.said
    assert "(archives inside an archive; " in ended.said
    assert "2 other files (" in ended.said
