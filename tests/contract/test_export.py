"""``seg-batch export``: what each format holds, read back by other libraries; names, conflicts, left-out masks."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.archive import SKIN, StandIn, command, masks_below, read_grey, run_all, save, spot
from tests.support.artefact import blobs, colour_model
from tests.support.exports import dice, drawn, export

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # COCO's
SHAPE = (90, 120)
LISTED = ".seg-batch-export"


def ring(height: int, width: int) -> NDArray[np.uint8]:
    """Skin with a dark ring and a dark spot: a region with a hole, and one without."""
    image = np.full((height, width, 3), SKIN, np.uint8)
    cv2.circle(image, (width // 3, height // 2), height // 3, (40, 40, 40), height // 8)
    image[height // 4 : height // 2, width - width // 4 : width - 4] = 40
    return image


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Masks of a ring, a spot in a sub-folder, skin only, and of a photograph that lies on its side."""
    save(tmp_path / "in" / "ring.png", ring(*SHAPE))
    save(tmp_path / "in" / "a" / "spot.jpg", spot(60, 80), quality=95)
    save(tmp_path / "in" / "a" / "skin.png", np.full((40, 50, 3), SKIN, np.uint8))
    exif = Image.Exif()
    exif[0x112] = 6
    exif[0x010E] = "Jane Doe"
    save(tmp_path / "in" / "turned.jpg", spot(50, 90), quality=95, exif=exif)
    run_all(tmp_path / "in", tmp_path / "out", StandIn(size=64))
    return tmp_path / "out"


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def exported(folder: Path) -> dict[str, bytes]:
    """Return the files without the hidden lists of them."""
    return {name: data for name, data in below(folder).items() if not name.endswith(LISTED)}


def test_png_is_laid_out_for_cvat_and_keeps_pixels_and_names(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "png", "--to", tmp_path / "png", "--with-images")
    masks = masks_below(tmp_path / "png" / "SegmentationClass")
    assert set(masks) == {"ring.png", "turned.png", "a/spot.png", "a/skin.png"}
    for name in masks:
        with Image.open(tmp_path / "png" / "SegmentationClass" / name) as image:
            assert image.mode == "RGB"  # grey would be read as positions in labelmap.txt
            assert {colour for _, colour in image.getcolors() or ()} <= {(0, 0, 0), (255, 255, 255)}
        np.testing.assert_array_equal(read_grey(tmp_path / "png" / "SegmentationClass" / name), read_grey(out / name))
    listed = (tmp_path / "png" / "ImageSets" / "Segmentation" / "default.txt").read_text().splitlines()
    assert [line for line in listed if not line.startswith("#")] == ["a/skin", "a/spot", "ring", "turned"]
    labels = (tmp_path / "png" / "labelmap.txt").read_text().splitlines()
    assert [line for line in labels if not line.startswith("#")] == ["background:0,0,0::", "lesion:255,255,255::"]


def test_photographs_are_upright_and_without_metadata(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "png", "--to", tmp_path / "png", "--with-images")
    for name, data in below(tmp_path / "png" / "JPEGImages").items():
        if name.endswith(".jpg"):
            assert b"Exif" not in data
            assert b"Jane" not in data
            with Image.open(io.BytesIO(data)) as picture:
                mask = read_grey((out / name).with_suffix(".png"))
                assert picture.size[::-1] == mask.shape
                dark = np.asarray(picture.convert("L")) < 128
            assert dice(dark, mask > 0) > 0.9
    assert read_grey(out / "turned.png").shape == (90, 50)


