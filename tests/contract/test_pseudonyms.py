"""``seg-batch export --pseudonymise``: no name, no order and no time of the photographs is in what goes out."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import StandIn, masks_below, read_grey, run_all, save, spot
from tests.support.exports import export

NAMES = ("Dorothea, Janette/summer.jpg", "Dorothea, Janette/winter.jpg", "Rosalind, Richarda/1.jpg", "Smith/1.jpg")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        save(tmp_path / "in" / name, spot(40 + number, 60))
    run_all(tmp_path / "in", tmp_path / "out", StandIn(size=64))
    return tmp_path / "out"


def everything(folder: Path) -> bytes:
    """Return all names below a folder, and the content of all files."""
    parts = [path.relative_to(folder).as_posix().encode() for path in sorted(folder.rglob("*"))]
    return b"\n".join(parts + [path.read_bytes() for path in folder.rglob("*") if path.is_file()])


@pytest.mark.parametrize(
    "options", [("png", "--with-images"), ("png",), ("labelme",), ("labelme", "--with-images"), ("coco",)]
)
def test_no_name_goes_out(out: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    to = tmp_path / "to" / ("c.json" if options[0] == "coco" else "x")
    export(out, "--pseudonymise", "--format", *options, "--to", to)
    found = everything(tmp_path / "to")
    for word in (
        b"Dorothea",
        b"Janette",
        b"Rosalind",
        b"Richarda",
        b"Smith",
        b"summer",
        b"winter",
        str(tmp_path).encode(),
    ):
        assert word not in found


def test_names_are_the_same_in_every_export_and_the_table_tells_them(out: Path, tmp_path: Path) -> None:
    export(out, "--pseudonymise", "--format", "png", "--to", tmp_path / "png", "--names", tmp_path / "n.csv")
    export(out, "--pseudonymise", "--format", "coco", "--to", tmp_path / "c.json")
    masks = masks_below(tmp_path / "png" / "SegmentationClass")
    named = {image["file_name"] for image in json.loads((tmp_path / "c.json").read_text())["images"]}
    assert {name.replace(".jpg", ".png") for name in named} == set(masks)
    with (tmp_path / "n.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["photograph"] for row in rows} == {str(tmp_path / "in" / name) for name in NAMES}
    for row in rows:
        assert len(row["pseudonym"]) == 16
        assert f"{row['pseudonym']}.png" in masks
        ours = read_grey(tmp_path / "png" / "SegmentationClass" / f"{row['pseudonym']}.png")
        np.testing.assert_array_equal(ours, read_grey(out / row["mask"]))
    assert stat.S_IMODE((tmp_path / "n.csv").stat().st_mode) == 0o600
    assert stat.S_IMODE((out / "pseudonyms.key").stat().st_mode) == 0o600


def test_neither_order_nor_time_of_files_tells_the_order_of_names(out: Path, tmp_path: Path) -> None:
    export(out, "--pseudonymise", "--format", "png", "--to", tmp_path / "x", "--with-images")
    folder = tmp_path / "x" / "SegmentationClass"
    assert len({path.stat().st_mtime_ns for path in folder.glob("*.png")}) == 1
    listed = (tmp_path / "x" / "ImageSets" / "Segmentation" / "default.txt").read_text().splitlines()[1:]
    assert listed == sorted(listed)
    export(out, "--pseudonymise", "--format", "coco", "--to", tmp_path / "c.json")
    content = json.loads((tmp_path / "c.json").read_text())
    images = [(image["id"], image["file_name"]) for image in content["images"]]
    assert images == sorted(images)
    assert sorted(name for _, name in images) == [name for _, name in images]
    assert [number for number, _ in images] == [1, 2, 3, 4]
    assert [annotation["image_id"] for annotation in content["annotations"]] == [1, 2, 3, 4]


def test_another_output_of_the_same_photographs_has_other_names(out: Path, tmp_path: Path) -> None:
    run_all(tmp_path / "in", tmp_path / "out2", StandIn(size=64))
    found = []
    for output in (out, tmp_path / "out2"):
        export(output, "--pseudonymise", "--format", "png", "--to", tmp_path / f"x-{output.name}")
        found.append(set(masks_below(tmp_path / f"x-{output.name}" / "SegmentationClass")))
    assert not found[0] & found[1]


def test_names_do_not_go_where_masks_or_photographs_lie(out: Path, tmp_path: Path) -> None:
    ended = export(
        out, "--pseudonymise", "--format", "coco", "--to", tmp_path / "c.json", "--names", out / "n.csv", code=1
    )
    assert "would lie among the masks" in " ".join(ended.stderr.split())
    ended = export(out, "--pseudonymise", "--format", "labelme", "--to", tmp_path / "in", code=1)
    assert "holds files that no export wrote" in " ".join(ended.stderr.split())


def test_a_key_that_is_no_key_and_a_table_that_would_be_handed_on_are_refused(out: Path, tmp_path: Path) -> None:
    ended = export(
        out, "--pseudonymise", "--format", "png", "--to", tmp_path / "x", "--names", tmp_path / "x" / "n.csv", code=1
    )
    assert "would undo its pseudonyms" in ended.stderr
    (out / "pseudonyms.key").write_text("secret")
    ended = export(out, "--pseudonymise", "--format", "png", "--to", tmp_path / "x", code=1)
    assert "is not a key for pseudonyms; expected 64 hexadecimal digits" in " ".join(ended.stderr.split())


def test_a_table_of_other_pseudonyms_is_not_replaced(out: Path, tmp_path: Path) -> None:
    run_all(tmp_path / "in", tmp_path / "out2", StandIn(size=64))
    words = ("--pseudonymise", "--format", "png", "--to", tmp_path / "x", "--names", tmp_path / "n.csv")
    export(out, *words)
    export(out, *words)
    written = (tmp_path / "n.csv").read_bytes()
    export(tmp_path / "out2", *words[:4], tmp_path / "y", *words[5:], code=1)
    (out / "pseudonyms.key").unlink()
    ended = export(out, *words[:4], tmp_path / "z", *words[5:], code=1)
    assert "or those of a key that is lost" in " ".join(ended.stderr.split())
    assert (tmp_path / "n.csv").read_bytes() == written
    assert not (tmp_path / "y").exists()
    assert not (tmp_path / "z").exists()
