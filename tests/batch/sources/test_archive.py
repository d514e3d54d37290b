"""Images out of zips and tars, as files and by standard input, and lists of files."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from batch.errors import SourceError
from batch.ledger.records import Status
from batch.sources.archives.archive import is_archive, looks_like_tar, stem
from batch.sources.archives.archive import members as archive_members
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef
from seglab.errors import ImageError
from tests.support.archive import StandIn, command, masks_below, run_all, run_with_report, save_many

SUFFIXES = frozenset({".jpg", ".png"})
TARS = ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"]
STAMP = 1_700_000_000


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten images in two folders, a text and a hidden file."""
    root = tmp_path / "pictures"
    for folder in ("", "sub/deep"):
        save_many(root / folder, 5)
    (root / "sub" / "notes.txt").write_text("no image")
    (root / "sub" / "._000.png").write_bytes(b"what macOS leaves")
    return root


def packed(path: Path, root: Path) -> Path:
    """Pack everything below a folder."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(root))
        return path
    kind = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}[path.suffix]
    with tarfile.open(str(path), kind) as archive:  # type: ignore[call-overload]
        archive.add(root, ".")  # with its folders, and ./ before each name
    return path


def items(*sources: Path | str) -> list[ImageRef]:
    return list(Sources([str(source) for source in sources], SUFFIXES))


@pytest.mark.parametrize("name", ["a.zip", *TARS])
def test_an_archive_gives_the_masks_of_its_folder(tmp_path: Path, pictures: Path, name: str) -> None:
    expected = run_all(pictures, tmp_path / "expected")
    found, runner = run_with_report(packed(tmp_path / name, pictures), tmp_path / "out")
    assert masks_below(tmp_path / "out") == masks_below(tmp_path / "expected")
    assert [result.status for result in found] == [Status.DONE] * len(expected)
    assert len(expected) == 10
    assert runner.report.sources.others == {".txt": 1}
    assert runner.report.sources.hidden == 1
    assert runner.report.is_complete
    again = run_all(tmp_path / name, tmp_path / "out")
    assert {result.status for result in again} == {Status.SKIPPED}


@pytest.mark.parametrize("name", ["a.zip", *TARS])
def test_a_member_is_named_by_its_archive(tmp_path: Path, pictures: Path, name: str) -> None:
    archive = packed(tmp_path / name, pictures)
    found = items(archive)
    inside = "sub/deep/000.png" if name == "a.zip" else "./sub/deep/000.png"
    assert f"{archive}/{inside}" in [item.path for item in found]
    for item in found:
        original = (pictures / item.relative).read_bytes()
        read = item.content.read()
        assert (read.data, read.bytes, item.bytes) == (original, len(original), len(original))
        assert read.mtime_ns == item.mtime_ns


def test_overlays_and_exact_masks(tmp_path: Path, pictures: Path) -> None:
    for name in ("a.zip", "a.tar", "a.tgz"):
        out, drawn = tmp_path / f"{name}-out", tmp_path / f"{name}-drawn"
        results = run_all(packed(tmp_path / name, pictures), out, exact=True, overlays=drawn)
        assert {result.status for result in results} == {Status.DONE}
        assert len(list(drawn.rglob("*.jpg"))) == 10


def test_names_that_lead_out_stay_inside(tmp_path: Path, pictures: Path) -> None:
    data = (pictures / "000.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in ("../../x.png", "/etc/y.png", "a/../../z.png"):
            archive.writestr(name, data)
    assert [item.relative for item in items(tmp_path / "evil.zip")] == ["x.png", "etc/y.png", "a/z.png"]
    run_all(tmp_path / "evil.zip", tmp_path / "deep" / "out")
    assert set(masks_below(tmp_path / "deep" / "out")) == {"x.png", "etc/y.png", "a/z.png"}
    assert not (tmp_path / "x.png").exists()


def test_a_name_that_an_archive_holds_twice_is_done_once(tmp_path: Path, pictures: Path) -> None:
    """The last counts: tests/contract/test_archives.py."""
    with tarfile.open(tmp_path / "twice.tar", "w") as archive:
        archive.add(pictures / "000.png", "x.png")
        archive.add(pictures / "001.png", "x.png")
    results, runner = run_with_report(tmp_path / "twice.tar", tmp_path / "out")
    assert len(results) == 1
    assert runner.report.sources.set_aside.total() == 1


def test_links_inside_an_archive_fail_with_the_reason(tmp_path: Path, pictures: Path) -> None:
    (pictures / "link.png").symlink_to("000.png")
    results = run_all(packed(tmp_path / "a.tar", pictures), tmp_path / "out")
    failed = [result for result in results if result.status is Status.FAILED]
    assert [Path(result.path).name for result in failed] == ["link.png"]
    assert "links are not followed" in str(failed[0].error)


def test_damage_inside_a_zip_concerns_one_image(tmp_path: Path, pictures: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:  # stored: a flipped byte breaks the sum only
        for number in range(4):
            archive.write(pictures / f"{number:03}.png", f"{number}.png")
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("1.png").header_offset + 100
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)
    results = run_all(path, tmp_path / "out")
    assert [result.status for result in results] == [Status.DONE, Status.FAILED, Status.DONE, Status.DONE]
    assert "cannot be read from the archive" in str(results[1].error)


def test_an_encrypted_member_says_so(tmp_path: Path, pictures: Path) -> None:
    path = packed(tmp_path / "a.zip", pictures)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[0]
    at = data.index(b"PK\x01\x02")  # the directory's first entry
    data[at + 8] |= 1
    data[info.header_offset + 6] |= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match="encrypted"):
        next(item for item in items(path) if item.path.endswith(info.filename)).content.read()


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_an_archive_that_was_cut_off_is_reported(tmp_path: Path, pictures: Path, name: str, share: float) -> None:
    whole = packed(tmp_path / name, pictures).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    results, runner = run_with_report(tmp_path / name, tmp_path / "out")
    assert not runner.report.is_complete
    assert len(results) < 10
    reasons = [*runner.report.sources.unreadable, *(result.error or "" for result in results)]
    assert any(
        "damaged after" in reason or "may be incomplete" in reason or "ends inside" in reason for reason in reasons
    )


def test_rubbish_in_the_middle_of_a_tar_is_no_end(tmp_path: Path, pictures: Path) -> None:
    path = packed(tmp_path / "a.tar", pictures)
    with tarfile.open(path) as archive:
        third = archive.getmembers()[4].offset
    data = bytearray(path.read_bytes())
    data[third : third + 512] = os.urandom(512)
    path.write_bytes(data)
    _, runner = run_with_report(path, tmp_path / "out")
    assert "may be incomplete" in runner.report.sources.unreadable[0]
    assert not runner.report.is_complete


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_what_is_no_archive_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no archive" * 100)
    with pytest.raises(SourceError, match="Get the archive again"):
        Sources([str(tmp_path / name)], SUFFIXES)


def test_an_archive_in_a_folder_is_left_out_with_the_reason(tmp_path: Path, pictures: Path) -> None:
    packed(pictures / "more.zip", pictures / "sub")
    sources = Sources([str(pictures)], SUFFIXES)
    assert len(list(sources)) == 10
    assert dict(sources.report.left_out) == {"archives in a folder; name them as sources": 1}
    assert not sources.report.is_complete


def test_counting(tmp_path: Path, pictures: Path) -> None:
    assert Sources([str(packed(tmp_path / "a.zip", pictures))], SUFFIXES).count() == 10
    assert Sources([str(packed(tmp_path / "a.tar", pictures))], SUFFIXES).count() is None


def test_a_long_tar_is_walked_in_little_memory(tmp_path: Path) -> None:
    """tarfile would keep a header for every member."""
    import tracemalloc

    def walk(count: int) -> int:
        path = tmp_path / f"{count}.tar"
        with tarfile.open(path, "w") as archive:
            for number in range(count):
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = 3
                archive.addfile(info, io.BytesIO(b"abc"))
        tracemalloc.start()
        assert sum(1 for _ in Sources([str(path)], SUFFIXES)) == count
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    few, many = walk(300), walk(3000)
    assert many < few + 100_000


def test_names_of_archives() -> None:
    assert [is_archive(name) for name in ("a.ZIP", "b.tar.gz", "c.tgz", "d.gz", "e.png")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [stem(f"/x/{name}") for name in ("a.b.zip", "HAM.tar.gz", "c.TAR", "d.bin")] == ["a.b", "HAM", "c", "d.bin"]
    assert not looks_like_tar(b"images/a.jpg\n" * 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARS[:2])
def test_a_tar_by_standard_input(tmp_path: Path, pictures: Path, name: str) -> None:
    archive = packed(tmp_path / name, pictures)
    run_all(pictures, tmp_path / "expected")
    with archive.open("rb") as file:
        done = _piped(file.fileno(), "-", "--out", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert set(masks_below(tmp_path / "out")) == set(masks_below(tmp_path / "expected"))


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
@pytest.mark.parametrize("words", [["-"], ["--files-from", "-"]])
def test_a_list_by_standard_input(tmp_path: Path, pictures: Path, separator: str, words: list[str]) -> None:
    names = ["000.png", "sub/deep/003.png", "nowhere/x.png"]
    (tmp_path / "list").write_bytes("".join(f"pictures/{name}{separator}" for name in names).encode())
    with (tmp_path / "list").open("rb") as file:
        done = _piped(file.fileno(), *words, "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert set(masks_below(tmp_path / "out")) == {"pictures/000.png", "pictures/sub/deep/003.png"}
    assert "nowhere/x.png  cannot be read: No such file or directory\n" in done.stderr


def test_a_list_as_a_file(tmp_path: Path, pictures: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{pictures}/001.png\n\n{pictures}/sub/deep/002.png")
    sources = Sources([], SUFFIXES, files_from=[str(listed)])
    assert sources.count() == 2
    assert [item.path for item in sources] == [f"{pictures}/001.png", f"{pictures}/sub/deep/002.png"]
    with pytest.raises(SourceError, match="expected a list of files"):
        Sources([], SUFFIXES, files_from=[str(tmp_path / "none")])


def test_standard_input_can_be_read_once() -> None:
    with pytest.raises(SourceError, match="named twice"):
        Sources(["-"], SUFFIXES, files_from=["-"])


def test_a_stand_in_sees_what_the_archive_holds(tmp_path: Path) -> None:
    """The pixels, not only the names."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (0, 0, 0)).save(buffer, "PNG")
    with zipfile.ZipFile(tmp_path / "black.zip", "w") as archive:
        archive.writestr("black.png", buffer.getvalue())
    (result,) = run_all(tmp_path / "black.zip", tmp_path / "out", StandIn())
    assert result.figures is not None
    assert result.figures.lesion_fraction == 1.0


