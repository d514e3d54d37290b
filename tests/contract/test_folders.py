"""Folders and patterns as people have them: data sets, earlier outputs, exports without suffixes, other files."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from batch.cli import main
from tests.support.archive import save, spot

JPEG_XL = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl "


@dataclass(frozen=True)
class Ended:
    """What a run did: exit code, images that are done by their paths below the folder of the test, what was said."""

    code: int
    done: list[str]
    said: str


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in the folder of the test, on the CPU."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str, out: str = "m") -> Ended:
        table = tmp_path.with_name(f"{tmp_path.name}.jsonl")
        table.unlink(missing_ok=True)
        options = ["--out", out, "--model", str(model_file), "--device", "cpu", "--table", str(table)]
        ended = CliRunner().invoke(main, ["run", *arguments, *options])
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.output
        rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
        done = sorted(os.path.relpath(row["path"], tmp_path) for row in rows if row["status"] == "done")
        return Ended(ended.exit_code, done, ended.output)

    return run_command


def photo(path: str | Path) -> Path:
    return save(Path(path))


def mask(path: str | Path) -> Path:
    """A truth mask, black and white."""
    return save(Path(path), np.where(spot(48, 64) < 128, np.uint8(255), np.uint8(0)))


def packed(path: str, *photos: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in photos:
            archive.write(photo(Path("unpacked", name)), name)


# Data sets


@pytest.mark.parametrize(
    ("image", "truth"),
    [
        ("set/images/a.jpg", "set/masks/a.png"),
        ("set/train/image/a.jpg", "set/train/Labels/a.png"),
        ("set/train_images/a.jpg", "set/train_masks/a.png"),
        ("set/imgs/a.jpg", "set/annotations/a.png"),
        ("set/imagesTr/a_0000.png", "set/labelsTr/a.png"),
        ("all/set/images/train/a.jpg", "all/set/ground_truth/train/a.png"),
        ("set/ISIC2018_Task1-2_Training_Input/x/a.jpg", "set/ISIC2018_Task1_Training_GroundTruth/x/a_segmentation.png"),
        ("set/ISIC2018_Task1-2_Training_Input/a.jpg", "set/ISIC2018_Task2_Training_GroundTruth_v3/a_attribute_x.png"),
        ("set/ISIC-2017_Test_v2_Data/a.jpg", "set/ISIC-2017_Test_v2_Part1_GroundTruth/a_segmentation.png"),
        ("set/HAM10000_images_part_1/a.jpg", "set/HAM10000_segmentations_lesion_tschandl/a_segmentation.png"),
        ("set/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp", "set/IMD002/IMD002_lesion/IMD002_lesion.bmp"),
        ("set/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp", "set/IMD002/IMD002_roi/IMD002_R1_Label2.bmp"),
        ("set/Clinic_Data/a.jpg", "set/Clinic_GroundTruth/a.png"),
        ("set/ISIC_0000007.jpg", "set/ISIC_0000007_superpixels.png"),
        ("set/ISIC_0000007.JPG", "set/ISIC_0000007_segmentation.png"),
    ],
)
def test_of_a_data_set_the_photographs_are_taken(run: Run, image: str, truth: str) -> None:
    photo(image)
    mask(truth)
    ended = run(image.split("/")[0])
    assert (ended.code, ended.done) == (0, [image]), ended.said
    assert "passed over: 1 " in ended.said
    assert "of a data set" in ended.said


@pytest.mark.parametrize(
    ("photos", "source"),
    [
        (["lone/masks/a.jpg", "lone/b.jpg"], "lone"),
        (["shop/images/a.jpg", "shop/labels/a.jpg"], "shop"),  # photographs of labels
        (["shop/train_images/a.jpg", "shop/train_labels/a.jpg"], "shop"),
        (["lone/labels_2020/a.jpg", "lone/b.jpg"], "lone"),
        (["big/deep/x/y/images/a.jpg", "big/masks/b.jpg"], "big"),  # far from each other
        (["plain/x_superpixels.png"], "plain"),  # of no image
    ],
)
def test_photographs_in_a_folder_that_is_called_like_one_of_masks_are_taken(
    run: Run, photos: list[str], source: str
) -> None:
    for path in photos:
        photo(path)
    ended = run(source)
    assert (ended.code, ended.done) == (0, sorted(photos)), ended.said


@pytest.mark.slow
def test_truth_masks_that_are_named_are_taken(run: Run) -> None:
    photo("set/images/a.jpg")
    mask("set/masks/a.png")
    for source in ("set/masks/*.png", "set/masks/a.png", "s*/masks/*"):
        ended = run(source, out=f"m{len(source)}")
        assert (ended.code, ended.done) == (0, ["set/masks/a.png"]), ended.said
    ended = run("set/images", "set/masks")
    assert ended.done == ["set/images/a.jpg", "set/masks/a.png"]
    assert "taken because it was named: set/masks holds truth masks of a data set" in ended.said
    assert run("set/**/*", out="all").done == ["set/images/a.jpg"]


# Outputs of other runs


def test_a_marked_folder_is_no_source(run: Run) -> None:
    photo("photos/a.jpg")
    photo("photos/overlays/deep/a.png")
    mark = Path("photos/overlays/.seg-batch")
    mark.touch()
    os.symlink("photos/overlays/deep", "link")
    ended = run("photos")
    assert (ended.code, ended.done) == (0, ["photos/a.jpg"]), ended.said
    assert "output folder" in ended.said
    for source in ("photos/overlays", "photos/overlays/deep", "photos/overlays/deep/*.png", "link", "link/a.png"):
        refused = run(source, out="other")
        assert (refused.code, refused.done) == (2, []), refused.said
        assert f"{source} lies in" in refused.said
        assert not Path("other").exists()
    mark.unlink()
    assert run("photos/overlays/deep", out="other").code == 0


def test_a_link_to_below_an_output_is_not_followed(run: Run) -> None:
    photo("photos/a.jpg")
    photo("m/sub/a.png")
    Path("m/.seg-batch").touch()
    os.symlink(Path("m/sub").resolve(), "photos/link")
    assert run("photos", out="n").done == ["photos/a.jpg"]


@pytest.mark.parametrize("content", [b"", b"foreign", b"SQLite format 3\0" + bytes(200), None])
def test_a_foreign_ledger_hides_no_photographs(run: Run, content: bytes | None) -> None:
    photo("photos/a.jpg")
    if content is None:
        os.mkfifo("photos/ledger.sqlite")  # opening it would wait for ever
    else:
        Path("photos/ledger.sqlite").write_bytes(content)
    ended = run("photos")
    assert (ended.code, ended.done) == (0, ["photos/a.jpg"]), ended.said


def test_a_ledger_whose_masks_are_elsewhere_hides_no_photographs_and_is_left_as_it_was(run: Run) -> None:
    photo("photos/a.jpg")
    for _ in range(2):
        ended = run("photos", "--ledger", "photos", out="m")
        assert (ended.code, ended.done) == (0, ["photos/a.jpg"]), ended.said
    before = sorted(os.listdir("photos"))
    assert run("photos", out="n").done == ["photos/a.jpg"]
    assert sorted(os.listdir("photos")) == before


def test_an_archive_of_masks_among_the_photographs_is_an_output(run: Run) -> None:
    photo("photos/a.jpg")
    assert run("photos", out="photos/masks.zip").code == 0
    for out in ("photos/masks.zip", "n"):
        ended = run("photos", out=out)
        assert ended.code == 0, ended.said
        assert "masks.zip" in ended.said
    for source in ("photos/*.zip", "photos/masks.zip"):
        refused = run(source, out="o")
        assert (refused.code, refused.done) == (2, []), refused.said
    Path("photos/masks.zip.ledger").rename("elsewhere")
    assert run("photos", "--ledger", "elsewhere", out="photos/masks.zip").code == 0


# Patterns


def test_suffixes_in_a_pattern_match_in_any_case_and_other_names_do_not(run: Run) -> None:
    for name in ("a.jpg", "B.JPG", "c.Jpg", "d.png", "e.PNG"):
        photo(f"cam/{name}")
    ended = run("cam/*.jpg")
    assert (ended.code, ended.done) == (0, ["cam/B.JPG", "cam/a.jpg", "cam/c.Jpg"]), ended.said
    assert "2 images that do not match the pattern (2 .png)" in ended.said
    assert "no images" not in ended.said
    assert run("cam/*.PNG", out="2").done == ["cam/d.png", "cam/e.PNG"]
    assert run("cam/[a-c].jp?g", "cam/[a-c].jp?", out="3").done == ["cam/a.jpg", "cam/c.Jpg"]
    assert run("cam/*jpg", out="4").done == ["cam/B.JPG", "cam/a.jpg", "cam/c.Jpg"]
    assert run("CAM*/*.jpg", out="5").code == 2 or os.path.exists("CAM")  # a file system may not mind


def test_a_name_with_brackets_that_is_there_is_no_pattern(run: Run) -> None:
    photo("photos [2019]/A.JPG")
    photo("photos 2/b.jpg")
    photo("more/photos [2019]/c.jpg")
    assert run("photos [2019]").done == ["photos [2019]/A.JPG"]
    assert run("photos [2019]/*.jpg", out="2").done == ["photos [2019]/A.JPG"]
    assert run("mor*/photos [2019]/*.jpg", out="3").done == ["more/photos [2019]/c.jpg"]


def test_a_pattern_that_names_archives_opens_them(run: Run) -> None:
    packed("set/one.zip", "a.jpg", "b.jpg")
    packed("set/deep/TWO.ZIP", "c.jpg")
    Path("set/broken.zip").write_bytes(b"no zip")
    with tarfile.open("set/deep/three.tar.gz", "w:gz") as tar:
        tar.add(photo("d.jpg"))
    ended = run("set/**/*.zip")
    assert ended.code == 3
    assert ended.done == ["set/deep/TWO.ZIP/c.jpg", "set/one.zip/a.jpg", "set/one.zip/b.jpg"], ended.said
    assert "broken.zip cannot be read" in ended.said
    ended = run("set/**/*.tar.gz", out="2")
    assert (ended.code, ended.done) == (0, ["set/deep/three.tar.gz/d.jpg"]), ended.said


def test_of_a_data_sets_archives_those_with_photographs_are_opened(run: Run) -> None:
    packed("isic/ISIC2018_Task1-2_Training_Input.zip", "a.jpg")
    packed("isic/ISIC2018_Task1_Training_GroundTruth.zip", "a.png")
    ended = run("isic/*.zip")
    assert (ended.code, ended.done) == (0, ["isic/ISIC2018_Task1-2_Training_Input.zip/a.jpg"]), ended.said
    assert "1 archive of truth masks" in ended.said


@pytest.mark.parametrize("source", ["photos/*.jpg", "photos/locked/*.jpg", "photos/locked", "photos/locked*"])
def test_a_folder_that_cannot_be_read_is_said(run: Run, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("photos/locked/a.jpg")
    scandir = os.scandir
    closed = "locked" if "locked" in source else "photos"

    def refuse(path: str) -> object:
        if str(path).endswith(closed):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, so permissions cannot be the test
    ended = run(source)
    assert ended.code == 2
    assert "Permission denied" in ended.said
    assert "permissions" in ended.said
    photo("other/a.jpg")
    beside = run(source, "other")
    assert (beside.code, beside.done) == (3, ["other/a.jpg"]), beside.said
    assert "not readable" in beside.said
    assert "no images:" not in beside.said


def test_a_pattern_that_finds_nothing_says_what_it_found_instead(run: Run) -> None:
    Path("cam").mkdir()
    Path("cam/a.jxl").write_bytes(JPEG_XL)
    ended = run("cam/*.jxl")
    assert ended.code == 2
    assert "save them as JPEG or PNG" in ended.said


# Files without an image's suffix


def test_photographs_are_known_by_their_first_bytes(run: Run) -> None:
    photo("pacs/a.jpg")
    for name, kind in {
        "IM000001": "png",
        "1.2.840.113619.2.5": "tiff",
        "x.jpg.1": "jpeg",
        "y.JPG_original": "jpeg",
    }.items():
        Image.fromarray(spot(48, 64)).save(f"pacs/{name}", kind)
    Image.fromarray(spot(48, 64)).save("pacs/scan.old", "bmp")
    Image.fromarray(spot(48, 64)).save("pacs/web", "webp")
    Path("pacs/DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(100))
    Path("pacs/BMI").write_bytes(b"BMI, age, sex and other things that people write down")
    os.mkfifo("pacs/pipe")
    ended = run("pacs")
    assert ended.code == 0, ended.said
    assert [os.path.basename(path) for path in ended.done] == [
        "1.2.840.113619.2.5", "IM000001", "a.jpg", "scan.old", "web", "x.jpg.1", "y.JPG_original",
    ]  # fmt: skip
    assert "3 other files (" in ended.said


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.JXL", b"", "save them as JPEG or PNG"),
        ("IMG_1", JPEG_XL, ".jxl photographs"),
        ("a.psd", b"", ".psd photographs"),
        ("b", b"8BPS\0\1", ".psd photographs"),
        ("a.NEF", b"", ".nef photographs"),
        ("a.zip", b"", "archives in a folder; name them"),
        ("a.tar.gz", b"", "archives in a folder; name them"),
        ("a.7z", b"", "archives in a format that is not supported"),
        ("a.7z.001", b"", "parts of archives"),
        ("a.z01", b"", "parts of archives"),
        ("a.tar.gz.aa", b"", "parts of archives"),
        ("export", b"PK\x03\x04", "archives without a suffix"),
        ("a.jpg.gz", b"", "compressed files that may be photographs"),
        ("a.jpg.crdownload", b"", "unfinished"),
        ("a.zip.part", b"", "unfinished"),
        ("b.tmp", b"\xff\xd8\xff\xe0", "unfinished"),
    ],
)
def test_what_may_be_a_photograph_and_is_not_read_is_said_above_the_counts(
    run: Run, name: str, content: bytes, reason: str
) -> None:
    photo("clinic/x.jpg")
    Path("clinic", name).write_bytes(content)
    ended = run("clinic")
    assert (ended.code, ended.done) == (3, ["clinic/x.jpg"]), ended.said
    said = next(line for line in ended.said.splitlines() if line.startswith("not opened: "))
    assert reason in said
    assert name in said
    assert ended.said.index(said) < ended.said.index("1 mask,")
    assert run("clinic/*.jpg", out="2").code == 0  # that pattern means only the photograph


def test_what_is_no_photograph_changes_no_exit_code(run: Run) -> None:
    photo("clinic/x.jpg")
    for name in ("notes.txt", "table.csv.gz", "Thumbs.db", "desktop.ini", "paper.pdf.part", "letter.docx", "a.unknown"):
        Path("clinic", name).write_bytes(b"no photograph")
    photo("clinic/@eaDir/x.jpg/SYNOPHOTO_THUMB_M.jpg")
    photo("clinic/__MACOSX/x.jpg")
    photo("clinic/$RECYCLE.BIN/x.jpg")
    shutil.copy("clinic/x.jpg", "clinic/._x.jpg")
    Path("clinic/.DS_Store").touch()
    ended = run("clinic")
    assert (ended.code, ended.done) == (0, ["clinic/x.jpg"]), ended.said
    assert "7 other files (" in ended.said
    assert "5 hidden files and folders" in ended.said


def test_a_dry_run_counts_what_a_run_takes(run: Run) -> None:
    photo("set/images/a.jpg")
    mask("set/masks/a.png")
    shutil.copy(photo("set/images/b.png"), "set/images/IM1")
    ended = run("set", "--dry-run")
    assert "3 images" in ended.said, ended.said
