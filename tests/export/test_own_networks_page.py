"""The ways of docs/tutorials/own_network.md, run as they stand: their code makes the file, their command the model."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

from export.cli import main
from seglab.networks.build import build_network
from seglab.networks.checkpoints import NetworkSpec
from seglab.networks.plain_unet import PlainUNet
from tests.support.torch_networks import SIZE, lively, pictures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "own_network.md"
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def ways() -> dict[str, dict[str, str]]:
    sections = re.split(r"^## (?=\d+\. )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {section.partition("\n")[0]: dict(BLOCK.findall(section)) for section in sections}


def network(arch: str) -> nn.Module:
    torch.manual_seed(3)
    if arch == "unet-plain":
        plain = PlainUNet(widths=(4, 8, 16))
        return lively(plain, plain.outc.conv, "0-1")
    built = build_network(NetworkSpec(arch, "mobilenet_v2"))
    head = built.get_submodule("segmentation_head.0")
    assert isinstance(head, nn.Conv2d)
    return lively(built, head)


def test_there_are_ten_ways_with_a_command_each() -> None:
    assert [name.partition(".")[0] for name in ways()] == [str(number) for number in range(1, 11)]
    assert all(blocks["console"].startswith("$ seg-export ") for blocks in ways().values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ways())
def test_every_recipe_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "photos")
    blocks = {kind: text.replace("256", str(SIZE)) for kind, text in ways()[name].items()}
    model = network("unet")
    torch.save(model, "whole_model.pt")
    known = {"torch": torch, "model": model, "plain_unet": network("unet-plain"), "save_file": save_file}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript, and of the exporter's own parts
        exec(blocks["python"], known)
    result = CliRunner().invoke(main, shlex.split(blocks["console"].removeprefix("$ seg-export ")))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "lesion.onnx").is_file()
    assert result.stdout == "lesion.onnx\n"
