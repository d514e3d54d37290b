"""Public architectures as ONNX files, as their frameworks' users export them: each in by one command."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional

from export.cli import main
from export.runtime.opening import open_model
from seglab.images.masks import read_mask
from seglab.images.reader import read_image
from tests.support import foreign

SIZE = foreign.SIDE
STEPS = 20


class PlainUNet(nn.Module):
    """Two levels, transposed convolutions, concatenation: the one of countless notebooks."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d, classes: int = 1) -> None:
        super().__init__()
        self.inside, self.down = self.block(3, 8, norm), self.block(8, 16, norm)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, stride=2), self.block(16, 8, norm)
        self.head = nn.Conv2d(8, classes, 1)

    def block(self, taken: int, given: int, norm: Callable[[int], nn.Module]) -> nn.Module:
        return nn.Sequential(nn.Conv2d(taken, given, 3, padding=1), norm(given), nn.ReLU())

    def forward(self, x: Tensor) -> Any:
        first = self.inside(x)
        second = self.up(self.down(functional.max_pool2d(first, 2)))
        return self.head(self.out(torch.cat([first, second], dim=1)))


class WithDictionary(PlainUNet):
    """As torchvision's segmentation networks: ``out`` and ``aux``, softmax over two classes to be done outside."""

    def __init__(self) -> None:
        super().__init__(classes=2)

    def forward(self, x: Tensor) -> Any:
        out = super().forward(x)
        return {"out": out, "aux": -out}


class Quarter(PlainUNet):
    """As SegFormer of Hugging Face: logits at a quarter of the size."""

    def forward(self, x: Tensor) -> Any:
        return functional.avg_pool2d(super().forward(x), 4)


class ChannelsLast(PlainUNet):
    """As tf2onnx makes of Keras: channels last at both ends, a sigmoid inside."""

    def forward(self, x: Tensor) -> Any:
        return torch.sigmoid(super().forward(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


class Softmax(PlainUNet):
    """Two classes, softmax inside."""

    def __init__(self) -> None:
        super().__init__(classes=2)

    def forward(self, x: Tensor) -> Any:
        return torch.softmax(super().forward(x), dim=1)


class WithAuxiliaryHead(PlainUNet):
    """A class of the whole image beside the mask, as smp's ``aux_params``."""

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return logits, logits.mean(dim=(2, 3))


def smp(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import segmentation_models_pytorch

        network: nn.Module = getattr(segmentation_models_pytorch, name)("mobilenet_v2", encoder_weights=None)
        return network

    return build


def instance(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


def one(given: Any) -> Tensor:
    return torch.sigmoid(given)


def second(given: Any) -> Tensor:
    return torch.softmax(given, dim=1)[:, 1:]


@dataclass(frozen=True)
class Case:
    """What is built, the options, and how what it gives becomes probabilities ``(1, 1, s, s)``."""

    build: Callable[[], nn.Module]
    options: tuple[str, ...] = ()
    prob: Callable[[Any], Tensor] = one
    last: bool = False
    half: bool = False
    outputs: tuple[str, ...] = ("y",)


FAST = {
    "dictionary": Case(
        WithDictionary, ("--output", "out", "--lesion-class", "1"), lambda y: second(y["out"]), outputs=("out", "aux")
    ),
    "SegFormer-like": Case(Quarter, prob=lambda y: one(enlarged(y, SIZE))),
    "fp16": Case(PlainUNet, half=True),
}
SLOW = {
    "plain U-Net": Case(PlainUNet),
    "MONAI-like": Case(lambda: PlainUNet(instance)),
    "tf2onnx-like": Case(ChannelsLast, prob=lambda y: y.permute(0, 3, 1, 2), last=True),
    "two-class softmax": Case(Softmax, ("--lesion-class", "1"), lambda y: y[:, 1:]),
    "auxiliary head": Case(WithAuxiliaryHead, prob=lambda y: one(y[0]), outputs=("y", "label")),
    **{f"smp {name}": Case(smp(name)) for name in ("Unet", "UnetPlusPlus", "FPN", "DeepLabV3Plus")},
}
CASES = {**FAST, **SLOW}


def enlarged(planes: Tensor, *size: int) -> Tensor:
    height, width = size[0], size[-1]
    return functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)


def trained(case: Case, pictures: Path) -> nn.Module:
    """Build the network and train it for a moment on the pictures, so that there is something to tell apart."""
    torch.manual_seed(3)
    network = case.build().train()
    x = torch.cat([normalised(read_image(path), case) for path in sorted((pictures / "images").iterdir())])
    masks = [torch.from_numpy(read_mask(path)).float() for path in sorted((pictures / "masks").iterdir())]
    target = torch.cat([enlarged(mask[None, None] / 255, SIZE) for mask in masks])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(STEPS):
        prob = enlarged(case.prob(network(x)), SIZE)
        loss = functional.binary_cross_entropy(prob.clamp(0, 1), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():  # the statistics that evaluation goes by come after the weights
        for _ in range(2 * STEPS):
            network(x)
    return network.eval()


def normalised(image: foreign.Array, case: Case, half: bool = False) -> Tensor:
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    fitted = functional.interpolate(planes, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in foreign.IMAGENET)
    x = (fitted / 255 - mean) / std
    x = x.permute(0, 2, 3, 1) if case.last else x
    return x.half() if half else x


def export(network: nn.Module, case: Case, path: Path) -> None:
    """Export it as its makers do: the exporter of before, with a free batch axis."""
    shape = (2, SIZE, SIZE, 3) if case.last else (2, 3, SIZE, SIZE)
    axes = {name: {0: "batch"} for name in ("x", *case.outputs)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(shape, dtype=torch.half if case.half else torch.float),), str(path),
            input_names=["x"], output_names=list(case.outputs),
            dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_its_masks_are_its_own_frameworks(tmp_path: Path, name: str) -> None:
    case, pictures = CASES[name], foreign.photographs(tmp_path / "photos")
    images = [read_image(path) for path in sorted((pictures / "images").iterdir())]
    network = trained(case, pictures)
    if case.half:
        network.half()
    with torch.inference_mode():
        probs = [case.prob(network(normalised(image, case, case.half))).float() for image in images]
    export(network, case, tmp_path / "net.onnx")
    words = ["adopt", str(tmp_path / "net.onnx"), "--mean", "imagenet", *case.options]
    result = CliRunner().invoke(main, [*words, "--parity", str(pictures), "--out", str(tmp_path / "m.onnx")])
    assert result.exit_code == 0, result.output
    model = open_model(tmp_path / "m.onnx", "cpu")
    for image, prob in zip(images, probs, strict=True):
        full = enlarged(prob, *image.shape[:2])[0, 0].numpy()
        expected = np.where(full >= 0.5, np.uint8(255), np.uint8(0))
        assert foreign.dice(model.mask(image[None])[0], expected) >= 0.999
