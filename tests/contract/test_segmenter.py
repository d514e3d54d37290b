"""``from export import Segmenter``: masks from Python."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import export
from export import Segmenter
from seglab.errors import ConfigError, ImageError
from tests.support.artefact import TINY_SIZE, blobs, label_model, tiny_original

SHAPES = [(90, 70), (TINY_SIZE, TINY_SIZE), (201, 133), (33, 300)]


def pictures() -> list[np.ndarray]:
    return [blobs(np.random.default_rng(index), *shape)[0] for index, shape in enumerate(SHAPES)]


@pytest.fixture(scope="module")
def segmenter(model_file: Path) -> Segmenter:
    return Segmenter(model_file, "cpu")


@pytest.mark.parametrize("exact", [False, True])
def test_masks_are_those_of_the_original(model_file: Path, tmp_path: Path, exact: bool) -> None:
    original = tiny_original(tmp_path / "c.pt")
    masks = [result.mask for result in Segmenter(model_file, "cpu", exact=exact)(pictures())]
    assert [mask.shape for mask in masks] == SHAPES
    for mask, image in zip(masks, pictures(), strict=True):
        assert set(np.unique(mask)) <= {0, 255}
        differs = np.count_nonzero(mask != original.mask(image))
        assert differs <= (2 if exact else 0.02 * mask.size)


def test_the_device_is_the_one_that_makes_the_masks(model_file: Path) -> None:
    assert Segmenter(model_file, "openvino").device.name == "openvino"
    exact = Segmenter(model_file, "openvino", exact=True)
    assert (exact.device.name, exact.device.precision) == ("cpu", "fp32")


def png_of(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def turned_jpeg(image: np.ndarray) -> bytes:
    """A JPEG that lies on its side and says so."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(image)).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 7, np.uint8)])


PICTURE = pictures()[0]
GREY = np.repeat(PICTURE[..., :1], 3, axis=2)
BLACK = np.where(GREY > 150, 255, 0).astype(np.uint8)
WAYS: dict[str, tuple[Any, np.ndarray]] = {
    "bytes": (png_of(PICTURE), PICTURE),
    "bytearray": (bytearray(png_of(PICTURE)), PICTURE),
    "memoryview": (memoryview(png_of(PICTURE)), PICTURE),
    "RGBA": (with_alpha(PICTURE), PICTURE),
    "grey": (GREY[..., 0], GREY),
    "grey (H, W, 1)": (GREY[..., :1], GREY),
    "not contiguous": (np.asfortranarray(PICTURE), PICTURE),
    "float32": (PICTURE.astype(np.float32) / 255, PICTURE),
    "float64 grey": (GREY[..., 0] / 255, GREY),
    "uint16": (PICTURE.astype(np.uint16) * 257, PICTURE),
    "big-endian uint16": (PICTURE.astype(">u2") * 257, PICTURE),
    "bool": (BLACK[..., 0] > 0, BLACK),
    "tensor (H, W, 3)": (torch.from_numpy(PICTURE), PICTURE),
    "tensor (3, H, W)": (torch.from_numpy(PICTURE).permute(2, 0, 1), PICTURE),
    "float tensor that learns": ((torch.from_numpy(PICTURE).permute(2, 0, 1) / 255).requires_grad_(), PICTURE),
    "Pillow": (Image.fromarray(PICTURE), PICTURE),
    "Pillow, L": (Image.fromarray(GREY[..., 0]), GREY),
    "Pillow, LA": (Image.fromarray(GREY[..., 0]).convert("LA"), GREY),
    "Pillow, RGBA": (Image.fromarray(with_alpha(PICTURE)), PICTURE),
    "Pillow, 1": (Image.fromarray(BLACK[..., 0]).convert("1"), BLACK),
    "Pillow, P": (Image.fromarray(GREY[..., 0]).convert("P"), GREY),
    "Pillow, I;16": (Image.fromarray(GREY[..., 0].astype(np.uint16) * 257), GREY),
    "Pillow, F": (Image.fromarray(GREY[..., 0].astype(np.float32)), GREY),
    "Pillow, lies on its side": (
        Image.open(io.BytesIO(turned_jpeg(PICTURE))),
        np.rot90(np.asarray(Image.open(io.BytesIO(turned_jpeg(PICTURE)))), -1),
    ),
}
"""What is handed in, and the same image as uint8 (H, W, 3)."""


@pytest.mark.parametrize("way", WAYS)
def test_the_same_image_in_another_form_gives_the_same(segmenter: Segmenter, way: str) -> None:
    given, plain = WAYS[way]
    expected = segmenter(np.ascontiguousarray(plain))
    assert expected.area
    result = segmenter(given)
    np.testing.assert_array_equal(result.mask, expected.mask)
    np.testing.assert_array_equal(result.prob, expected.prob)


