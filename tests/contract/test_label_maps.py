"""Models of several classes: ``seg-batch run`` writes label maps, and what reads an output knows them.

The references are :class:`export.Segmenter`, onnxruntime on the model file, Pillow, SciPy and pycocotools.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pycocotools import mask as coco
from scipy import ndimage

import batch
from batch.cli import main
from export import Segmenter
from tests.support.archive import archived_masks, command, masks_below, save
from tests.support.artefact import blobs, colour_model

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # COCO's
SHAPES = ((90, 70), (64, 64), (201, 133), (33, 150), (120, 120))
NAMES = ("skin", "brown", "blue")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run(photos: Path, out: Path | str, model: Path, *options: str | Path, code: int = 0) -> str:
    done = invoke("run", photos, "--out", out, "--model", model, "--device", "cpu", "--compute", "fp32", *options)
    assert done.exit_code == code, done.output
    return done.stderr


def labels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"  # 8 bits of grey
        return np.asarray(image)


def rows(out: Path, what: str) -> list[Any]:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        return connection.execute(f"SELECT {what}").fetchall()


@pytest.fixture(scope="module")
def label_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_model(tmp_path_factory.mktemp("labels") / "colours.onnx", NAMES)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, shape in enumerate(SHAPES):
        save(folder / f"{index}.png", blobs(np.random.default_rng(index), *shape)[0])
    return folder


@pytest.fixture(scope="module")
def out(photos: Path, label_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps and their ledger; read-only by agreement."""
    folder = tmp_path_factory.mktemp("out") / "m"
    run(photos, folder, label_file)
    return folder


@pytest.mark.parametrize("options", [(), ("--exact",)])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_label_maps_are_those_of_the_segmenter(
    photos: Path, label_file: Path, tmp_path: Path, options: tuple[str, ...], processes: str
) -> None:
    run(photos, tmp_path / "m", label_file, "--processes", processes, *options)
    segmenter = Segmenter(label_file, "cpu", compute="fp32", exact=bool(options))
    found = [labels_of(tmp_path / "m" / f"{index}.png") for index in range(len(SHAPES))]
    for index, expected in enumerate(segmenter([photos / f"{index}.png" for index in range(len(SHAPES))])):
        np.testing.assert_array_equal(found[index], expected)
    assert {label for labels in found for label in np.unique(labels)} == {0, 1, 2}


