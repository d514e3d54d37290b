"""Layouts of the known data sets, and what is said where they are broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglab.errors import DataError
from seglab.layouts import find_pairs, find_truths
from seglab.splits import SAME_PICTURE, read_ids, split, validates

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
    pairs = find_pairs(tmp_path)
    assert [pair.id for pair in pairs] == ["ISIC_1", "ISIC_2"]
    assert pairs[0].image == tmp_path / image.format("ISIC_1")
    assert pairs[0].truth == tmp_path / truth.format("ISIC_1")
    assert find_truths(tmp_path)["ISIC_2"] == tmp_path / truth.format("ISIC_2")


def test_truths_of_a_folder_of_masks_only(tmp_path: Path) -> None:
    touch(tmp_path, "a_segmentation.png", "sub/b.png")
    assert find_truths(tmp_path) == {"a": tmp_path / "a_segmentation.png", "b": tmp_path / "sub/b.png"}


def test_an_unknown_layout_names_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg")
    with pytest.raises(DataError, match=r"found: photos.*ISIC 2018.*HAM10000.*plain"):
        find_pairs(tmp_path)


def test_images_without_truth_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "masks/a.png")
    with pytest.raises(DataError, match=r"1 image\(s\).*without truth mask.* b;"):
        find_pairs(tmp_path)


def test_two_images_of_one_id_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/a.png", "masks/a.png")
    with pytest.raises(DataError, match="Two files stand for a"):
        find_pairs(tmp_path)


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        find_pairs(tmp_path / "gone")
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="No image files"):
        find_pairs(tmp_path)


def pairs_of(root: Path, ids: list[str]) -> Path:
    touch(root, *(f"images/{id}.jpg" for id in ids), *(f"masks/{id}.png" for id in ids))
    return root


def test_the_validation_fifth_is_fixed_by_the_id(tmp_path: Path) -> None:
    ids = [f"ISIC_{number:07d}" for number in range(300)]
    training, validation = split(find_pairs(pairs_of(tmp_path, ids)))
    assert {pair.id for pair in validation} == {id for id in ids if validates(id)}
    assert 40 < len(validation) < 80
    assert not {pair.id for pair in training} & {pair.id for pair in validation}
    assert validates("ISIC_0000003") is False
    assert validates("ISIC_0000000") is False


def test_twins_of_held_out_pictures_do_not_train(tmp_path: Path) -> None:
    ids = sorted({id for pair in SAME_PICTURE for id in pair}) + [f"x{number}" for number in range(30)]
    training, _ = split(find_pairs(pairs_of(tmp_path, ids)), exclude=["ISIC_0012970"])
    trained = {pair.id for pair in training}
    assert "ISIC_0012127" not in trained
    for one, other in SAME_PICTURE:
        if validates(one) or validates(other):
            assert not trained & {one, other}


def test_ids_to_exclude_come_from_a_folder_or_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/notes.txt")
    (tmp_path / "ids.txt").write_text("a\n\n b \n")
    assert read_ids(tmp_path / "images") == {"a"}
    assert read_ids(tmp_path / "ids.txt") == {"a", "b"}
    with pytest.raises(DataError, match="cannot be read"):
        read_ids(tmp_path / "gone.txt")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "count"), [("isic2018", 2065), ("isic2017", 2150), ("originals", 84), ("ham10000", 5910)]
)
def test_real_data_sets_are_complete(data_dir: Path, name: str, count: int) -> None:
    assert len(find_pairs(data_dir / name)) == count
