"""Files of somebody else's networks: what they are, and which network their tensors belong to."""

from __future__ import annotations

import argparse
import datetime
import enum
import functools
import os
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seglab.errors import CheckpointError
from seglab.networks.build import build_network
from seglab.networks.checkpoints import NetworkSpec
from seglab.networks.foreign.checkpoint import Network, Wanted, recognise
from seglab.networks.foreign.found import Found
from seglab.networks.foreign.programs import open_program
from seglab.networks.foreign.reading import read
from seglab.networks.plain_unet import PlainUNet
from seglab.networks.unet import UNet

PLAIN = PlainUNet(widths=(4, 8)).state_dict()


class Colour(enum.Enum):
    RED = 1


class Settings(dict[str, Any]):
    """A dictionary of a library's own, as many configurations are."""


class Runs:
    """Runs a command when it is opened."""

    def __init__(self, call: Any, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def foreign(path: Path) -> Found:
    found = read(path)
    assert isinstance(found, Found)
    return found


def recognised(path: Path, **wanted: Any) -> Network:
    found = foreign(path)
    network = recognise(found, Wanted(**wanted))
    assert network is not None
    return network


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in PLAIN.items()}


@pytest.mark.parametrize(
    "held",
    [
        PLAIN,
        {"state_dict": PLAIN},
        {"model_state_dict": PLAIN, "best_dice": np.float64(0.9), "history": np.zeros(3)},
        {"checkpoint": {"net": PLAIN}, "epoch": 4},
        {"weights": prefixed("module.")},
        {"network": prefixed("_orig_mod.module.")},
        {"params": prefixed("model._orig_mod.net.")},
        {"something": PLAIN, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3, 3)}}, "param_groups": []}},
        {"n_averaged": torch.tensor(3), **prefixed("module.")},
        {"initted": torch.tensor(True), **prefixed("online_model."), **prefixed("ema_model.")},
        {"state_dict": {**prefixed("model."), "criterion.pos_weight": torch.ones(1), "dice.tp": torch.zeros(2)}},
        {key: value.numpy() for key, value in PLAIN.items()},
        {key: value.bfloat16() if value.is_floating_point() else value for key, value in PLAIN.items()},
        {key.replace("double_conv", "conv").replace("maxpool_", "mp"): value for key, value in PLAIN.items()},
        {key: value for key, value in PLAIN.items() if "num_batches" not in key},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_wherever_they_are(tmp_path: Path, held: Any, zipped: bool) -> None:
    torch.save(held, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    network = recognised(tmp_path / "w.pth")
    assert network.spec == NetworkSpec("unet-plain", None, 1, {"widths": [4, 8], "bilinear": False, "bias": False})
    assert all(value.dtype == torch.float32 for value in network.state.values() if value.is_floating_point())
    build_network(network.spec).load_state_dict(network.state)


def test_settings_of_a_training_loop_are_passed_over_and_nothing_of_them_is_run(tmp_path: Path) -> None:
    settings = Settings(lr=1)
    settings.note = "mine"  # type: ignore[attr-defined]
    held = {
        "state_dict": prefixed("model."),
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": {
            "args": argparse.Namespace(out=Path("runs")),
            "when": datetime.datetime(2024, 1, 1),
            "colour": Colour.RED,
            "loss": nn.BCEWithLogitsLoss(),
            "act": functools.partial(print, 1),
            "config": settings,
            "by": defaultdict(list, a=[1]),
            "order": OrderedDict(a=1),
            "dtype": torch.float16,
        },
    }
    torch.save(held, tmp_path / "w.ckpt")
    assert str(recognised(tmp_path / "w.ckpt").found).startswith("a Lightning checkpoint of ")


@pytest.mark.parametrize(
    ("arch", "encoder", "options"),
    [
        ("unet", "resnet18", {"decoder_attention_type": "scse"}),
        ("unet", "mobilenet_v2", {"decoder_channels": [32, 16, 8]}),
        ("unet", "vgg11", {"decoder_use_norm": False}),
        ("unetplusplus", "resnet18", {}),
        ("manet", "resnet18", {"decoder_pab_channels": 32}),
        ("linknet", "resnet18", {}),
        ("fpn", "mobilenet_v2", {"decoder_merge_policy": "cat"}),
        ("pspnet", "resnet18", {}),
        ("pan", "resnet18", {}),
        ("deeplabv3", "resnet18", {"decoder_channels": 64}),
        ("deeplabv3plus", "mobilenet_v2", {}),
        ("upernet", "resnet18", {}),
        ("unet", "efficientnet-b0", {}),
        ("unet", "tu-resnet18", {}),
    ],
)
def test_networks_of_smp_are_recognised_by_their_tensors(
    tmp_path: Path, arch: str, encoder: str, options: dict[str, Any]
) -> None:
    torch.save(build_network(NetworkSpec(arch, encoder, 2, options)).state_dict(), tmp_path / "w.pth")
    spec = recognised(tmp_path / "w.pth").spec
    assert (spec.arch, spec.encoder, spec.classes) == (arch, encoder, 2)
    assert {key: spec.options[key] for key in options} == options


