"""``from export import Segmenter``: masks from Python."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from torch import Tensor, nn

import export
from export import Segmenter
from export.errors import ContractError
from seglab.errors import ImageError
from tests.support.artefact import TINY_SIZE, blobs, label_model, tiny_original

SHAPES = [(90, 70), (TINY_SIZE, TINY_SIZE), (201, 133), (33, 300)]


def pictures() -> list[np.ndarray]:
    return [blobs(np.random.default_rng(index), *shape)[0] for index, shape in enumerate(SHAPES)]


@pytest.mark.parametrize("exact", [False, True])
def test_masks_are_those_of_the_original(model_file: Path, tmp_path: Path, exact: bool) -> None:
    original = tiny_original(tmp_path / "c.pt")
    masks = Segmenter(model_file, "cpu", exact=exact)(pictures())
    assert [mask.shape for mask in masks] == SHAPES
    for mask, image in zip(masks, pictures(), strict=True):
        assert set(np.unique(mask)) <= {0, 255}
        differs = np.count_nonzero(mask != original.mask(image))
        assert differs <= (2 if exact else 0.02 * mask.size)


def test_the_device_is_the_one_that_makes_the_masks(model_file: Path) -> None:
    assert Segmenter(model_file, "openvino").device.name == "openvino"
    exact = Segmenter(model_file, "openvino", exact=True)
    assert (exact.device.name, exact.device.precision) == ("cpu", "fp32")


def test_an_array_or_a_file_are_the_same(model_file: Path, tmp_path: Path) -> None:
    image = pictures()[0]
    assert cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    segmenter = Segmenter(str(model_file), "cpu")
    (mask,) = segmenter(image)
    assert mask.shape == image.shape[:2]
    for way in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(segmenter(way), [mask])
    np.testing.assert_array_equal(segmenter([tmp_path / "a.png", image])[1], mask)


def test_a_batch_of_arrays_gives_a_list(model_file: Path) -> None:
    images = np.stack([pictures()[0]] * 11)  # more than run at a time
    masks = Segmenter(model_file, "cpu")(images)
    assert len(masks) == 11
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


def test_nothing_gives_nothing(model_file: Path) -> None:
    assert Segmenter(model_file, "cpu")([]) == []


def test_images_are_read_as_they_are_asked_for(model_file: Path) -> None:
    def endless() -> object:
        while True:
            yield pictures()[0]

    mask, prob = next(Segmenter(model_file, "cpu").stream(endless()))  # type: ignore[arg-type]
    assert (mask.shape, prob.shape) == (SHAPES[0], (TINY_SIZE, TINY_SIZE))


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
        (mask, prob) = next(segmenter.stream([image]))
        assert prob.shape == (3, 16, 16)
        np.testing.assert_allclose(prob.sum(axis=0), 1, atol=1e-6)
        assert [int(mask[20, x]) for x in (5, 30, 55)] == [0, 1, 2]
    assert segmenter.contract.class_names == ("background", "class 1", "class 2")


def test_the_bundled_model_is_the_default() -> None:
    segmenter = Segmenter(device="cpu")
    assert segmenter.contract.encoder == "mobilenet_v2"
    assert segmenter.device.name == "cpu"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), r"uint8 \(0, 5, 3\); expected a file, or uint8 \(H, W, 3\)"),
        (np.zeros((4, 5, 3), np.float32), r"float32 \(4, 5, 3\); expected a file, or uint8 \(H, W, 3\)"),
        (np.zeros((4, 5, 4), np.uint8), r"uint8 \(4, 5, 4\)"),
        (7, "int; expected"),
    ],
)
def test_other_things_are_refused(model_file: Path, image: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Segmenter(model_file, "cpu")([image])  # type: ignore[list-item]


def test_files_that_are_no_images_or_models_are_named(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(ImageError, match=r"no\.png"):
        Segmenter(model_file, "cpu")(tmp_path / "no.png")
    with pytest.raises(ContractError, match="does not exist"):
        Segmenter(tmp_path / "absent.onnx")


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="Segmentor"):
        export.Segmentor  # noqa: B018