def test_labelme_polygons_fill_exactly_the_mask(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "labelme", "--to", tmp_path / "json")
    files = exported(tmp_path / "json")
    assert set(files) == {"ring.json", "turned.json", "a/spot.json", "a/skin.json"}
    for name, data in files.items():
        found = json.loads(data)
        mask = read_grey((out / name).with_suffix(".png")) > 0
        assert (found["imageHeight"], found["imageWidth"], found["imageData"]) == (*mask.shape, None)
        assert {shape["label"] for shape in found["shapes"]} == ({"lesion"} if mask.any() else set())
        assert {shape["shape_type"] for shape in found["shapes"]} <= {"polygon"}
        assert dice(drawn([shape["points"] for shape in found["shapes"]], mask.shape), mask) == 1
    found = json.loads(files["ring.json"])
    assert sorted(shape["group_id"] or 0 for shape in found["shapes"]) == [0, 1, 1]
    assert found["imagePath"] == "ring.png"
    assert json.loads(files["a/spot.json"])["imagePath"] == "spot.jpg"


def test_labelme_holds_the_photograph_if_asked(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "labelme", "--to", tmp_path / "json", "--with-images")
    found = json.loads((tmp_path / "json" / "turned.json").read_text())
    with Image.open(io.BytesIO(base64.b64decode(found["imageData"]))) as picture:
        assert picture.size == (found["imageWidth"], found["imageHeight"]) == (50, 90)
        assert not picture.getexif()


