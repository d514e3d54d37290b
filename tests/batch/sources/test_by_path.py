"""The bytes of images by their paths in a ledger, wherever they lie."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from batch.sources.by_path import FROM_STDIN, NO_MEMBER, Photographs, archive_of
from seglab.errors import ImageError

CONTENT = {"a.jpg": b"first", "below/b.jpg": b"second", "below/c.png": b"third"}


def write_tar(path: Path, mode: Literal["w:", "w:gz", "w:xz"]) -> None:
    with tarfile.open(path, mode) as tar:
        for name, data in CONTENT.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in CONTENT.items():
            file.writestr(name, data)


WRITERS: dict[str, Callable[[Path], None]] = {
    "photos.zip": write_zip,
    "photos.tar": lambda path: write_tar(path, "w:"),
    "photos.tar.gz": lambda path: write_tar(path, "w:gz"),
    "photos.tar.xz": lambda path: write_tar(path, "w:xz"),
}


@pytest.fixture(params=WRITERS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    WRITERS[path.name](path)
    return path


def reason_of(photographs: Photographs, path: Path | str) -> str:
    with pytest.raises(ImageError) as caught:
        photographs.read(str(path))
    return str(caught.value)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"first")
    photographs = Photographs()
    assert photographs.read(str(path)) == b"first"
    path.unlink()
    assert "No such file or directory" in reason_of(photographs, path)
    assert "a directory" in reason_of(photographs, tmp_path)


def test_members_of_an_archive(archive: Path) -> None:
    photographs = Photographs()
    assert archive_of(f"{archive}/below/b.jpg") == str(archive)
    for name, data in CONTENT.items():
        assert photographs.read(f"{archive}/{name}") == data
    assert reason_of(photographs, archive / "below" / "nothing.jpg") == NO_MEMBER
    archive.unlink()
    assert reason_of(Photographs(), archive / "a.jpg")


def test_many_at_once_each_with_its_own_result(archive: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose.jpg"
    loose.write_bytes(b"loose")
    wanted = [f"{archive}/below/c.png", f"{archive}/gone.jpg", str(loose), f"{archive}/a.jpg", f"{tmp_path}/none.jpg"]
    found = list(Photographs().read_all(wanted))
    assert [path for path, _ in found[:2]] == [wanted[2], wanted[4]]
    assert {path for path, _ in found[2:]} == {wanted[0], wanted[1], wanted[3]}
    by_path = dict(found)
    assert [by_path[wanted[number]] for number in (0, 2, 3)] == [b"third", b"loose", b"first"]
    assert str(by_path[wanted[1]]) == NO_MEMBER
    assert isinstance(by_path[wanted[4]], ImageError)


def test_a_compressed_tar_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = tmp_path / "photos.tar.gz", []
    WRITERS[path.name](path)
    walk = Photographs._walk

    def counted(self: Photographs, *arguments: object) -> object:
        opened.append(arguments)
        return walk(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Photographs, "_walk", counted)
    found = dict(Photographs().read_all(f"{path}/{name}" for name in CONTENT))
    assert list(found.values()) == list(CONTENT.values())
    assert len(opened) == 1


def test_images_of_a_compressed_tar_come_one_by_one_and_the_first_of_a_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "photos.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in (("a.jpg", b"first"), ("b.jpg", b"second"), ("a.jpg", b"later")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    found = Photographs().read_all(f"{path}/{name}" for name in ("b.jpg", "c.jpg", "a.jpg"))
    assert next(found) == (f"{path}/a.jpg", b"first")
    rest = dict(found)
    assert rest[f"{path}/b.jpg"] == b"second"
    assert str(rest[f"{path}/c.jpg"]) == NO_MEMBER


def test_of_many_archives_only_the_last_are_remembered(tmp_path: Path) -> None:
    photographs = Photographs()
    for number in range(5):
        write_zip(tmp_path / f"{number}.zip")
        assert photographs.read(f"{tmp_path}/{number}.zip/a.jpg") == b"first"
    assert list(photographs._indexes) == [f"{tmp_path}/3.zip", f"{tmp_path}/4.zip"]
    assert photographs.read(f"{tmp_path}/0.zip/a.jpg") == b"first"


def test_a_damaged_archive_says_so(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(b"no archive")
    assert "photos.zip" in reason_of(Photographs(), path / "a.jpg")


def test_a_member_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.jpg", b"first" * 100)
        file.writestr("b.jpg", b"second" * 100)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"firstfirst", b"fIrstfirst", 1))
    photographs = Photographs()
    assert reason_of(photographs, path / "a.jpg")
    assert photographs.read(f"{path}/b.jpg") == b"second" * 100


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path, name = tmp_path / "old.zip", "фото.jpg"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("XXXX.jpg", b"photo")
    path.write_bytes(path.read_bytes().replace(b"XXXX", name.encode("cp866")[:4]))
    assert Photographs("cp866").read(f"{path}/{name}") == b"photo"
    assert reason_of(Photographs("cp437"), path / name) == NO_MEMBER


def test_a_folder_with_the_name_of_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "photos.zip"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"first")
    assert archive_of(f"{folder}/a.jpg") is None
    assert Photographs().read(f"{folder}/a.jpg") == b"first"
    shutil.rmtree(folder)
    assert "No such file" in reason_of(Photographs(), folder / "a.jpg")


def test_what_came_through_standard_input_is_gone() -> None:
    assert reason_of(Photographs(), "-/a.jpg") == FROM_STDIN


def test_an_image_at_a_url(web: str, web_folder: Path) -> None:
    (web_folder / "a.jpg").write_bytes(b"first")
    photographs = Photographs()
    assert photographs.read(f"{web}/a.jpg") == b"first"
    (web_folder / "a.jpg").unlink()
    assert reason_of(photographs, f"{web}/a.jpg")


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar.gz"])
def test_an_archive_at_a_url(web: str, web_folder: Path, name: str) -> None:
    WRITERS[name](web_folder / name)
    assert archive_of(f"{web}/{name}/below/b.jpg") == f"{web}/{name}"
    found = dict(Photographs().read_all([f"{web}/{name}/below/b.jpg", f"{web}/{name}/gone.jpg"]))
    assert found[f"{web}/{name}/below/b.jpg"] == b"second"
    assert str(found[f"{web}/{name}/gone.jpg"]) == NO_MEMBER