def test_files_are_taken_by_path_and_opened(segmenter: Segmenter, tmp_path: Path) -> None:
    class Somewhere(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(path)

    path = tmp_path / "a.png"
    path.write_bytes(png_of(PICTURE))
    expected = segmenter(PICTURE).mask
    ways: list[Any] = [path, str(path), Somewhere()]
    for given in ways:
        np.testing.assert_array_equal(segmenter(given).mask, expected)
    with path.open("rb") as file:
        opened: list[Any] = [file, io.BytesIO(png_of(PICTURE))]
        for given in opened:
            np.testing.assert_array_equal(segmenter(given).mask, expected)


def test_one_in_one_out_and_many_in_a_list_out(segmenter: Segmenter) -> None:
    one = segmenter(PICTURE)
    assert one.mask.shape == SHAPES[0]
    many = np.stack([PICTURE] * 11)  # more than run at a time
    tensors = torch.from_numpy(many).permute(0, 3, 1, 2)
    for several in (many, tensors, [PICTURE] * 11, (PICTURE for _ in range(11))):
        results = segmenter(several)
        assert isinstance(results, list)
        assert len(results) == 11
        assert all(np.array_equal(result.mask, one.mask) for result in results)
    assert [len(segmenter(given)) for given in ([PICTURE], (PICTURE,), PICTURE[None], [], many[:0])] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("exact", [False, True])
def test_one_bad_image_in_a_list_is_an_error_in_its_place(model_file: Path, tmp_path: Path, exact: bool) -> None:
    (tmp_path / "no.png").write_text("no image")
    bad = [tmp_path / "no.png", tmp_path / "absent.png", b"", None, PICTURE.astype(np.float32), tmp_path]
    segmenter = Segmenter(model_file, "cpu", exact=exact)
    good = [result.mask for result in segmenter([*pictures(), *pictures()])]
    results = segmenter([*pictures(), *bad, *pictures()])
    assert [result.error is None for result in results] == [True] * 4 + [False] * 6 + [True] * 4
    for result, mask in zip([*results[:4], *results[10:]], good, strict=True):
        np.testing.assert_array_equal(result.mask, mask)
    failed = results[4]
    assert "no.png" in str(failed.error)
    assert (failed.mask, failed.prob, failed.area, failed.box, failed.confidence) == (None,) * 5
    with pytest.raises(ImageError, match=r"no\.png"):
        np.asarray(failed)
    assert "absent.png" in str(results[5].error)


def test_a_result_has_the_figures_of_its_mask(segmenter: Segmenter) -> None:
    result = segmenter(PICTURE)
    rows, columns = np.nonzero(result.mask)
    assert result.area == len(rows)
    assert result.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    lesion = result.prob >= segmenter.contract.threshold
    expected = 2 * result.prob[lesion].sum() / (result.prob.sum() + lesion.sum())
    assert result.confidence == pytest.approx(expected, abs=1e-5)
    assert result.error is None
    empty = segmenter(np.full((40, 50, 3), (220, 180, 160), np.uint8))
    assert (empty.area, empty.box) == (0, None)
    assert repr(empty) == "Result(mask=(40, 50), area=0, box=None, confidence=0.00)"


def test_a_result_goes_as_its_mask_and_as_a_pair(segmenter: Segmenter) -> None:
    result = segmenter(PICTURE)
    mask, prob = result
    assert mask is result.mask
    assert prob is result.prob
    assert np.asarray(result) is result.mask
    assert np.array(result) is not result.mask
    assert np.asarray(result, np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.stack([result, result])[1], mask)
    with pytest.raises(ValueError, match="without a copy"):
        np.array(result, np.int32, copy=False)


def test_images_are_read_as_they_are_asked_for(segmenter: Segmenter) -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield PICTURE

    stream = segmenter.stream(endless())
    mask, prob = next(stream)
    assert (mask.shape, prob.shape) == (SHAPES[0], (TINY_SIZE, TINY_SIZE))
    for _ in range(20):
        next(stream)
    assert taken <= 24


@pytest.mark.parametrize("form", [np.array, lambda paths: np.array([Path(path) for path in paths], object), iter])
def test_a_row_of_paths_is_several_images(segmenter: Segmenter, tmp_path: Path, form: Callable[[Any], Any]) -> None:
    (tmp_path / "a.png").write_bytes(png_of(PICTURE))
    results = segmenter(form([str(tmp_path / "a.png"), str(tmp_path / "absent.png")]))
    assert [result.error is None for result in results] == [True, False]


def test_a_column_of_a_table_is_several_images(segmenter: Segmenter, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    (tmp_path / "a.png").write_bytes(png_of(PICTURE))
    table = pandas.DataFrame({"path": [str(tmp_path / "a.png")] * 2}, index=[7, 9])
    assert [result.area for result in segmenter(table["path"])] == [segmenter(PICTURE).area] * 2
    with pytest.raises(ImageError, match="For a table, pass its column of paths"):
        segmenter(table)


class OtherArray:
    """An array of another library, which NumPy can take."""

    shape, dtype = PICTURE.shape, PICTURE.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return PICTURE

    def __iter__(self) -> Any:
        return iter(PICTURE)


def test_arrays_of_other_libraries_are_images(segmenter: Segmenter) -> None:
    assert segmenter(OtherArray()).area == segmenter(PICTURE).area


def test_a_model_that_is_closed_says_so(model_file: Path) -> None:
    with Segmenter(model_file, "cpu") as model:
        assert model(PICTURE).area
    for use in (lambda: model(PICTURE), lambda: model.contract, lambda: model.device):
        with pytest.raises(ConfigError, match=r"was closed; expected an open one. Open it again with seglab.load"):
            use()
    assert repr(model) == "Segmenter(closed)"
    assert copy.copy(model)(PICTURE).area  # opened again


def test_a_notebook_shows_the_overlay(segmenter: Segmenter) -> None:
    shown = segmenter(PICTURE)._repr_jpeg_()
    assert shown is not None
    with Image.open(io.BytesIO(shown)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (70, 90))
    (failed,) = segmenter([b"no image"])
    assert failed._repr_jpeg_() is None
    assert repr(failed).startswith("Result(error='The encoded image: ")


def test_several_classes_give_label_maps(tmp_path: Path) -> None:
    class Colours(nn.Module):
        """Class 0, 1, 2 where red, green, blue is strongest."""

        def forward(self, x: Tensor) -> Tensor:
            return 9 * x

    path = label_model(tmp_path / "rgb.onnx", Colours(), 16, classes=3)
    image = np.zeros((40, 60, 3), np.uint8)
    for channel in range(3):
        image[:, 20 * channel : 20 * channel + 20, channel] = 255
    for exact in (False, True):
        segmenter = Segmenter(path, "cpu", exact=exact)
        mask, prob = next(segmenter.stream([image]))
        assert prob.shape == (3, 16, 16)
        np.testing.assert_allclose(prob.sum(axis=0), 1, atol=1e-6)
        assert [int(mask[20, x]) for x in (5, 30, 55)] == [0, 1, 2]
    assert segmenter.contract.class_names == ("background", "class 1", "class 2")


def test_the_bundled_model_is_the_default() -> None:
    segmenter = Segmenter(device="cpu")
    assert segmenter.contract.encoder == "mobilenet_v2"
    assert len(repr(segmenter.contract)) < 1500  # without the tables of its training and its proof
    assert segmenter.device.name == "cpu"


def test_copies_open_the_model_again(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_file.parent)
    segmenter = Segmenter(model_file.name, "cpu", threads=1, exact=True)
    packed = pickle.dumps(segmenter)
    monkeypatch.chdir("/")
    for again in (pickle.loads(packed), copy.deepcopy(segmenter)):
        np.testing.assert_array_equal(again(PICTURE).mask, segmenter(PICTURE).mask)
        assert repr(again).startswith(f"Segmenter({str(model_file)!r}, 'cpu'): unet-scratch, 64 x 64, 1 class, fp32 by")
    encoded = png_of(PICTURE)
    images: list[Any] = [PICTURE, Image.fromarray(PICTURE), encoded, memoryview(encoded), io.BytesIO(encoded)]
    for image in images:
        made = segmenter(image)
        for result in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
            np.testing.assert_array_equal(result.mask, segmenter(PICTURE).mask)
            assert result.overlay().size == (70, 90)


def test_threads_take_turns(segmenter: Segmenter) -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(segmenter(pictures()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in found:
        for result, expected in zip(results, segmenter(pictures()), strict=True):
            np.testing.assert_array_equal(result.mask, expected.mask)
    assert len(found) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_is_told_what_to_do(model_file: Path) -> None:
    """In a process without the many threads of a test run, whose locks a fork would copy."""
    code = (
        "import os, sys, numpy as np\n"
        "from export import Segmenter\n"
        "from export.errors import DeviceError\n"
        "segmenter, picture = Segmenter(sys.argv[1], 'cpu'), np.zeros((90, 70, 3), np.uint8)\n"
        "segmenter(picture)\n"
        "if os.fork() == 0:\n"
        "    try: segmenter(picture)\n"
        "    except DeviceError as error: os.write(1, str(error).encode())\n"
        "    finally: os._exit(0)\n"
        "os.wait()\n"
    )
    words: list[str | Path] = [sys.executable, "-c", code, model_file]
    said = subprocess.run(words, check=True, timeout=120, stdout=subprocess.PIPE, text=True).stdout
    assert "Start processes with multiprocessing's 'spawn'" in said


def test_torch_is_not_needed_for_it(model_file: Path) -> None:
    code = (
        "import sys, numpy as np; from export import Segmenter; from PIL import Image;"
        "Segmenter(sys.argv[1], 'cpu')(Image.new('RGB', (9, 8))); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(model_file)], check=True)


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="Segmentor"):
        export.Segmentor  # noqa: B018