@pytest.mark.parametrize("exact", [True, False])
def test_label_maps_are_those_of_the_graph(photos: Path, label_file: Path, tmp_path: Path, exact: bool) -> None:
    run(photos, tmp_path / "m", label_file, *(["--exact"] if exact else []))
    session = onnxruntime.InferenceSession(str(label_file), providers=["CPUExecutionProvider"])
    for index in range(len(SHAPES)):
        with Image.open(photos / f"{index}.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        (expected,) = session.run(["mask"], {"image": pixels[None]})
        found = labels_of(tmp_path / "m" / f"{index}.png")
        assert found.shape == SHAPES[index]
        assert np.count_nonzero(found != expected[0]) <= (0 if exact else 0.02 * found.size)


def test_the_ledger_has_the_figures_and_the_classes(photos: Path, label_file: Path, out: Path) -> None:
    columns = "mask, height, width, lesion_area, bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence FROM items"
    probs = [prob for _, prob in Segmenter(label_file, "cpu", compute="fp32").stream(sorted(photos.iterdir()))]
    for mask, height, width, area, *box, confidence in rows(out, columns):
        labels = labels_of(out / mask)
        down, across = ndimage.find_objects((labels > 0).astype(int))[0]
        assert (height, width) == labels.shape
        assert area == np.count_nonzero(labels)
        assert box == [across.start, down.start, across.stop, down.stop]
        prob = probs[int(Path(mask).stem)]
        likeliest = np.moveaxis(np.eye(len(prob))[prob.argmax(axis=0)], -1, 0) > 0
        expected = 2 * prob[1:][likeliest[1:]].sum() / (prob[1:].sum() + likeliest[1:].sum())
        assert confidence == pytest.approx(expected, abs=1e-5)
    ((settings,),) = rows(out, "settings FROM runs")
    assert json.loads(settings)["class_names"] == list(NAMES)
    assert json.loads(settings)["mask_bits"] == 8


def test_a_model_of_one_class_has_its_name_in_the_ledger(photos: Path, model_file: Path, tmp_path: Path) -> None:
    assert "label maps" not in run(photos, tmp_path / "m", model_file)
    ((settings,),) = rows(tmp_path / "m", "settings FROM runs")
    assert json.loads(settings)["class_names"] == ["lesion"]


def test_it_is_said_what_the_numbers_mean(photos: Path, label_file: Path, out: Path, tmp_path: Path) -> None:
    assert "masks are label maps: 0 skin, 1 brown, 2 blue\n" in run(photos, tmp_path / "m", label_file)
    shown = invoke("status", out)
    assert (shown.exit_code, "label maps: 0 skin, 1 brown, 2 blue\n" in shown.stdout) == (0, True)
    found = json.loads(invoke("status", out, "--json").stdout)
    assert [maker["class_names"] for maker in found["models"]] == [list(NAMES)]


def test_a_second_run_has_nothing_to_do(photos: Path, label_file: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "m", label_file)
    assert f"{len(SHAPES)} masks unchanged in " in run(photos, tmp_path / "m", label_file)


def test_another_model_makes_all_masks_anew(photos: Path, label_file: Path, model_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "m"
    for path, values in ((label_file, {0, 1, 2}), (model_file, {0, 255}), (label_file, {0, 1, 2})):
        assert f"{len(SHAPES)} masks, 0 failed, 0 unchanged" in run(photos, place, path)
        assert {value for mask in place.glob("*.png") for value in np.unique(labels_of(mask))} == values
        assert invoke("verify", place).exit_code == 0


@pytest.mark.parametrize("name", ["m.zip", "m.tar"])
def test_archives_of_label_maps(photos: Path, label_file: Path, out: Path, tmp_path: Path, name: str) -> None:
    run(photos, tmp_path / name, label_file)
    assert archived_masks(tmp_path / name) == masks_below(out)
    assert invoke("verify", tmp_path / name).exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mask-bits", "1"], "--mask-bits 1 needs a model with one class"),
        (["--postprocess", "largest"], "--postprocess needs a model with one class"),
        (["--probs", "p"], "--probs needs a model with one class"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--processes", "2")])
def test_what_makes_no_sense_is_refused_before_the_work(
    photos: Path, label_file: Path, tmp_path: Path, options: list[str], message: str, more: tuple[str, ...]
) -> None:
    options = [str(tmp_path / option) if option == "p" else option for option in options]
    said = run(photos, tmp_path / "m", label_file, *options, *more, code=2)
    assert said.startswith(f"Error: {message}, and {label_file} has 3 (0 skin, 1 brown, 2 blue)")
    assert "Leave out --" in said
    assert not list(tmp_path.rglob("*.png"))
    assert not list(tmp_path.rglob("ledger.sqlite"))


def test_more_classes_than_8_bits_number_are_refused(photos: Path, tmp_path: Path) -> None:
    path = colour_model(tmp_path / "many.onnx", [f"class {number}" for number in range(257)])
    assert "has 257 classes; expected at most 256" in run(photos, tmp_path / "m", path, code=1)


def test_masks_of_1_bit_before_do_not_stand_in_the_way(
    photos: Path, label_file: Path, model_file: Path, out: Path, tmp_path: Path
) -> None:
    run(photos, tmp_path / "m", model_file, "--mask-bits", "1")
    said = run(photos, tmp_path / "m", label_file)
    assert "bit per pixel" not in said
    assert masks_below(tmp_path / "m") == masks_below(out)
    assert f"{len(SHAPES)} masks unchanged" in run(photos, tmp_path / "m", label_file)


@pytest.mark.slow
def test_a_forecast_knows_what_is_done(photos: Path, label_file: Path, model_file: Path, tmp_path: Path) -> None:
    assert "5 to do" in invoke("run", photos, "--out", tmp_path / "m", "--model", label_file, "--dry-run").stdout
    run(photos, tmp_path / "m", model_file, "--mask-bits", "1")
    run(photos, tmp_path / "m", label_file)
    again = ("run", photos, "--out", tmp_path / "m", "--device", "cpu", "--compute", "fp32", "--dry-run", "--model")
    assert "5 already done, 0 to do" in invoke(*again, label_file).stdout
    assert "0 already done, 5 to do" in invoke(*again, model_file).stdout


def test_verify_says_what_changed(photos: Path, label_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "m"
    run(photos, place, label_file)
    whole = masks_below(place)
    for name, factor in (("0.png", 0), ("1.png", 100)):
        Image.fromarray(labels_of(place / name) * np.uint8(factor)).save(place / name)
    Image.fromarray(labels_of(place / "2.png")).save(place / "2.png", compress_level=9)
    (place / "3.png").write_bytes(b"no picture")
    found = json.loads(invoke("verify", place, "--json", "--redo").stdout)
    assert found["matching"] == 1
    assert "0 lesion pixels; the ledger says" in found["wrong"]["0.png"]
    assert "values up to 200; expected one channel of 8-bit grey with values below 3" in found["wrong"]["1.png"]
    assert "same size, area and box, other bytes" in found["wrong"]["2.png"]
    run(photos, place, label_file)
    assert masks_below(place) == whole


@pytest.mark.slow
def test_overlays_have_a_line_for_each_class(photos: Path, label_file: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "m", label_file)
    run(photos, tmp_path / "m", label_file, "--overlays", tmp_path / "o")  # drawn from the masks that are there
    run(photos, tmp_path / "m2", label_file, "--overlays", tmp_path / "o2")
    run(photos, tmp_path / "m.zip", label_file)
    run(photos, tmp_path / "m.zip", label_file, "--overlays", tmp_path / "o3")
    for index in range(len(SHAPES)):
        name = f"{index}.jpg"
        assert (tmp_path / "o" / name).read_bytes() == (tmp_path / "o2" / name).read_bytes()
        assert (tmp_path / "o" / name).read_bytes() == (tmp_path / "o3" / name).read_bytes()


def test_a_class_is_outlined_where_it_is(label_file: Path, tmp_path: Path) -> None:
    photo = save(tmp_path / "large.png", blobs(np.random.default_rng(3), 600, 800)[0])
    run(photo, tmp_path / "m", label_file, "--overlays", tmp_path / "o")
    (picture,), (mask,) = (tmp_path / "o").rglob("*.jpg"), (tmp_path / "m").rglob("*.png")
    with Image.open(picture) as image:
        pixels = np.asarray(image).astype(int)
    labels = labels_of(mask)
    for number, colour in ((1, (0, 255, 255)), (2, (255, 200, 0))):
        near = np.abs(pixels - colour).max(axis=2) < 60  # a JPEG
        region = labels == number
        border = ndimage.binary_dilation(region, iterations=4) & ~ndimage.binary_erosion(region, iterations=4)
        assert near.sum() > 300
        assert not (near & ~border).any()


@pytest.mark.parametrize("polygons", [False, True])
def test_contours_have_a_category_for_each_class(out: Path, tmp_path: Path, polygons: bool) -> None:
    file = tmp_path / "c.json"
    done = invoke("contours", out, file, *(["--polygons"] if polygons else []))
    assert done.exit_code == 0, done.output
    found = json.loads(file.read_text())
    assert [(entry["id"], entry["name"]) for entry in found["categories"]] == [(1, "brown"), (2, "blue")]
    names = {image["id"]: image["file_name"] for image in found["images"]}
    assert f"5 images, {len(found['annotations'])} annotations of 2 classes" in done.stderr
    drawn = {name: np.zeros(labels_of(out / name).shape, np.uint8) for name in names.values()}
    for entry in found["annotations"]:
        labels = labels_of(out / names[entry["image_id"]])
        region = labels == entry["category_id"]
        down, across = ndimage.find_objects(region.astype(int))[0]
        size = [across.stop - across.start, down.stop - down.start]
        assert entry["bbox"] == [across.start, down.start, *size]
        assert entry["area"] == np.count_nonzero(region)
        runs = coco.merge(coco.frPyObjects(entry["segmentation"], *labels.shape)) if polygons else entry["segmentation"]
        shape = coco.decode(runs).astype(bool)
        np.testing.assert_array_equal(shape, ndimage.binary_fill_holes(region) if polygons else region)
        drawn[names[entry["image_id"]]][region] = entry["category_id"]
    for name, labels in drawn.items():
        np.testing.assert_array_equal(labels, labels_of(out / name))
    numbers = [entry["id"] for entry in found["annotations"]]
    assert len(set(numbers)) == len(numbers)


def test_a_run_writes_table_and_contours(photos: Path, label_file: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "m", label_file, "--table", tmp_path / "t.csv", "--contours", tmp_path / "c.json")
    assert len((tmp_path / "t.csv").read_text().splitlines()) == len(SHAPES) + 1
    assert len(json.loads((tmp_path / "c.json").read_text())["categories"]) == 2


def test_masks_of_other_classes_are_not_mixed(photos: Path, label_file: Path, model_file: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "m", model_file)
    run(photos, tmp_path / "m", label_file, "--limit", "2")
    assert invoke("verify", tmp_path / "m").exit_code == 0
    assert "masks were made with another model than the last run" in invoke("status", tmp_path / "m").stdout
    done = invoke("contours", tmp_path / "m", tmp_path / "c.json")
    assert done.exit_code == 1
    either = ("(lesion; and 0 skin, 1 brown, 2 blue)", "(0 skin, 1 brown, 2 blue; and lesion)")  # as the first row was
    assert any(f"models with different classes {classes}" in done.stderr for classes in either)
    assert not (tmp_path / "c.json").exists()
    assert invoke("table", tmp_path / "m", tmp_path / "t.csv").exit_code == 0


@pytest.mark.slow
def test_one_class_by_another_name_is_lesion(photos: Path, model_file: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "m", model_file)
    run(photos, tmp_path / "m", colour_model(tmp_path / "nevus.onnx", ["nevus"]), "--limit", "2")
    done = invoke("contours", tmp_path / "m", tmp_path / "c.json")
    assert done.exit_code == 0, done.output
    assert "warning: 3 of 5 masks were made with another model" in done.stderr
    assert [entry["name"] for entry in json.loads((tmp_path / "c.json").read_text())["categories"]] == ["lesion"]


def test_score_is_for_lesion_or_not(out: Path) -> None:
    done = invoke("score", out, out)
    assert done.exit_code == 2
    assert f"{out} holds label maps (0 skin, 1 brown, 2 blue); expected masks of one class" in done.stderr


@pytest.mark.slow
def test_two_classes_are_lesion_or_not(photos: Path, tmp_path: Path) -> None:
    path = colour_model(tmp_path / "two.onnx", ("skin", "brown"))
    run(photos, tmp_path / "m", path)
    for name in masks_below(tmp_path / "m"):
        labels = labels_of(tmp_path / "m" / name)
        assert labels.max() == 1
        save(tmp_path / "truth" / name, labels * np.uint8(255))
    done = invoke("score", tmp_path / "m", tmp_path / "truth", "--json", "-")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["summary"]["worst_dice"] == 1


def test_odd_names_of_classes_are_escaped(photos: Path, tmp_path: Path) -> None:
    path = colour_model(tmp_path / "odd.onnx", ["skin", "a\nb", "\x1b[31mred", *(str(number) for number in range(9))])
    said = run(photos, tmp_path / "m", path)
    assert "label maps: 0 skin, 1 a\\nb, 2 \\x1b[31mred, 3 0, 4 1, 5 2, 6 3, 7 4 and 4 more" in said
    assert invoke("contours", tmp_path / "m", tmp_path / "c.json").exit_code == 0
    assert json.loads((tmp_path / "c.json").read_text())["categories"][0]["name"] == "a\nb"


@pytest.mark.slow
def test_a_killed_run_goes_on(label_file: Path, tmp_path: Path) -> None:
    for index in range(60):
        save(tmp_path / "in" / f"{index:02}.png", blobs(np.random.default_rng(index), 300, 400)[0])
    names = "".join(f"{path.name}\n" for path in (tmp_path / "in").iterdir())
    line = command("run", "-", "--out", tmp_path / "m", "--model", label_file, "--device", "cpu")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(line, cwd=tmp_path / "in", text=True, **pipes) as killed:
        assert killed.stdin is not None
        killed.stdin.write("# more is to come\n" * 50 + names)  # the list stays open, so the run cannot end
        killed.stdin.flush()
        while len(list((tmp_path / "m").glob("[!.]*.png"))) < 10:
            assert killed.poll() is None
            time.sleep(0.01)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    run(tmp_path / "in", tmp_path / "m", label_file)
    assert len(masks_below(tmp_path / "m")) == 60
    assert invoke("verify", tmp_path / "m").exit_code == 0


def test_the_same_from_python(photos: Path, label_file: Path, out: Path, tmp_path: Path) -> None:
    settings = batch.RunSettings(photos, tmp_path / "m", model=label_file, device="cpu", compute="fp32")
    results = list(batch.run(settings))
    assert [result.status for result in results] == [batch.Status.DONE] * len(SHAPES)
    assert masks_below(tmp_path / "m") == masks_below(out)