def test_coco_is_that_of_contours(out: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    export(out, "--format", "coco", "--to", tmp_path / "c.json")
    data = COCO(str(tmp_path / "c.json"))
    images = data.loadImgs(data.getImgIds())
    assert {image["file_name"] for image in images} == {"ring.png", "turned.jpg", "a/spot.jpg", "a/skin.png"}
    for image in images:
        mask = read_grey((out / image["file_name"]).with_suffix(".png")) > 0
        found = data.loadAnns(data.getAnnIds([image["id"]]))
        assert len(found) == bool(mask.any())
        assert all(np.array_equal(data.annToMask(annotation), mask) for annotation in found)


@pytest.mark.parametrize(("name", "to"), [("png", "x"), ("labelme", "x"), ("coco", "x.json")])
def test_missing_and_changed_masks_are_named_and_left_out(out: Path, tmp_path: Path, name: str, to: str) -> None:
    (out / "a" / "spot.png").unlink()
    changed = Image.new("L", SHAPE[::-1], 255)
    changed.save(out / "ring.png")
    ended = export(out, "--format", name, "--to", tmp_path / to, code=3)
    assert "left out: a/spot.png: The mask is missing." in ended.stdout
    assert "left out: ring.png: Changed since it was written" in ended.stdout
    written = below(tmp_path / "x") or {"": (tmp_path / "x.json").read_bytes()}
    assert not any("spot" in path for path in written)
    assert not any(b"spot" in data or b"ring" in data for data in written.values())
    ended = export(out, "--format", name, "--to", tmp_path / to, "--json", code=3)
    assert set(json.loads(ended.stdout)["left_out"]) == {"a/spot.png", "ring.png"}


@pytest.mark.parametrize("name", ["png", "labelme"])
def test_an_export_may_be_repeated_but_replaces_no_file_that_was_changed(out: Path, tmp_path: Path, name: str) -> None:
    to = tmp_path / "x"
    export(out, "--format", name, "--to", to)
    before = below(to)
    export(out, "--format", name, "--to", to)
    assert below(to) == before
    path = next(path for path in to.rglob("ring.*"))
    if name == "png":  # as an editor saves it
        Image.fromarray(255 - read_grey(path)).save(path)
    else:  # as labelme saves it, which keeps entries that it does not know
        content = json.loads(path.read_text())
        path.write_text(json.dumps({"version": "6.3.1", **content, "made_by": content.pop("made_by")}, indent=2))
    mine = path.read_bytes()
    ended = export(out, "--format", name, "--to", to, code=3)
    assert "exists and no export wrote it, or it was changed since" in ended.stdout
    assert path.read_bytes() == mine


def test_a_photograph_that_was_made_unreadable_by_hand_stays_so(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "png", "--to", tmp_path / "x", "--with-images")
    path = next((tmp_path / "x" / "JPEGImages").rglob("ring.jpg"))
    with Image.open(path) as opened:  # keeps the comment that says who made it
        Image.new("RGB", opened.size).save(path, comment=opened.info.get("comment"))
    mine = path.read_bytes()
    ended = export(out, "--format", "png", "--to", tmp_path / "x", "--with-images", code=3)
    assert "or it was changed since" in ended.stdout
    assert path.read_bytes() == mine


def test_an_export_that_was_killed_may_be_repeated(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "png", "--to", tmp_path / "x")
    before = below(tmp_path / "x")
    listed = tmp_path / "x" / "SegmentationClass" / ".seg-batch-export"
    listed.write_bytes(listed.read_bytes()[:-10] + b"\nno digest")  # the last line is cut
    ended = export(out, "--format", "png", "--to", tmp_path / "x", code=3)
    assert ended.stdout.count("or it was changed since") == 1  # the mask of that line is kept, the others are ours
    listed.write_bytes(before["SegmentationClass/.seg-batch-export"])
    export(out, "--format", "png", "--to", tmp_path / "x")
    assert exported(tmp_path / "x") == {name: data for name, data in before.items() if not name.endswith(LISTED)}


def test_names_and_pseudonyms_are_not_mixed_in_a_folder(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "labelme", "--to", tmp_path / "x")
    before = below(tmp_path / "x")
    ended = export(out, "--format", "labelme", "--to", tmp_path / "x", "--pseudonymise", code=1)
    assert "holds files of an earlier export under the names of photographs" in " ".join(ended.stderr.split())
    assert below(tmp_path / "x") == before
    export(out, "--format", "labelme", "--to", tmp_path / "y", "--pseudonymise")
    ended = export(out, "--format", "labelme", "--to", tmp_path / "y", code=1)
    assert "under pseudonyms" in ended.stderr


def test_folders_of_other_outputs_are_no_place_for_an_export(out: Path, tmp_path: Path) -> None:
    run_all(tmp_path / "in", tmp_path / "other", StandIn(size=64), overlays=tmp_path / "overlays")
    before = below(tmp_path / "other") | below(tmp_path / "overlays")
    for to in (tmp_path / "other", tmp_path / "overlays"):
        for name in ("labelme", "dicom"):
            ended = export(out, "--format", name, "--to", to, code=1)
            assert "belongs to the output of a run" in " ".join(ended.stderr.split())
    assert below(tmp_path / "other") | below(tmp_path / "overlays") == before


@pytest.mark.parametrize("options", [("labelme",), ("png", "--with-images")], ids=" ".join)
def test_a_file_and_a_folder_of_one_name_leave_out_one_mask(tmp_path: Path, options: tuple[str, ...]) -> None:
    for name in ("v.json/a.jpg", "v.jpg", "w.jpg/a.jpg", "w.tif", "b.png"):
        save(tmp_path / "in" / name)
    run_all(tmp_path / "in", tmp_path / "out", StandIn(size=64))
    for _ in range(2):
        ended = export(tmp_path / "out", "--format", *options, "--to", tmp_path / "x", code=3)
        assert ended.stdout.count("a file and a folder would have one name") == 1
        assert "4 masks" in ended.stdout


def test_two_exports_at_once_do_not_spoil_the_list(out: Path, tmp_path: Path) -> None:
    words = command("export", out, "--format", "labelme", "--to", tmp_path / "x")
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in both]
    assert {process.returncode for process in both} <= {0, 1}, said
    export(out, "--format", "labelme", "--to", tmp_path / "x")
    assert len(exported(tmp_path / "x")) == 4


@pytest.mark.parametrize(
    ("name", "to"),
    [("png", "s3://bucket/x"), ("png", "x.zip"), ("labelme", "x.tar.gz"), ("coco", "s3://bucket/c.json")],
)
def test_only_places_on_this_machine_are_written_to(out: Path, tmp_path: Path, name: str, to: str) -> None:
    place = to if "://" in to else str(tmp_path / to)
    ended = export(out, "--format", name, "--to", place, code=2)
    assert "on this machine" in " ".join(ended.stderr.split())