def test_the_scratch_unet_is_recognised(tmp_path: Path) -> None:
    torch.save(UNet(3, (4, 8, 16)).state_dict(), tmp_path / "w.pth")
    spec = recognised(tmp_path / "w.pth").spec
    assert spec == NetworkSpec("unet-scratch", None, 3, {"widths": [4, 8, 16]})


def test_two_encoders_with_the_same_tensors_are_asked_for(tmp_path: Path) -> None:
    """timm's efficientnet_b0 and tf_efficientnet_b0 pad in different ways, which no tensor shows."""
    torch.save(build_network(NetworkSpec("unet", "tu-efficientnet_b0")).state_dict(), tmp_path / "w.pth")
    found = foreign(tmp_path / "w.pth")
    assert recognise(found, Wanted()) is None
    assert recognised(tmp_path / "w.pth", encoder="tu-efficientnet_b0").spec.encoder == "tu-efficientnet_b0"


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        read(path)
    return str(refused.value)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([1, 2], "holds a list of 2 entries"),
        ({}, "holds an empty dictionary"),
        (torch.zeros(2, 3), "holds a single tensor (2, 3)"),
        ({"state": {}, "param_groups": []}, "holds the state of an optimiser, and no weights"),
        ({"epoch": 3, "loss": 0.1}, "a dictionary without weights (its entries are 'epoch', 'loss')"),
        (nn.Conv2d(3, 1, 1), "is a whole pickled network (torch.nn.modules.conv.Conv2d); opening it would run code"),
        ({"model": nn.Conv2d(3, 1, 1)}, '    torch.save(checkpoint["model"].state_dict(), "weights.pth")'),
        (
            {"state_dict": PLAIN, "x": Runs(os.mkdir, "made")},
            ".mkdir when it is opened, which no file of weights needs",
        ),
        ({"state_dict": PLAIN, "x": Runs(eval, "1/0")}, "calls eval when it is opened, which no file of weights needs"),
    ],
)
def test_what_torch_saved_and_is_no_weights_is_called_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(held, tmp_path / "w.pt")
    assert message in refusal(tmp_path / "w.pt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (bytes(99), "holds zeros only"),
        (b"<!DOCTYPE html><html></html>", "is a web page or XML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"just words\n", "is a text file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "convert it with tf2onnx, and take the result with `seg-export adopt"),
        (b"\x08\x08\x12\x07pytorch", "is an ONNX file, no checkpoint. Take it with `seg-export adopt"),
        (pickle.dumps(PLAIN), "is a pickle that torch.save did not write"),
        (b"\x01\x02\x03\xff" * 9, "bytes begin with 01 02 03 ff"),
    ],
)
def test_other_files_are_called_by_their_names(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    assert message in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torn_file_is_called_so(tmp_path: Path, zipped: bool) -> None:
    torch.save(PLAIN, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as weights" in refusal(tmp_path / "w.pt")


def test_a_damaged_file_is_noticed_which_torch_itself_does_not(tmp_path: Path) -> None:
    torch.save(PLAIN, tmp_path / "w.pt")
    content = bytearray((tmp_path / "w.pt").read_bytes())
    weight = next(value for value in PLAIN.values() if value.numel() > 64).numpy().tobytes()
    content[content.index(weight) + 8] ^= 1
    (tmp_path / "w.pt").write_bytes(bytes(content))
    torch.load(tmp_path / "w.pt", weights_only=True)
    assert "is damaged: the checksum of" in refusal(tmp_path / "w.pt")


def test_of_two_networks_in_a_file_the_other_is_named(tmp_path: Path) -> None:
    torch.save({"teacher": PLAIN, "student": PLAIN}, tmp_path / "w.pt")
    found = foreign(tmp_path / "w.pt")
    assert "'teacher'" in " ".join(found.notes)
    assert "'student'" in " ".join(found.notes)


def test_a_zip_and_folders_without_weights(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    assert "is a zip of 1 file without weights" in refusal(tmp_path / "w.zip")
    assert "is a folder without config.json" in refusal(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["Segformer"], "model_type": "segformer"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "is a model of Hugging Face transformers (segformer)" in refusal(tmp_path)


def test_a_network_of_grey_images_is_refused_with_a_way(tmp_path: Path) -> None:
    grey = dict(PLAIN)
    grey["inc.double_conv.0.weight"] = torch.zeros(4, 1, 3, 3)
    torch.save(grey, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"takes images of 1 channels .*seg-export adopt"):
        recognised(tmp_path / "w.pth")


def test_a_torch_export_file_of_rectangles_is_refused(tmp_path: Path) -> None:
    network = PlainUNet(widths=(4, 8)).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 16, 24),)), tmp_path / "w.pt2")
    with pytest.raises(CheckpointError, match="takes images of 16 x 24 pixels only; expected a square"):
        recognised(tmp_path / "w.pt2")


def test_a_torch_export_file_that_would_run_something_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "w.pt2"
    torch.export.save(torch.export.export(PlainUNet(widths=(4, 8)).eval(), (torch.zeros(1, 3, 16, 16),)), path)
    open_program(path, "torch.export")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    inputs = next(name for name in parts if "sample_inputs" in name)
    parts[inputs] = pickle.dumps(Runs(os.mkdir, str(tmp_path / "made")))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="holds Python objects"):
        open_program(path, "torch.export")
    assert not (tmp_path / "made").exists()
