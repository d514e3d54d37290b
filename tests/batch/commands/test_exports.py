"""What is made beside masks: tables, contours, probability maps, each read back by another library."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from batch.commands.contours import write_contours
from batch.commands.table import write_table
from batch.errors import OutputError
from batch.formats.coco import run_lengths
from batch.formats.outlines import outlines
from batch.reporting.ledger_table import COLUMNS
from batch.steps.masks import mask_of
from seglab.errors import ConfigError
from tests.support.archive import (
    SKIN,
    StandIn,
    masks_below,
    read_grey,
    run_all,
    run_with_report,
    save,
    save_many,
    seg_batch,
    spot,
)
from tests.support.artefact import tiny_model

coco = pytest.importorskip("pycocotools.mask")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # its own


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Four masks, an empty one, and a failure."""
    save_many(tmp_path / "in", 4)
    save(tmp_path / "in" / "skin only, ünïcode.png", np.full((30, 40, 3), SKIN, np.uint8))
    save(tmp_path / "in" / "z.png").write_bytes(b'broken, "quoted"\nand more')
    run_all(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


def check_rows(rows: list[dict[str, object]], out: Path) -> None:
    assert [Path(str(row["path"])).name for row in rows] == sorted(path.name for path in (out.parent / "in").iterdir())
    for row in rows[:5]:
        mask = read_grey(out / str(row["mask"]))
        assert (row["height"], row["width"]) == mask.shape
        assert row["lesion_area"] == np.count_nonzero(mask)
        assert math.isclose(float(str(row["lesion_fraction"])), np.count_nonzero(mask) / mask.size)
        assert row["status"] == "done"
    assert rows[4]["bbox_x0"] is None
    assert rows[5]["status"] == "failed"
    assert "Not an image" in str(rows[5]["error"])
    assert rows[5]["height"] is None
    assert all(str(row["changed_at"]).endswith("+00:00") for row in rows)


def test_a_table_as_json_lines(out: Path, tmp_path: Path) -> None:
    assert write_table(out, tmp_path / "t.jsonl") == 6
    check_rows([json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()], out)


def test_a_table_as_csv(out: Path, tmp_path: Path) -> None:
    write_table(out, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        rows: list[dict[str, object]] = [
            {name: int(value) if value.isdigit() else value or None for name, value in row.items()} for row in reader
        ]
    check_rows(rows, out)


def test_a_table_as_parquet(out: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(out, tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")
    assert str(table.schema.field("lesion_area").type) == "int64"
    check_rows(table.to_pylist(), out)


def test_another_suffix_is_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"t\.xlsx; expected a name that ends in \.csv, \.jsonl, \.parquet"):
        write_table(out, tmp_path / "t.xlsx")
    with pytest.raises(OutputError, match="cannot be written"):
        write_table(out, tmp_path / "in" / "000.png" / "t.csv")
    assert not (tmp_path / "t.xlsx").exists()


@pytest.mark.parametrize("polygons", [False, True])
def test_contours_are_read_by_pycocotools(out: Path, tmp_path: Path, polygons: bool) -> None:
    from pycocotools.coco import COCO

    report = write_contours(out, tmp_path / "c.json", polygons=polygons)
    assert (report.images, report.annotations) == (5, 4)
    data = COCO(str(tmp_path / "c.json"))
    named = {Path(image["file_name"]).with_suffix(".png").name for image in data.loadImgs(data.getImgIds())}
    assert named == set(masks_below(out))
    for annotation in data.loadAnns(data.getAnnIds()):
        (image,) = data.loadImgs([annotation["image_id"]])
        mask = read_grey(out / Path(image["file_name"]).name) > 0
        np.testing.assert_array_equal(data.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
        x, y, width, height = annotation["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum()
        assert annotation["iscrowd"] == (0 if polygons else 1)


def test_contours_of_a_mask_that_is_gone_are_an_error(out: Path, tmp_path: Path) -> None:
    (out / "001.png").unlink()
    with pytest.raises(OutputError, match=r"001\.png: The mask is missing.*verify --redo"):
        write_contours(out, tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


MASKS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30)), elements=st.sampled_from([0, 255]))


@given(mask=MASKS)
def test_run_lengths_are_exact(mask: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(coco.decode(run_lengths(mask)) * 255, mask)


@given(mask=MASKS)
def test_outlines_fill_to_the_mask_but_for_holes(mask: NDArray[np.uint8]) -> None:
    if not mask.any():
        return
    filled = coco.decode(coco.merge(coco.frPyObjects(outlines(mask), *mask.shape)))
    flooded = np.pad(mask, 1)
    cv2.floodFill(flooded, None, (0, 0), 255)
    whole = (mask > 0) | (flooded[1:-1, 1:-1] == 0)
    np.testing.assert_array_equal(filled > 0, whole)


@pytest.mark.parametrize("kind", ["png", "npy"])
def test_probabilities_lie_beside_the_masks(tmp_path: Path, kind: str) -> None:
    paths = save_many(tmp_path / "in" / "sub", 5)
    run_all(tmp_path / "in", tmp_path / "out", probs=tmp_path / "probs", probs_format=kind)
    for path in paths:
        file = (tmp_path / "probs" / "sub" / path.name).with_suffix(f".{kind}")
        mask = read_grey(tmp_path / "out" / "sub" / path.name)
        if kind == "png":
            stored = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            assert stored is not None
            assert stored.dtype == np.uint16
            prob = stored / 65535
        else:
            prob = np.load(file)
            assert prob.dtype == np.float16
        assert prob.shape == mask.shape
        assert np.mean((prob >= 0.5) == (mask > 0)) > 0.99  # the mask goes back in 8 bits
        assert 0 <= prob.min() <= prob.max() <= 1


def test_probabilities_that_are_asked_for_later_are_made(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    run_all(tmp_path / "in", tmp_path / "out")
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out", probs=tmp_path / "probs")
    assert (runner.report.done, runner.report.skipped) == (3, 0)
    (tmp_path / "probs" / "001.png").unlink()
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out", probs=tmp_path / "probs")
    assert (runner.report.done, runner.report.skipped) == (1, 2)
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert runner.report.skipped == 3
    with pytest.raises(ConfigError, match="'tif' is not a map format"):
        run_all(tmp_path / "in", tmp_path / "out", probs=tmp_path / "probs", probs_format="tif")


def test_a_map_at_the_networks_size_is_kept_as_it_is(tmp_path: Path) -> None:
    model = StandIn()
    image = spot(model.contract.size, model.contract.size)
    save(tmp_path / "in" / "a.png", image)
    run_all(tmp_path / "in", tmp_path / "out", model, probs=tmp_path / "probs")
    stored = cv2.imread(str(tmp_path / "probs" / "a.png"), cv2.IMREAD_UNCHANGED)
    prob = model.prob(image[None])[0]
    np.testing.assert_array_equal(stored, np.rint(prob * 65535).astype(np.uint16))
    np.testing.assert_array_equal(read_grey(tmp_path / "out" / "a.png"), mask_of(prob, 0.5, prob.shape))


@pytest.mark.slow
def test_the_commands(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    options = ("--model", tiny_model(tmp_path / "tiny.onnx"), "--device", "cpu")
    files = ("--table", tmp_path / "t.csv", "--contours", tmp_path / "c.json", "--probs", tmp_path / "probs")
    ended = seg_batch("run", tmp_path / "in", "--out", tmp_path / "m.zip", *options, *files)
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 4
    assert len(json.loads((tmp_path / "c.json").read_text())["images"]) == 3
    assert len(masks_below(tmp_path / "probs")) == 3
    ended = seg_batch("table", tmp_path / "m.zip", tmp_path / "t.parquet")
    assert (ended.returncode, ended.stderr) == (0, f"3 rows: {tmp_path}/t.parquet\n")
    ended = seg_batch("contours", tmp_path / "m.zip", tmp_path / "p.json", "--polygons")
    assert ended.returncode == 0, ended.stderr
    early = seg_batch("run", tmp_path / "in", "--out", tmp_path / "x", *options, "--table", tmp_path / "t.xlsx")
    assert (early.returncode, (tmp_path / "x").exists()) == (2, False)