def test_a_name_that_a_list_would_take_for_a_comment_is_left_out(tmp_path: Path) -> None:
    for name in ("#1/a.png", "b.png"):
        save(tmp_path / "in" / name)
    run_all(tmp_path / "in", tmp_path / "out", StandIn(size=64))
    ended = export(tmp_path / "out", "--format", "png", "--to", tmp_path / "x", code=3)
    assert "left out: #1/a.png: Its name begins with #" in ended.stdout
    assert (tmp_path / "x" / "ImageSets" / "Segmentation" / "default.txt").read_text().splitlines()[1:] == ["b"]


def test_files_of_the_user_stop_an_export_before_it_writes(out: Path, tmp_path: Path) -> None:
    mine = save(tmp_path / "voc" / "JPEGImages" / "mine.jpg")
    (tmp_path / "voc" / "labelmap.txt").write_text("mine")
    ended = export(out, "--format", "png", "--to", tmp_path / "voc", "--with-images", code=1)
    assert "labelmap.txt exists and no export wrote it" in ended.stderr
    (tmp_path / "voc" / "labelmap.txt").unlink()
    ended = export(out, "--format", "png", "--to", tmp_path / "voc", "--with-images", code=1)
    assert "holds files that no export wrote" in ended.stderr
    assert masks_below(tmp_path / "voc" / "SegmentationClass") == {}
    assert mine.exists()
    (tmp_path / "c.json").write_text("{}")
    assert "exists and is not" in export(out, "--format", "coco", "--to", tmp_path / "c.json", code=1).stderr
    assert "lies in the output" in export(out, "--format", "png", "--to", out / "png", code=1).stderr


