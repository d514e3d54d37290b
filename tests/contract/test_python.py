"""``import seglab``, ``seglab.load``: the package from Python, and one photograph."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

import export
import seglab
from seglab.errors import ConfigError, ImageError
from tests.support.archive import read_grey, save, seg_batch
from tests.support.artefact import blobs, colour_model
from tests.support.from_python import python, write_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


# The package.


def test_the_package_names_its_functions() -> None:
    assert set(dir(seglab)) == {"__version__", "errors", "load", "segment", "train", "validate"}
    assert all(getattr(seglab, name).__doc__ for name in dir(seglab))
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        seglab.segmnt  # type: ignore[attr-defined]  # noqa: B018


HEAVY = ["torch", "matplotlib", "onnx", "cv2", "onnxruntime", "openvino", "numpy", "PIL", "click"]


def test_importing_it_loads_nothing() -> None:
    loaded = "import seglab, sys; print(*(name for name in sys.argv[1:] if name in sys.modules))"
    assert python(loaded, *HEAVY).stdout.split() == []


@pytest.mark.slow
def test_masks_need_no_torch(photos: Path, tmp_path: Path) -> None:
    script = (
        "import seglab, sys; photos, out = sys.argv[1:]\n"
        "model = seglab.load(device='cpu', compute='fp32'); model(photos + '/0.png').overlay()\n"
        "seglab.segment(photos, out=out, device='cpu', compute='fp32').least_certain(3)\n"
        "print(*(name for name in ('torch', 'matplotlib', 'onnx') if name in sys.modules))\n"
    )
    ended = python(script, photos, tmp_path / "m")
    assert (ended.stdout.split(), ended.stderr, ended.returncode) == ([], "", 0)


USER = """
import seglab
model = seglab.load("lesion.onnx", device="cuda", compute="fp32")
lesion = model("photo.jpg")
print(lesion.mask, lesion.confidence, lesion.area, lesion.box, lesion.overlay().size)
print([each.area for each in model(["a.jpg", "b.jpg"])], next(model.stream(["a.jpg"])).area)
run = seglab.segment("photos", out="masks", limit=3)
print(run.done, run.failed, run.unchanged, run.failures[0].reason, run.least_certain(10)[0].path)
trained = seglab.train("isic2018", recipe="quick", out="runs/quick", epochs=3)
print(trained.best, trained.folder, trained.dice, seglab.validate(trained.best, "isic2018").dice)
try:
    seglab.segment("photos", out="masks", limt=3)
except seglab.errors.SeglabError as error:
    print(error)
"""


@pytest.mark.slow
def test_type_checkers_see_the_functions(tmp_path: Path, repo_root: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    line = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", "cache", "user.py"]
    found = subprocess.run(
        line, cwd=tmp_path, env=os.environ | {"MYPYPATH": str(repo_root)}, capture_output=True, text=True, check=False
    ).stdout
    (error,) = (line for line in found.splitlines() if ": error:" in line)
    assert re.search(
        r'user\.py:12: error: Unexpected keyword argument "limt" for "segment"; did you mean "limit"', error
    )


# seglab.load


def test_a_model_is_a_segmenter(model_file: Path) -> None:
    model = seglab.load(model_file, device="cpu", compute="fp32")
    assert_type(model, export.Segmenter)
    assert isinstance(model, export.Segmenter)
    assert (model.device.name, model.device.precision) == ("cpu", "fp32")


def test_one_in_one_out_and_a_list_for_a_list(photos: Path, model_file: Path) -> None:
    model = seglab.load(str(model_file), device="cpu")
    paths = sorted(photos.glob("?.png"))
    lesion, several = model(paths[0]), model(list(paths))
    assert_type(lesion, export.Result)
    assert_type(several, list[export.Result])
    assert lesion.mask is not None
    assert [result.mask.shape for result in several if result.mask is not None] == [
        (90, 70), (64, 64), (201, 133), (120, 90),
    ]  # fmt: skip
    assert np.array_equal(lesion.mask, np.asarray(several[0]))
    assert [result.area for result in model.stream(iter(paths))] == [result.area for result in several]


def test_masks_are_those_of_the_command(photos: Path, tmp_path: Path, model_file: Path) -> None:
    save(photos / "large.jpg", blobs(np.random.default_rng(9), 400, 600)[0])
    seg_batch("run", photos, "--out", tmp_path / "m", "--model", model_file, "--device", "cpu", "--exact")
    model = seglab.load(model_file, device="cpu", exact=True)
    for path in (*photos.glob("?.png"), photos / "large.jpg"):
        assert np.array_equal(np.asarray(model(path)), read_grey(tmp_path / "m" / f"{path.stem}.png"))


FORMS: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "path": Path,
    "bytes": Path.read_bytes,
    "Pillow": lambda path: Image.fromarray(read_rgb(path)),
    "uint8": lambda path: read_rgb(path),
    "floats": lambda path: read_rgb(path) / 255,
    "open file": lambda path: io.BytesIO(path.read_bytes()),
}


def read_rgb(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("form", FORMS)
def test_an_overlay_draws_the_outline_and_leaves_the_rest(photos: Path, model_file: Path, form: str) -> None:
    result = seglab.load(model_file, device="cpu")(FORMS[form](photos / "2.png"))
    overlay = result.overlay()
    assert (overlay.mode, overlay.size) == ("RGB", (133, 201))
    lesion = np.asarray(result) > 0
    border = binary_dilation(lesion) & binary_dilation(~lesion, border_value=1)  # beside the frame, too
    is_changed = (np.asarray(overlay) != read_rgb(photos / "2.png")).any(axis=2)
    assert not (is_changed & ~binary_dilation(border, iterations=5)).any()
    assert (is_changed & border).sum() > border.sum() / 2


def test_an_overlay_of_a_large_photograph_is_small(tmp_path: Path, model_file: Path) -> None:
    path = save(tmp_path / "large.png", blobs(np.random.default_rng(1), 600, 2000)[0])
    result = seglab.load(model_file, device="cpu")(path)
    assert result.overlay().size == (1024, 307)
    assert result.overlay(longest_side=100).size == (100, 30)
    assert result.overlay(None).size == (2000, 600)
    with pytest.raises(ConfigError, match="longest_side is 0; expected 1 or more pixels"):
        result.overlay(0)


def test_an_overlay_of_labels_has_a_colour_for_each_class(tmp_path: Path) -> None:
    image, _ = blobs(np.random.default_rng(2), 96, 96)
    overlay = np.asarray(seglab.load(colour_model(tmp_path / "c.onnx"), device="cpu")(image).overlay(), np.int32)
    for colour in ((0, 255, 255), (255, 200, 0)):
        near = [np.abs(pixels - colour).sum(axis=2) < 90 for pixels in (overlay, image)]
        assert near[0].sum() > 10 > near[1].sum()


def test_there_is_no_overlay_of_what_is_no_image_any_more(photos: Path, model_file: Path) -> None:
    model = seglab.load(model_file, device="cpu")
    whole, broken = model([photos / "0.png", photos / "broken.png"])
    with pytest.raises(ImageError, match=r"broken\.png"):
        broken.overlay()
    (photos / "0.png").write_bytes((photos / "1.png").read_bytes())
    with pytest.raises(ImageError, match="is now 64 x 64 and its mask is 70 x 90"):
        whole.overlay()
    (photos / "0.png").unlink()
    with pytest.raises(ImageError, match=r"0\.png"):
        whole.overlay()