def _piped(stdin: int, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        command("run", *words), stdin=stdin, capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_are_read_as_tarfile_reads_them(tmp_path: Path, kind: int) -> None:
    """Plain headers take a quicker way; names of all lengths and scripts, in all dialects, come out the same."""
    names = [f"{'d' * length}/{'n' * (length % 90 + 1)}.png" for length in range(0, 155, 7)] + ["ü/ö.png", "图 1.png"]
    if kind != tarfile.USTAR_FORMAT:
        names.append(f"{'long' * 60}/{'name' * 40}.png")
    with tarfile.open(tmp_path / "a.tar", "w", format=kind) as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode, info.uid = number * 37, STAMP + number, 0o640, 1234
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    with tarfile.open(tmp_path / "a.tar") as archive:
        expected = [(info.name, info.size, info.mtime * 10**9, info.offset_data) for info in archive]
    members = tuple(archive_members(str(tmp_path / "a.tar"), lambda *_: True, print))
    found = [(member.name, member.bytes, member.mtime_ns, member.content.offset) for member in members]  # type: ignore[attr-defined]
    assert found == expected
    assert [name for name, *_ in expected] == names


def test_a_header_that_does_not_add_up_is_the_end(tmp_path: Path, pictures: Path) -> None:
    path = packed(tmp_path / "a.tar", pictures)
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        data[archive.getmembers()[4].offset + 130] ^= 1  # a digit of a size
    path.write_bytes(data)
    with tarfile.open(path) as archive:
        left = archive.getnames()
    _, runner = run_with_report(path, tmp_path / "out")
    assert len(left) < 12
    assert runner.report.sources.unreadable != []


@pytest.mark.parametrize("name", ["zip", "tar", "tgz"])
def test_an_archive_that_goes_away_before_its_turn_stops_no_other(tmp_path: Path, pictures: Path, name: str) -> None:
    paths = [packed(tmp_path / f"{number}.{name}", pictures) for number in range(3)]
    sources = Sources(list(map(str, paths)), SUFFIXES)
    found = iter(sources)
    next(found)
    paths[1].unlink()
    assert {item.origin.root for item in found} == {str(paths[0]), str(paths[2])}
    (reason,) = sources.report.unreadable
    assert "No such file" in reason


def test_a_member_of_a_zip_has_its_check_sum_as_version(tmp_path: Path, pictures: Path) -> None:
    for item in items(packed(tmp_path / "a.zip", pictures)):
        data = (pictures / item.relative).read_bytes()
        assert item.version == item.content.read().version == f"crc32:{zlib.crc32(data):08x}"
