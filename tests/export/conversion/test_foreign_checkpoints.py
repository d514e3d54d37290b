"""``seg-export onnx`` with networks that somebody else trained: the mask is the one that torch makes."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file
from torch import Tensor, nn

from export.cli import main
from export.contract import read_contract
from export.runtime.opening import open_model
from seglab.networks.build import build_network
from seglab.networks.checkpoints import NetworkSpec
from seglab.networks.plain_unet import PlainUNet
from tests.support.artefact import blobs
from tests.support.torch_networks import SIZE, Sure, TwoHeads, expected_mask, lively, pictures

LIKE_TRAINED = ("--size", SIZE, "--mean", "imagenet")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("photos"))


def plain_unet(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    network = PlainUNet(**{"widths": (4, 8), **options})
    return lively(network, network.outc.conv)


def two_heads(classes: int = 1) -> TwoHeads:
    torch.manual_seed(1)
    network = TwoHeads(classes)
    lively(network, network.head)
    return network


def dice(mask: Any, expected: Any) -> float:
    both, sizes = np.count_nonzero(mask & expected), np.count_nonzero(mask) + np.count_nonzero(expected)
    return 2 * both / sizes


def assert_masks(out: Path, network: Callable[[Tensor], Tensor], activation: Any, preset: str = "imagenet") -> None:
    model = open_model(out, "cpu")
    for seed in (7, 8):
        image = blobs(np.random.default_rng(seed), 100, 130)[0]
        expected = expected_mask(network, image, activation, preset)
        assert 0.02 < np.count_nonzero(expected) / expected.size < 0.98  # or nothing was shown
        assert dice(model.prob_and_mask(image[None])[1][0], expected) >= 0.999


@pytest.mark.parametrize(("bilinear", "classes"), [(False, 1), pytest.param(True, 2, marks=pytest.mark.slow)])
def test_the_plain_unet_of_a_notebook(tmp_path: Path, photos: Path, bilinear: bool, classes: int) -> None:
    network = plain_unet(bilinear=bilinear, classes=classes)
    file, out = tmp_path / "epoch5.pth", tmp_path / "m.onnx"
    torch.save({**network.state_dict(), "mask_values": [0, 255]}, file)  # as its training script does
    lesion = ("--lesion-class", 1) if classes > 1 else ()
    result = run("onnx", file, *LIKE_TRAINED, *lesion, "--parity", photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"unet-plain of widths 4-8, {classes} class" in result.stderr
    assert "guessed from their names and shapes" in result.stderr
    assert_masks(out, network, torch.sigmoid if classes == 1 else lambda given: given.softmax(dim=1)[:, 1:])
    contract = read_contract(out)
    assert contract.training == {"weights_from": "epoch5.pth", "kind": "state dictionary"}
    again = run("check", out, file, "--images", photos, "--device", "cpu")
    assert again.exit_code == 0, again.output
    assert "another file" not in again.stderr


@pytest.mark.slow
def test_a_torchscript_with_two_outputs_runs_as_it_is(tmp_path: Path, photos: Path) -> None:
    network = two_heads()
    file, out = tmp_path / "net.pt", tmp_path / "m.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old
        torch.jit.save(torch.jit.script(network), file)
    result = run("onnx", file, "--size", SIZE, "--mean", "imagenet", "--parity", photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert "of its outputs aux, out, out is taken" in result.stderr
    assert "gives logits: not all values on the images are within 0-1" in result.stderr
    assert_masks(out, lambda x: network(x)["out"], torch.sigmoid)
    assert run("check", out, file, "--images", photos, "--device", "cpu").exit_code == 0


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_torch_export_file_with_a_sigmoid_of_one_size(tmp_path: Path, photos: Path, batch: int) -> None:
    network = Sure(plain_unet()).eval()
    file, out = tmp_path / "net.pt2", tmp_path / "m.onnx"
    torch.export.save(torch.export.export(network, (torch.zeros(batch, 3, SIZE, SIZE),)), file)
    result = run("onnx", file, "--mean", "imagenet", "--parity", photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert "gives probabilities: all values on the images are within 0-1" in result.stderr
    assert read_contract(out).size == SIZE
    assert_masks(out, network, lambda given: given)
    wrong = run("onnx", file, "--mean", "imagenet", "--size", 32, "--out", tmp_path / "other.onnx")
    assert wrong.exit_code == 2
    assert f"takes only {SIZE} x {SIZE} pixels, but --size is 32" in wrong.stderr


@pytest.mark.slow
def test_what_the_user_says_of_the_output_counts(tmp_path: Path, photos: Path) -> None:
    network = Sure(plain_unet()).eval()
    file = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, SIZE, SIZE),)), file)
    out = tmp_path / "m.onnx"
    result = run("onnx", file, "--mean", "imagenet", "--output", "probabilities", "--parity", photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert read_contract(out).output == "probabilities"
    assert "values on the images" not in result.stderr


SMP = {
    "state.pth": lambda state: state,
    "half.pth": lambda state: {key: each.half() if each.is_floating_point() else each for key, each in state.items()},
    "lightning.ckpt": lambda state: {
        "state_dict": {**{f"model.{key}": value for key, value in state.items()}, "loss_fn.weight": torch.ones(2)},
        "hyper_parameters": {"model": {"arch": "Unet", "encoder_name": "mobilenet_v2"}, "lr": np.float64(1e-3)},
        "pytorch-lightning_version": "2.4.0",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SMP, "net.safetensors", "folder"])
def test_a_network_of_smp_in_every_kind_of_file(tmp_path: Path, photos: Path, name: str) -> None:
    network = smp_network("unet", "mobilenet_v2")
    file, out = tmp_path / name, tmp_path / "m.onnx"
    if name == "folder":
        network.save_pretrained(str(file))  # type: ignore[operator]
    elif name == "net.safetensors":
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, file)
    else:
        torch.save(SMP[name](network.state_dict()), file)  # type: ignore[no-untyped-call]
        if name == "half.pth":
            network = network.half().float()
    result = run("onnx", file, *LIKE_TRAINED, "--parity", photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Unet with encoder mobilenet_v2, 1 class" in result.stderr
    assert_masks(out, network, torch.sigmoid)
    assert run("check", out, file, "--images", photos, "--device", "cpu").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "encoder"),
    [
        ("unet", "resnet18"),
        ("unetplusplus", "resnet18"),
        ("manet", "resnet18"),
        ("linknet", "mobilenet_v2"),
        ("fpn", "efficientnet-b0"),
        ("pspnet", "resnet18"),
        ("deeplabv3", "resnet18"),
        ("deeplabv3plus", "mobilenet_v2"),
        ("upernet", "resnet18"),
        ("segformer", "mit_b0"),
    ],
)
def test_architectures_of_smp_are_recognised_and_right(tmp_path: Path, photos: Path, arch: str, encoder: str) -> None:
    """All but PAN, which takes no images as small as these."""
    network = smp_network(arch, encoder)
    file, out = tmp_path / "weights.pth", tmp_path / "m.onnx"
    torch.save(network.state_dict(), file)
    result = run("onnx", file, *LIKE_TRAINED, "--parity", photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"with encoder {encoder}, 1 class: guessed" in result.stderr
    assert_masks(out, network, torch.sigmoid)


def smp_network(arch: str, encoder: str, classes: int = 1) -> nn.Module:
    torch.manual_seed(2)
    network = build_network(NetworkSpec(arch, encoder, classes))
    head = network.get_submodule("segmentation_head.0")
    assert isinstance(head, nn.Conv2d)
    return lively(network, head)


def test_several_ways_to_say_too_little_are_one_message(tmp_path: Path) -> None:
    file = tmp_path / "two classes.pth"
    torch.save(plain_unet(classes=2).state_dict(), file)
    result = run("onnx", file)
    assert result.exit_code == 2
    assert "Missing: --size, --mean, --lesion-class (or --class-names)" in result.stderr
    command = f"seg-export onnx '{file}' --arch unet-plain --classes 2 --lesion-class 1 --size 256 --mean imagenet"
    assert command in " ".join(result.stderr.split())
    assert not (tmp_path / "two classes.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--arch", "unet", "--encoder", "resnet18"), 1, "are not those of Unet with encoder resnet18"),
        (("--arch", "unet"), 2, "Missing: --encoder"),
        (("--arch", "vnet"), 2, "arch is 'vnet'; expected one of"),
        (("--classes", 3), 1, "of another shape (outc.conv.weight: 1x4x1x1 for 3x4x1x1, outc.conv.bias: 1 for 3)"),
        (("--lesion-class", 1), 2, "gives one class, lesion or not; expected no --lesion-class"),
        (("--class-names", "a,b"), 2, "gives 1 class, and --class-names has 2"),
        (("--weights", "ema"), 1, "has no weights under 'ema'"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, arguments: tuple[object, ...], code: int, message: str) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"model": plain_unet().state_dict()}, file)
    result = run("onnx", file, *LIKE_TRAINED, *arguments, "--out", tmp_path / "m.onnx")
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.split())
    assert isinstance(result.exception, SystemExit)
    assert not (tmp_path / "m.onnx").exists()


def test_a_checkpoint_of_seglab_says_itself_how_it_is_fed(tmp_path: Path) -> None:
    from tests.support.artefact import tiny_checkpoint

    tiny_checkpoint(tmp_path / "best.pt")
    for option, value, own in (("--size", 32, "64"), ("--encoder", "resnet18", "none"), ("--mean", "0-1", "0.485")):
        result = run("onnx", tmp_path / "best.pt", option, value)
        assert result.exit_code == 2, result.output
        said = " ".join(result.stderr.split())
        assert f"{option} is" in said
        assert own in said
        assert f"Leave out {option}" in said


@pytest.mark.slow
def test_an_ema_beside_the_weights_is_named_and_can_be_taken(tmp_path: Path, photos: Path) -> None:
    network, other = plain_unet(), plain_unet(bias=True)
    file = tmp_path / "last.pt"
    averaged = torch.optim.swa_utils.AveragedModel(other)
    torch.save({"epoch": 3, "model": network.state_dict(), "model_ema": averaged.state_dict()}, file)
    out = tmp_path / "m.onnx"
    result = run("onnx", file, *LIKE_TRAINED, "--weights", "model_ema", "--parity", photos, "--out", out)
    assert result.exit_code == 0, result.output
    assert_masks(out, other, torch.sigmoid)
    assert dataclasses.asdict(read_contract(out))["training"]["weights_name"] == "model_ema"
    assert run("check", out, file, "--images", photos, "--device", "cpu").exit_code == 0
    plain = run("onnx", file)
    assert "there are others under 'model_ema'" in " ".join(plain.stderr.split())
