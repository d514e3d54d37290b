"""Images and archives that several sources name: each is done once, counted once, and said once."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import seglab
from tests.support.archive import masks_below, save_many, seg_batch


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_many(tmp_path / "photos", 6)
    return tmp_path / "photos"


WAYS: dict[str, Callable[[Path], list[str]]] = {
    "a pattern": lambda photos: [str(photos), str(photos / "*.png")],
    "the folder again": lambda photos: [str(photos), str(photos)],
    "a file": lambda photos: [str(photos / "003.png"), str(photos)],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_overlays_are_added_to_masks_that_are_done(photos: Path, tmp_path: Path, way: str, processes: str) -> None:
    out, overlays = tmp_path / "out", tmp_path / "overlays"
    words: list[str | Path] = ["run", *WAYS[way](photos), "--out", out, "--device", "cpu", "--processes", processes]
    assert seg_batch(*words).returncode == 0
    masks = masks_below(out)
    for _ in range(2):
        done = seg_batch(*words, "--overlays", overlays)
        assert done.returncode == 0, done.stderr
        assert len(list(overlays.rglob("*.jpg"))) == 6
        next(overlays.rglob("*.jpg")).unlink()
    assert masks_below(out) == masks
    assert len(masks) == 6


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_what_is_done_is_counted_once(photos: Path, tmp_path: Path, way: str) -> None:
    words: list[str | Path] = ["run", *WAYS[way](photos), "--out", tmp_path / "out", "--device", "cpu"]
    assert "6 masks, 0 failed, 0 unchanged" in seg_batch(*words).stderr
    assert "6 masks unchanged in" in seg_batch(*words).stderr
    run = seglab.segment(WAYS[way](photos), out=tmp_path / "out", device="cpu")
    assert (run.done, run.failed, run.unchanged) == (0, 0, 6)


@pytest.mark.slow
@pytest.mark.parametrize("named", ["photos/sub/more.zip", "photos/sub/*.zip", "link.zip", "photos/sub/../sub/more.zip"])
def test_an_archive_in_a_folder_that_is_named_too_is_not_said_to_be_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (photos / "sub").mkdir()
    for name in ("more.zip", "other.zip"):
        with zipfile.ZipFile(photos / "sub" / name, "w") as archive:
            archive.write(photos / "000.png", "in.png")
    (tmp_path / "link.zip").symlink_to(photos / "sub" / "more.zip")
    (tmp_path / "rest").mkdir()
    if "*" not in named:
        (photos / "sub" / "other.zip").rename(tmp_path / "rest" / "other.zip")
    done = seg_batch("run", "photos", named, "--out", "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "not opened" not in done.stderr
    assert len(masks_below(tmp_path / "out")) == (8 if "*" in named else 7)
    left_out = seg_batch("run", "photos", "--out", "another", "--device", "cpu")
    assert left_out.returncode == 3
    assert "more.zip" in left_out.stderr
    count = "2 archives" if "*" in named else "1 archive"
    assert f"not opened: {count} in a folder; name them as sources\n" in seg_batch("status", "another").stdout


@pytest.mark.slow
def test_a_folder_of_nothing_but_an_archive_that_is_named_too_has_lost_nothing(tmp_path: Path) -> None:
    """The archive's images lie below the folder by their paths, and are not the folder's."""
    folder, archive = tmp_path / "work", tmp_path / "work" / "in.zip"
    image = save_many(tmp_path / "photos", 1)[0]
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.write(image, "in.png")
    for _ in range(2):
        done = seg_batch("run", folder, archive, "--out", tmp_path / "out", "--device", "cpu")
        assert done.returncode == 3, done.stderr
        assert "no images: " in done.stderr
        assert "earlier runs" not in done.stderr
    archive.unlink()
    done = seg_batch("run", folder, "--out", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 1
    assert "earlier runs found 1 in it" in done.stderr
