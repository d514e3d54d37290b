"""Layouts of the known data sets, and what is said where they are broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.data.collection import collect, used_lines
from seglab.data.finding.layouts import find_file_pairs, find_pairs
from seglab.data.finding.truth_folders import truth_files
from seglab.data.splits import make_split
from seglab.errors import DataError
from seglab.recipes.recipe import load_recipe

FOLDERS = {
    "isic2018": ("ISIC2018_Task1-2_Training_Input/{}.jpg", "ISIC2018_Task1_Training_GroundTruth/{}_segmentation.png"),
    "isic2017": ("ISIC-2017_Training_Data/{}.jpg", "ISIC-2017_Training_Part1_GroundTruth/{}_segmentation.png"),
    "isic2016": (
        "ISBI2016_ISIC_Part1_Training_Data/{}.jpg",
        "ISBI2016_ISIC_Part1_Training_GroundTruth/{}_Segmentation.png",
    ),
    "ham10000": ("HAM10000_images_part_2/{}.jpg", "HAM10000_segmentations_lesion_tschandl/{}_segmentation.png"),
    "plain": ("images/{}.jpg", "masks/{}.png"),
    "nested": ("archive/images/{}.png", "archive/masks/{}_mask.png"),
}


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("layout", FOLDERS)
def test_known_layouts_are_found(tmp_path: Path, layout: str) -> None:
    image, truth = FOLDERS[layout]
    touch(tmp_path, *(pattern.format(id) for id in ("ISIC_2", "ISIC_1") for pattern in (image, truth)))
    touch(tmp_path, "LICENSE.txt", "ISIC-2017_Training_Data/ISIC_1_superpixels.png")
    pairs = find_file_pairs(tmp_path)
    assert [pair.id for pair in pairs] == ["ISIC_1", "ISIC_2"]
    assert pairs[0].source == str(tmp_path / image.format("ISIC_1"))
    assert pairs[0].truth == tmp_path / truth.format("ISIC_1")
    assert tmp_path / truth.format("ISIC_2") in truth_files(tmp_path)


def test_truths_of_a_folder_of_masks_only(tmp_path: Path) -> None:
    touch(tmp_path, "a_segmentation.png", "sub/b.png")
    assert truth_files(tmp_path) == [tmp_path / "a_segmentation.png", tmp_path / "sub/b.png"]


def test_an_unknown_layout_names_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg")
    with pytest.raises(
        DataError,
        match=r"1 image and 0 truth masks.*photos/a.jpg.\nExpected: .*ISIC, HAM10000.*_mask.*\n.*--images DIR",
    ):
        find_pairs(tmp_path)


def test_images_without_truth_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "masks/a.png")
    with pytest.raises(DataError, match=r"2 images and 1 truth mask make 1 pair; without a truth mask: images/b.jpg"):
        find_pairs(tmp_path)


def test_two_images_of_one_id_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/a.png", "masks/a.png")
    (tmp_path / "images/a.png").write_bytes(b"another picture")
    with pytest.raises(DataError, match="Two files fit a"):
        find_pairs(tmp_path)


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        find_pairs(tmp_path / "gone")
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="0 images"):
        find_pairs(tmp_path)


def pairs_of(root: Path, ids: list[str]) -> Path:
    touch(root, *(f"images/{id}.jpg" for id in ids), *(f"masks/{id}.png" for id in ids))
    return root


def test_parts_come_from_the_names_of_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/1.jpg", "train/masks/1.png", "val/images/2.jpg", "val/masks/2.png")
    touch(tmp_path, "test/images/1.jpg", "test/masks/1_mask.png", "images/train/9.jpg", "masks/train/9.png")
    found = {pair.id: pair.part for pair in find_pairs(tmp_path)}
    assert found == {"training/1": "training", "test/1": "test", "2": "validation", "9": "training"}


def test_ph2_is_found(tmp_path: Path) -> None:
    folder = "PH2 Dataset images/IMD003"
    touch(tmp_path, f"{folder}/IMD003_Dermoscopic_Image/IMD003.bmp", f"{folder}/IMD003_lesion/IMD003_lesion.bmp")
    touch(tmp_path, f"{folder}/IMD003_roi/IMD003_R1_Label3.bmp")
    pairs = find_file_pairs(tmp_path)
    assert [(pair.id, Path(pair.source).name) for pair in pairs] == [("IMD003", "IMD003.bmp")]
    assert pairs[0].truth.name == "IMD003_lesion.bmp"


def test_ham10000_says_which_images_show_one_lesion(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        touch(tmp_path, f"HAM10000_images_part_{1 + number // 3}/ISIC_{number}.jpg")
        touch(tmp_path, f"HAM10000_segmentations_lesion_tschandl/ISIC_{number}_segmentation.png")
    metadata = tmp_path / "HAM10000_metadata.csv"
    metadata.write_text("lesion_id,image_id,dx\nHAM_7,ISIC_1,nv\nHAM_7,ISIC_3,nv\nHAM_8,ISIC_2,nv\n")
    assert [pair.lesion for pair in find_pairs(tmp_path)] == ["HAM_7", "HAM_8", "HAM_7"]
    metadata.write_text("id\n1\n")
    with pytest.raises(DataError, match="image_id and lesion_id"):
        find_pairs(tmp_path)


def test_medsegbench_arrays_are_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, 8, 9, 3), np.uint8)
        arrays[f"{part}_label"] = rng.integers(0, 2, (count, 8, 9), np.uint8)
    np.savez_compressed(tmp_path / "isic2016_8.npz", **arrays)
    for root in (tmp_path, tmp_path / "isic2016_8.npz"):
        pairs = find_pairs(root)
        assert [pair.part for pair in pairs] == ["training"] * 3 + ["validation"] + ["test"] * 2
    last = pairs[-1]
    assert last.photo().size == (8, 9)
    assert np.array_equal(last.photo().pixels, arrays["test_images"][1])
    assert np.array_equal(last.mask(), arrays["test_label"][1] * 255)
    np.savez(tmp_path / "torn_8.npz", train_images=arrays["train_images"])
    with pytest.raises(DataError, match="train_label"):
        find_pairs(tmp_path / "torn_8.npz")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "count"), [("isic2018", 2065), ("isic2017", 2150), ("originals", 84), ("ham10000", 5910)]
)
def test_real_data_sets_are_complete(data_dir: Path, name: str, count: int) -> None:
    assert len(find_pairs(data_dir / name)) == count


def test_isic_2016_is_split_as_its_recipe_says(tmp_path: Path) -> None:
    for part, count in (("Training", 900), ("Test", 379)):
        for task, folder in (("1", "Data"), ("3", "Data"), ("1", "GroundTruth")):
            (tmp_path / f"ISBI2016_ISIC_Part{task}_{part}_{folder}").mkdir()
        for number in range(count):
            id = f"ISIC_{number if part == 'Training' else 10_000 + number:07}"
            (tmp_path / f"ISBI2016_ISIC_Part1_{part}_Data/{id}.jpg").touch()
            (tmp_path / f"ISBI2016_ISIC_Part3_{part}_Data/{id}.jpg").touch()
            (tmp_path / f"ISBI2016_ISIC_Part1_{part}_GroundTruth/{id}_Segmentation.png").touch()
    recipe, found = load_recipe("isic2016-resnet34"), collect([tmp_path])
    split = make_split(found.by_set, recipe.split, seed=recipe.seed, val_share=recipe.val_share)
    assert [len(pairs) for pairs in split.parts().values()] == [810, 90, 379]
    assert any(
        "used 1,279 of 1,279 images (810 training, 90 validation, 379 test)" in line
        for line in used_lines(found, split.parts(), split.unused)
    )


def test_outlines_are_no_pairs_of_files(tmp_path: Path) -> None:
    touch(tmp_path, "images/1.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1.txt").write_text("0 0.1 0.1 0.5 0.1 0.1 0.5")
    assert len(find_pairs(tmp_path)) == 1
    with pytest.raises(DataError, match="no truth masks that are image files"):
        find_file_pairs(tmp_path)
