"""Data sets as people have them, through the command: every pair is found, each with its own mask, and no other."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from seglab.cli import main
from tests.support.archive import save_many, seg_batch
from tests.support.small_sets import SIDE, mask, photo

COUNT = 6
NFC, NFD = (unicodedata.normalize(form, "nævus é {i}.png") for form in ("NFC", "NFD"))


def inspected(*arguments: str | Path, code: int = 0) -> str:
    """Return what ``seglab inspect`` says."""
    done = CliRunner().invoke(main, ["inspect", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    assert done.exit_code == code, done.output
    return done.output


@dataclass(frozen=True)
class Item:
    """A pair as ``seglab prepare`` stores it; ``width``: of its lesion, in pixels."""

    id: str
    lesion: str
    part: str
    width: int


def prepared(*roots: str | Path) -> list[Item]:
    """Return the pairs of data sets, by id, through ``seglab prepare``."""
    out = Path(tempfile.mkdtemp(prefix="prepared"))
    try:
        done = CliRunner().invoke(main, ["prepare", *map(str, roots), "--out", str(out / "x"), "--size", str(SIDE)])
        assert done.exit_code == 0, done.output
        masks = np.load(out / "x/masks.npy")  # (N, S, S)
        items = json.loads((out / "x/index.json").read_text())["items"]
    finally:
        shutil.rmtree(out)
    found = [Item(i["id"], i["lesion"], i["part"], int(masks[i["row"]].any(axis=0).sum())) for i in items]
    return sorted(found, key=lambda item: item.id)


def require_own_masks(found: Sequence[Item], count: int = COUNT) -> None:
    """Every image has the mask of its number, which is the last one in its name."""
    assert len({item.id for item in found}) == len(found) == count
    for item in found:
        number = int(re.findall(r"\d+", item.id.removesuffix("_0000"))[-1])
        assert item.width == number % 10 + 3, item


FOLDERS = {
    "images, masks": ("images/{i}.jpg", "masks/{i}.png"),
    "imgs": ("imgs/{i}.jpg", "masks/{i}.png"),
    "one level up": ("archive/v2/images/{i}.png", "archive/v2/masks/{i}_mask.png"),
    "train_images": ("train_images/{i}.jpg", "train_masks/{i}.png"),
    "camel": ("TrainImages/{i}.jpg", "TrainMasks/{i}.png"),
    "annotations": ("images/{i}.jpg", "annotations/{i}.png"),
    "labels": ("image/{i}.jpg", "label/{i}.png"),
    "gt": ("img/{i}.bmp", "GT/{i}.bmp"),
    "photographs beside folders": ("{i}.jpg", "masks/{i}.png"),
    "isic-cli": ("download/ISIC_000000{i}.jpg", "segmentations/ISIC_000000{i}_segmentation.png"),
    "pascal": ("JPEGImages/{i}.jpg", "SegmentationClass/{i}.png"),
    "nnU-Net": ("imagesTr/case_00{i}_0000.png", "labelsTr/case_00{i}.png"),
    "decathlon": ("imagesTr/skin_{i}.png", "labelsTr/skin_{i}.png"),
    "PH2": (
        "PH2Dataset/PH2 Dataset images/IMD00{i}/IMD00{i}_Dermoscopic_Image/IMD00{i}.bmp",
        "PH2Dataset/PH2 Dataset images/IMD00{i}/IMD00{i}_lesion/IMD00{i}_lesion.bmp",
    ),
    "PH2 in one folder": ("all/IMD00{i}.bmp", "all/IMD00{i}_lesion.bmp"),
    "ISIC 2018": (
        "ISIC2018_Task1-2_Training_Input/ISIC_{i}.jpg", "ISIC2018_Task1_Training_GroundTruth/ISIC_{i}_segmentation.png",
    ),
    "ISIC 2016, 3B alone": (
        "ISBI2016_ISIC_Part3B_Training_Data/ISIC_{i}.jpg",
        "ISBI2016_ISIC_Part3B_Training_Data/ISIC_{i}_Segmentation.png",
    ),
    "beside": ("lesions/{i}.jpg", "lesions/{i}_segmentation.png"),
    "beside, by prefix": ("{i}.png", "mask_{i}.png"),
    "beside, by suffix": ("{i}.jpg", "{i}.png"),
    "a folder each": ("{i}/image_{i}.png", "{i}/mask_{i}.png"),
    "a folder each, called alike": ("p{i}/image.jpg", "p{i}/mask.png"),
    "OpenMMLab": ("img_dir/{i}.jpg", "ann_dir/{i}.png"),
    "a folder each, raw": ("p{i}/images_raw/{i}.png", "p{i}/masks/{i}.png"),
    "beside, by both": ("all/{i}_image.png", "all/{i}_mask.png"),
    "twice the folder": ("a_Input/a_Input/{i}.jpg", "a_GroundTruth/a_GroundTruth/{i}.png"),
    "spaces": ("My Images/les ion {i}.jpg", "Ground Truth/les ion {i} mask.png"),
    "dots": ("images/a.b.{i}.jpg", "masks/a.b.{i}.mask.png"),
    "a number in an ending": ("images/a{i}.png", "masks/a{i}_mask_1.png"),
    "numbers of ISIC alone": ("images/ISIC_001{i}.png", "masks/001{i}_m.png"),
    "_lesion": ("images/{i}.jpg", "masks/{i}_lesion.png"),
    "_seg": ("images/{i}.jpg", "masks/{i}_seg.png"),
    "-Seg": ("images/{i}.jpg", "masks/{i}-Seg.PNG"),
    "_label_binary": ("images/{i}.jpg", "masks/{i}_label_binary.png"),
    "mask_": ("images/image_{i}.png", "masks/mask_{i}.png"),
    "seg_": ("images/{i}.png", "masks/seg_{i}.png"),
    "a word that nobody knows": ("images/foto{i}.png", "masks/maske{i}.png"),
    "file names in file names": ("images/{i}.jpg", "masks/{i}.jpg.png"),
    "gif": ("images/{i}.png", "masks/{i}_mask.gif"),
    "composed": (f"images/{NFC}", f"masks/{NFD}"),
    "decomposed": (f"images/{NFD}", f"masks/{NFC}"),
    "case": ("images/isic_001{i}.PNG", "masks/ISIC_001{i}_Segmentation.png"),
    "images that end like masks": ("images/p{i}_lesion.png", "masks/p{i}_lesion_mask.png"),
    "newline": ("images/a\n{i}.png", "masks/a\n{i}.png"),
}  # fmt: skip


@pytest.mark.parametrize("layout", FOLDERS)
def test_every_image_has_its_own_mask(tmp_path: Path, layout: str) -> None:
    image, truth = FOLDERS[layout]
    for i in range(COUNT):
        photo(tmp_path / image.format(i=i), f"{i}")
        mask(tmp_path / truth.format(i=i), i)
    (tmp_path / "LICENSE.txt").write_text("CC-0")
    require_own_masks(prepared(tmp_path))
    assert f"used {COUNT} of {COUNT} images" in inspected(tmp_path)


PARTS = {
    "above": ("{part}/images/{i}.png", "{part}/masks/{i}.png"),
    "below": ("images/{part}/{i}.png", "masks/{part}/{i}.png"),
    "of images": ("images/{part}/{i}.png", "masks/{i}.png"),
    "of masks": ("images/{i}.png", "masks/{part}/{i}.png"),
    "in names": ("{part}2017/{i}.jpg", "{part}_masks/{i}.png"),
    "beside": ("{part}/{i}.jpg", "{part}/{i}_mask.png"),
}


@pytest.mark.parametrize("layout", PARTS)
def test_parts_are_known_from_either_side(tmp_path: Path, layout: str) -> None:
    image, truth = PARTS[layout]
    for i in range(COUNT):
        part = ("train", "train", "train", "val", "val", "test")[i]
        photo(tmp_path / image.format(i=i, part=part))
        mask(tmp_path / truth.format(i=i, part=part), i)
    found = prepared(tmp_path)
    require_own_masks(found)
    assert [item.part for item in found] == ["training"] * 3 + ["validation"] * 2 + ["test"]
    assert f"used {COUNT} of {COUNT} images (3 training, 2 validation, 1 test)" in inspected(tmp_path)


def pairs_at(root: Path, count: int = COUNT, image: str = "images/{i}.png", truth: str = "masks/{i}.png") -> Path:
    for i in range(count):
        photo(root / image.format(i=i), f"{root.parent.name}{root.name}{i}")
        mask(root / truth.format(i=i), i % 10)
    return root


def test_images_that_differ_by_an_ending_keep_their_masks(tmp_path: Path) -> None:
    for i in range(3):
        for place, ending in enumerate(("", "_lesion")):
            photo(tmp_path / f"images/p{i}{ending}.png")
            mask(tmp_path / f"masks/p{i}{ending}_mask.png", 2 * i + place)
    widths = {item.id: item.width - 3 for item in prepared(tmp_path)}
    assert widths == {"p0": 0, "p0_lesion": 1, "p1": 2, "p1_lesion": 3, "p2": 4, "p2_lesion": 5}


def test_numbers_are_never_taken_for_endings(tmp_path: Path) -> None:
    for i in range(COUNT):
        photo(tmp_path / f"images/2020_{i}.png")
        mask(tmp_path / f"masks/2021_{i}.png", i)
    said = inspected(tmp_path, code=1)
    assert "6 images and 6 truth masks make 0 pairs" in said


def test_sizes_of_one_set_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for place, size in enumerate(("256", "512")):
        for i in range(3):
            photo(tmp_path / f"images_{size}/{i}.png", f"{size} {i}")
            mask(tmp_path / f"masks_{size}/{i}.png", i + 3 * place)
    assert {item.id: item.width - 3 for item in prepared(tmp_path)} == {
        "256/0": 0, "256/1": 1, "256/2": 2, "512/0": 3, "512/1": 4, "512/2": 5,
    }  # fmt: skip


@pytest.mark.parametrize("lesions", [("benign", "malignant"), ("1", "2")])
def test_classes_with_the_same_numbers_are_told_apart(tmp_path: Path, lesions: tuple[str, str]) -> None:
    for place, lesion in enumerate(lesions):
        for i in range(3):
            photo(tmp_path / f"images/{lesion}/{i}.png", f"{lesion} {i}")
            mask(tmp_path / f"masks/{lesion}/{i}_mask.png", i + 3 * place)
    found = prepared(tmp_path)
    assert [item.id for item in found] == [f"{lesion}/{i}" for lesion in lesions for i in range(3)]
    assert [item.width - 3 for item in found] == list(range(6))


# Linked, hidden and broken


def test_linked_folders_are_walked_once_and_end(tmp_path: Path) -> None:
    stored = pairs_at(tmp_path / "store")
    root = tmp_path / "set"
    (root / "deep").mkdir(parents=True)
    os.symlink(stored / "images", root / "deep/images")
    os.symlink(stored / "masks", root / "deep/masks")
    os.symlink(root, root / "deep/again")
    os.symlink("deep", root / "a")
    require_own_masks(prepared(root))


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    pairs_at(tmp_path, 12)
    os.symlink("loop.png", tmp_path / "images/loop.png")
    os.symlink("gone.png", tmp_path / "masks/loop.png")
    os.symlink("around", tmp_path / "around")
    os.mkfifo(tmp_path / "images/pipe.png")
    said = inspected(tmp_path, code=1)
    assert f"error: {tmp_path / 'images/loop.png'}" in said
    assert "used 13 of 13 images" in said


def test_files_of_the_system_are_no_images(tmp_path: Path) -> None:
    pairs_at(tmp_path)
    for name in ("images/._0.png", "images/Thumbs.db", "masks/._0.png", "__MACOSX/images/0.png", "masks/.DS_Store"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    require_own_masks(prepared(tmp_path))


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    pairs_at(tmp_path, 12)
    (tmp_path / "images/3.png").write_bytes(b"")
    assert f"error: {tmp_path / 'images/3.png'}" in inspected(tmp_path, code=1)


def test_a_stray_npz_hides_nothing(tmp_path: Path) -> None:
    pairs_at(tmp_path)
    np.savez(tmp_path / "features.npz", train_images=np.zeros(3))
    (tmp_path / "torn.npz").write_bytes(b"PK")
    require_own_masks(prepared(tmp_path))


# What is lost


def test_less_than_a_tenth_is_named_and_left_out(tmp_path: Path) -> None:
    pairs_at(tmp_path, 23)
    (tmp_path / "masks/7.png").unlink()
    mask(tmp_path / "masks/extra.png", 1)
    (tmp_path / "images/scan.psd").touch()
    said = inspected(tmp_path)
    assert "used 22 of 23 images" in said
    assert "1 left out: no truth mask: images/7.png" in said
    assert "1 left out: no image: masks/extra.png" in said
    assert "1 left out: of a kind that is not read: images/scan.psd" in said


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_tenth_lost_stops_in_three_lines(tmp_path: Path, folder: str) -> None:
    pairs_at(tmp_path, 20)
    for i in (3, 14):
        (tmp_path / f"{folder}/{i}.png").unlink()
    said = inspected(tmp_path, code=1).strip().splitlines()
    assert len(said) == 3
    lacks, other = ("truth mask", "images") if folder == "masks" else ("image", "masks")
    assert f"make 18 pairs; without a{'n' * (folder == 'images')} {lacks}: {other}/14.png, {other}/3.png" in said[0]
    assert "_segmentation, _mask" in said[1]
    assert "--images DIR --masks DIR" in said[2]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "0 images and 0 truth masks"),
        (["x/a.jpg", "x/b.jpg"], "2 images and 0 truth masks make 0 pairs; without a truth mask: x/a.jpg, x/b.jpg"),
        (["masks/a.png"], "0 images and 1 truth mask make 0 pairs; without an image: masks/a.png"),
        (["images/a.jpg", "masks/a.psd"], "of kinds that are not read: masks/a.psd"),
        (["images/a.jpg", "images/a.png", "masks/a.png"], "Two files fit a: "),
        (["x.jpg", "x_mask.png", "masks/y.png"], "without an image: masks/y.png"),
        (["images/a.jpg", "masks/a.png", "masks/a_mask.png"], "Two files fit the truth of a.jpg"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_said_in_three_lines(tmp_path: Path, files: list[str], told: str) -> None:
    for number, name in enumerate(files):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes([number]))
    said = inspected(tmp_path, code=1)
    assert told in said
    assert len(said.strip().splitlines()) <= 3


def test_a_part_without_truth_is_left_out(tmp_path: Path) -> None:
    root = tmp_path
    for i in range(COUNT):
        photo(root / f"ISIC2018_Task1-2_Training_Input/ISIC_{i}.jpg")
        mask(root / f"ISIC2018_Task1_Training_GroundTruth/ISIC_{i}_segmentation.png", i)
    for part, first in (("Validation", 100), ("Test", 200)):
        for i in range(first, first + COUNT):
            photo(root / f"ISIC2018_Task1-2_{part}_Input/ISIC_{i}.jpg")
    photo(root / "ISIC2018_Task3_Training_Input/ISIC_900.jpg")
    photo(root / "ISIC2018_Task2_Training_GroundTruth_v3/ISIC_0_attribute_globules.png")
    require_own_masks(prepared(root))
    said = inspected(root)
    assert "used 6 of 19 images" in said
    assert "6 left out: no truth masks of validation" in said
    assert "6 left out: no truth masks of test" in said
    assert "1 left out: masks of attributes" in said


def test_a_training_part_without_truth_stops(tmp_path: Path) -> None:
    for i in range(COUNT):
        photo(tmp_path / f"train/images/{i}.png")
        photo(tmp_path / f"test/images/t{i}.png")
        mask(tmp_path / f"test/masks/t{i}.png", i)
    assert "12 images and 6 truth masks make 6 pairs" in inspected(tmp_path, code=1)


def test_a_part_whose_masks_are_called_otherwise_is_no_part_without_masks(tmp_path: Path) -> None:
    pairs_at(tmp_path / "train", 40)
    for i in range(2):
        photo(tmp_path / f"val/images/v{i}.png")
        mask(tmp_path / f"val/masks/other{i}0.png", i)
    assert "42 images and 42 truth masks make 40 pairs; without a truth mask: val/images/v0" in inspected(
        tmp_path, code=1
    )


@pytest.mark.parametrize("suffix", [".jp2", ".tif"])
def test_a_photograph_in_two_formats_is_no_pair(tmp_path: Path, suffix: str) -> None:
    for i in range(COUNT):
        photo(tmp_path / f"{i}.jpg")
        photo(tmp_path / f"{i}{suffix}")
    assert "12 images and 0 truth masks make 0 pairs" in inspected(tmp_path, code=1)


def test_isic_2016_has_each_picture_once(tmp_path: Path) -> None:
    for part, first, count in (("Training", 0, 6), ("Test", 50, 3)):
        for i in range(first, first + count):
            for task in ("1", "3", "3B"):
                photo(tmp_path / f"ISBI2016_ISIC_Part{task}_{part}_Data/ISIC_{i}.jpg")
            mask(tmp_path / f"ISBI2016_ISIC_Part1_{part}_GroundTruth/ISIC_{i}_Segmentation.png", i % 10)
            mask(tmp_path / f"ISBI2016_ISIC_Part3B_{part}_Data/ISIC_{i}_Segmentation.png", i % 10)
    (tmp_path / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv").write_text("ISIC_0,benign\n")
    found = prepared(tmp_path)
    require_own_masks(found, 9)
    said = inspected(tmp_path)
    assert "used 9 of 9 images (5 training, 1 validation, 3 test)" in said
    assert "27 left out: copies of pictures of Part1 for another task" in said


def test_doubled_folders_count_once(tmp_path: Path) -> None:
    for i in range(COUNT):
        for folder in ("HAM10000_images_part_1", "ham10000_images_part_1"):
            photo(tmp_path / f"{folder}/ISIC_{i}.jpg")
        mask(tmp_path / f"HAM10000_segmentations_lesion_tschandl/ISIC_{i}_segmentation.png", i)
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id\n" + "".join(f"HAM_{i},ISIC_{i}\n" for i in range(COUNT))
    )
    require_own_masks(prepared(tmp_path))
    assert "6 left out: there twice: ham10000_images_part_1/ISIC_0.jpg" in inspected(tmp_path)
    photo(tmp_path / "ham10000_images_part_1/ISIC_3.jpg", "another")
    assert "Two files fit ISIC_3" in inspected(tmp_path, code=1)


# Several sets


def test_two_sets_that_number_alike_keep_all_their_pairs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for i in range(COUNT):
            part = "train" if i < 4 else "val"
            photo(tmp_path / f"{name}/{part}/images/00{i}.png", f"{name}{i}")
            mask(tmp_path / f"{name}/{part}/masks/00{i}.png", i)
    for roots in ([tmp_path / "a", tmp_path / "b"], [tmp_path]):
        found = prepared(*roots)
        assert [item.id for item in found] == [f"{name}/00{i}" for name in "ab" for i in range(COUNT)]
        assert [item.lesion for item in found] == [item.id for item in found]
        assert "a: used 6 of 6 images (4 training, 2 validation)" in inspected(*roots)


def test_pictures_of_isic_are_the_same_in_every_set(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pairs_at(tmp_path / name, image="images/ISIC_{i}.png", truth="masks/ISIC_{i}.png")
    found = prepared(tmp_path / "a", tmp_path / "b")
    assert [item.id for item in found] == sorted(2 * [f"ISIC_{i}" for i in range(COUNT)])


def test_a_lesion_stays_one_where_only_some_of_its_images_are_called_as_others(tmp_path: Path) -> None:
    pairs_at(tmp_path / "a", 3)
    pairs_at(tmp_path / "b", 2)
    (tmp_path / "a/metadata.csv").write_text("image_id,lesion_id\n0,L1\n1,L2\n2,L1\n")
    found = {item.id: item.lesion for item in prepared(tmp_path / "a", tmp_path / "b")}
    assert found == {"a/0": "a/L1", "a/1": "a/L2", "2": "a/L1", "b/0": "b/0", "b/1": "b/1"}


def test_sets_of_one_name_and_a_set_named_twice(tmp_path: Path) -> None:
    one, other = (
        pairs_at(tmp_path / "x/data"),
        pairs_at(tmp_path / "y/data", image="images/y{i}.png", truth="masks/y{i}.png"),
    )
    os.symlink(one, tmp_path / "link")
    said = inspected(one, other, tmp_path / "link", one / ".")
    assert "12 pairs" in said
    assert "data: used 6 of 6 images" in said
    assert "data-2: used 6 of 6 images" in said


def test_a_set_inside_of_another_is_not_used_twice(tmp_path: Path) -> None:
    pairs_at(tmp_path / "whole/part a")
    require_own_masks(prepared(tmp_path / "whole", tmp_path / "whole/part a"))
    assert "6 left out: also in whole" in inspected(tmp_path / "whole", tmp_path / "whole/part a")


# Named folders, tables, outlines


def test_two_folders_are_named(tmp_path: Path) -> None:
    pairs_at(tmp_path, image="one/{i}.jpg", truth="elsewhere/two/{i}_x.png")
    said = inspected("--images", tmp_path / "one", "--masks", tmp_path / "elsewhere")
    assert "one: used 6 of 6 images" in said
    pairs_at(tmp_path / "more")
    assert "12 pairs" in inspected(tmp_path / "more", "--images", tmp_path / "one", "--masks", tmp_path / "elsewhere")
    inspected("--images", tmp_path / "one", code=2)
    assert "is not a folder" in inspected("--images", tmp_path / "one", "--masks", tmp_path / "gone", code=1)
    mask(tmp_path / "elsewhere/other.png", 1)
    said = inspected("--images", tmp_path / "one", "--masks", tmp_path / "elsewhere", code=1)
    assert "6 images and 7 truth masks make 0 pairs; without a truth mask: 0.jpg" in said


def test_images_and_masks_in_one_named_folder(tmp_path: Path) -> None:
    pairs_at(tmp_path, image="all/{i}.jpg", truth="all/masks/{i}.png")
    assert "used 6 of 6" in inspected("--images", tmp_path / "all", "--masks", tmp_path / "all/masks")
    pairs_at(tmp_path, image="flat/{i}.jpg", truth="flat/{i}_mask.png")
    assert "used 6 of 6" in inspected("--images", tmp_path / "flat", "--masks", tmp_path / "flat")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_names_pairs(tmp_path: Path, delimiter: str) -> None:
    pairs_at(tmp_path, image="p/{i}.jpg", truth="q/mask of {i}.png")
    lines = [
        f"p{'/' if i else chr(92)}{i}.jpg,q/mask of {i}.png,L{i // 2},{'val' if i > 3 else 'Train'}"
        for i in range(COUNT)
    ]
    table = tmp_path / "pairs.csv"
    text = "\r\n".join(["Image,Mask,lesion,split", *lines, ""]).replace(",", delimiter)
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = prepared(table)
    require_own_masks(found)
    assert [item.lesion for item in found] == ["L0", "L0", "L1", "L1", "L2", "L2"]
    assert "pairs: used 6 of 6 images (4 training, 2 validation)" in inspected(table)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "columns a, b"),
        ("", "columns none"),
        ("image,mask\nimages/0.png,masks/0.png\nimages/gone.png,masks/1.png\n", "missing: line 3: "),
        ("image,mask,split\nimages/0.png,masks/0.png,later\n", "split 'later'"),
        ("image,mask\nimages/0.png,masks/0.png\nimages/0.png,masks/1.png\n", "images/0.png twice, and line 3 differs"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, told: str) -> None:
    pairs_at(tmp_path)
    (tmp_path / "t.csv").write_text(text)
    assert told in inspected(tmp_path / "t.csv", code=1)


def test_a_table_may_name_files_anywhere(tmp_path: Path) -> None:
    pairs_at(tmp_path / "a", 3)
    pairs_at(tmp_path / "b", 3)
    lines = [f"{tmp_path}/{name}/images/{i}.png,../{name}/masks/{i}.png" for name in "ab" for i in range(3)]
    (tmp_path / "t").mkdir()
    (tmp_path / "t/pairs.csv").write_text("\n".join(["image,mask", *lines]))
    found = prepared(tmp_path / "t/pairs.csv")
    assert len({item.id for item in found}) == 6
    assert [item.width - 3 for item in found] == [0, 1, 2, 0, 1, 2]


def box(i: int) -> list[float]:
    """The outline of :func:`tests.support.small_sets.mask` in pixels."""
    return [4, 6, 7 + i, 6, 7 + i, 11, 4, 11]


def coco(root: Path, name: str = "annotations.json", image: str = "images/{i}.jpg", **changes: Any) -> Path:
    for i in range(COUNT):
        photo(root / image.format(i=i))
    size = {"width": SIDE, "height": SIDE - 4}
    images = [{"id": 10 + i, "file_name": Path(image.format(i=i)).name, **size} for i in range(COUNT)]
    notes = [
        {"id": i, "image_id": 10 + i, "category_id": 1, "segmentation": [box(i)], "iscrowd": 0} | changes
        for i in range(COUNT)
    ]
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": [{"id": 1, "name": "lesion"}]}))
    return path


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("annotations.json", "images/{i}.jpg"),
        ("_annotations.coco.json", "{i}.jpg"),
        ("train/_annotations.coco.json", "train/{i}.jpg"),
        ("annotations/instances_train2017.json", "train2017/{i}.jpg"),
        ("export/labels.json", "photos/{i}.jpg"),
    ],
)
def test_coco_outlines_are_truths(tmp_path: Path, name: str, image: str) -> None:
    path = coco(tmp_path, name, image)
    for root in (tmp_path, path) if "/" not in name else (tmp_path,):
        widths = [item.width for item in prepared(root)]
        assert all(i + 3 <= width <= i + 4 for i, width in enumerate(widths)), "the lesion, or its outline too"
    assert "used 6 of 6 images" in inspected(tmp_path)


def test_coco_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = coco(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][2]["category_id"] = 7
    path.write_text(json.dumps(content))
    assert "outlines of 2 classes (1, 7)" in inspected(tmp_path, code=1)
    for outline in ([1, 2], [1, 2, 3, 4, 5, float("nan")], 7):
        content["annotations"][2] = {"image_id": 12, "category_id": 1, "segmentation": [outline]}
        path.write_text(json.dumps(content))
        assert "expected COCO's format" in inspected(tmp_path, code=1)
    del content["annotations"][2]
    content["images"][3]["file_name"] = "gone.jpg"
    path.write_text(json.dumps(content))
    said = inspected(tmp_path, code=1)
    assert "6 images and 5 truth masks make 4 pairs; without a truth mask: images/2.jpg, images/3.jpg; without" in said
    assert "without an image: gone.jpg (annotations.json)" in said
    assert "without an image: gone.jpg (annotations.json)" in inspected(path, code=1)


def test_ultralytics_outlines_are_truths(tmp_path: Path) -> None:
    for i in range(COUNT):
        part = "train" if i < 4 else "val"
        photo(tmp_path / f"images/{part}/{i}.jpg")
        text = tmp_path / f"labels/{part}/{i}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        shares = [value / (SIDE, SIDE - 4)[at % 2] for at, value in enumerate(box(i))]
        text.write_text("0 " + " ".join(map(str, shares)) + "\n")
    (tmp_path / "data.yaml").write_text("names: [lesion]\n")
    found = prepared(tmp_path)
    assert [item.part for item in found] == ["training"] * 4 + ["validation"] * 2
    assert all(i + 3 <= item.width <= i + 4 for i, item in enumerate(found))
    assert "used 6 of 6 images (4 training, 2 validation)" in inspected(tmp_path)
    (tmp_path / "labels/val/5.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert "four values are a box" in inspected(tmp_path, code=1)


@pytest.mark.slow
def test_outlines_of_a_models_masks_are_no_truth(tmp_path: Path, model_file: Path) -> None:
    save_many(tmp_path / "photos", 4)
    out = ("--out", tmp_path / "masks", "--contours", tmp_path / "photos" / "lesions.json")
    assert seg_batch("run", tmp_path / "photos", *out, "--model", model_file).returncode == 0
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "photos")])
    assert result.exit_code != 0
    assert "lesions.json" in result.output
    assert "written by seglab or seg-batch" in result.output