def test_incomplete_files_of_killed_exports_are_removed(out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x" / "SegmentationClass"
    export(out, "--format", "png", "--to", tmp_path / "x")
    dead = folder / "a" / f".spot.{2**22 + 1}-1.tmp.png"
    alive = folder / f".ring.{os.getpid()}-1.tmp.png"
    for path in (dead, alive):
        path.write_bytes(b"half")
    export(out, "--format", "png", "--to", tmp_path / "x")
    assert (dead.exists(), alive.exists()) == (False, True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_export_leaves_whole_files_and_is_completed_by_another(tmp_path: Path, number: int) -> None:
    count = 120
    for index in range(count):
        save(tmp_path / "in" / f"{index}.png", spot(300, 400))
    run_all(tmp_path / "in", tmp_path / "out", StandIn(size=64))
    folder = tmp_path / "x" / "SegmentationClass"
    line = command("export", tmp_path / "out", "--format", "png", "--to", tmp_path / "x", "--with-images")
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(folder.glob("[0-9]*.png")):
        time.sleep(0.005)
    process.send_signal(number)
    process.wait()
    whole = list(folder.glob("[0-9]*.png"))
    assert whole
    assert {read_grey(path).shape for path in whole} == {(300, 400)}
    export(tmp_path / "out", "--format", "png", "--to", tmp_path / "x", "--with-images")
    assert len(list(folder.glob("[0-9]*.png"))) == count
    assert not [path for path in (tmp_path / "x").rglob("*") if ".tmp." in path.name]


def test_a_later_run_takes_no_exported_picture_for_a_photograph(out: Path, tmp_path: Path) -> None:
    export(out, "--format", "png", "--to", tmp_path / "in" / "exported", "--with-images")
    results = run_all(tmp_path / "in", tmp_path / "again", StandIn(size=64))
    assert len(results) == 4


@pytest.mark.parametrize("masks", ["m.zip", "m.tar"])
@pytest.mark.parametrize("archive", ["in.zip", "in.tar.gz"])
def test_outputs_and_sources_may_be_archives(tmp_path: Path, masks: str, archive: str) -> None:
    import shutil

    for number in range(3):
        save(tmp_path / "in" / "sub" / f"{number}.png", spot(40 + number, 60))
    shutil.make_archive(str(tmp_path / "in"), "zip" if archive.endswith("zip") else "gztar", tmp_path / "in")
    run_all(tmp_path / archive, tmp_path / masks, StandIn(size=64))
    export(tmp_path / masks, "--format", "png", "--to", tmp_path / "x", "--with-images")
    pictures = {name for name in below(tmp_path / "x" / "JPEGImages") if name.endswith(".jpg")}
    assert pictures == {f"sub/{number}.jpg" for number in range(3)}
    (tmp_path / archive).unlink()
    ended = export(tmp_path / masks, "--format", "png", "--to", tmp_path / "y", "--with-images", code=3)
    assert ended.stdout.count("Its photograph cannot be used") == 1
    assert all(f"sub/{number}.png" in ended.stdout for number in range(3))


def test_outputs_and_photographs_may_be_in_a_bucket(tmp_path: Path, s3: Any) -> None:
    for number in range(2):
        s3.put_file(str(save(tmp_path / f"{number}.png", spot(40 + number, 60))), f"photos/a/{number}.png")
    run_all(["s3://photos/a"], "s3://masks/m", StandIn(size=64), ledger=tmp_path / "state")
    export(tmp_path / "state", "--format", "png", "--to", tmp_path / "x", "--with-images")
    for number in range(2):
        with Image.open(tmp_path / "x" / "JPEGImages" / f"{number}.jpg") as picture:
            mask = read_grey(tmp_path / "x" / "SegmentationClass" / f"{number}.png")
            assert picture.size[::-1] == mask.shape == (40 + number, 60)
            assert mask.any()
    s3.rm("masks/m/0.png")
    ended = export(tmp_path / "state", "--format", "labelme", "--to", tmp_path / "y", code=3)
    assert "left out: 0.png: The mask is missing." in ended.stdout


def test_label_maps_have_their_classes_in_every_format(tmp_path: Path) -> None:
    from batch.cli import main

    model = colour_model(tmp_path / "colours.onnx", ("skin", "brown: mole", "blue"))
    save(tmp_path / "in" / "0.png", blobs(np.random.default_rng(0), *SHAPE)[0])
    arguments = ["run", tmp_path / "in", "--out", tmp_path / "m", "--model", model, "--device", "cpu"]
    main(list(map(str, arguments)), standalone_mode=False)
    labels = read_grey(tmp_path / "m" / "0.png")
    assert set(np.unique(labels)) == {0, 1, 2}
    export(tmp_path / "m", "--format", "png", "--to", tmp_path / "png")
    np.testing.assert_array_equal(read_grey(tmp_path / "png" / "SegmentationClass" / "0.png"), labels)
    lines = (tmp_path / "png" / "labelmap.txt").read_text().splitlines()[2:]
    assert lines == ["skin:0,0,0::", "brown_ mole:1,1,1::", "blue:2,2,2::"]
    export(tmp_path / "m", "--format", "labelme", "--to", tmp_path / "json")
    shapes = json.loads((tmp_path / "json" / "0.json").read_text())["shapes"]
    for number, name in ((1, "brown: mole"), (2, "blue")):
        polygons = [shape["points"] for shape in shapes if shape["label"] == name]
        assert dice(drawn(polygons, SHAPE), labels == number) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "coco", "--to", "x.txt"), "expected a name that ends in .json"),
        (
            ("--format", "coco", "--to", "x.json", "--with-images"),
            "takes no --with-images; expected it with labelme",
        ),
        (("--format", "png", "--to", "x", "--polygons"), "takes no --polygons; expected it with coco"),
        (("--format", "png", "--to", "x", "--names", "n.csv"), "--names was given without --pseudonymise"),
        (("--format", "dicom", "--to", "x", "--pseudonymise"), "holds the patient and the UIDs"),
    ],
)
def test_wrong_calls_are_refused(out: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    places = {"x.txt", "x.json", "x", "n.csv"}
    ended = export(out, *(tmp_path / text if text in places else text for text in arguments), code=2)
    assert said in " ".join(ended.stderr.split())
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
