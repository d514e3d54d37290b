"""``seglab`` as a user calls it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from seglab.cli import main
from seglab.cli_support import CommandGroup
from seglab.errors import ConfigError, MissingDependencyError
from seglab.files import replacing, write_text
from seglab.images.outlines import PREDICTION, TRUTH, overlay, write_image
from seglab.images.reader import read_image
from seglab.recipes.files import recipe_names
from seglab.recipes.recipe import load_recipe


def test_synth_writes_pairs_of_the_sizes_asked_for(tmp_path: Path) -> None:
    call = ["synth", "--out", str(tmp_path), "--count", "3", "--size", "64x48", "--size", "40x80"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    images = sorted((tmp_path / "images").iterdir())
    assert len(images) == 3
    assert {read_image(path).shape for path in images} <= {(48, 64, 3), (80, 40, 3)}
    assert [path.stem for path in sorted((tmp_path / "masks").iterdir())] == [path.stem for path in images]


@pytest.mark.parametrize("size", ["64", "64x", "0x48", "axb", "64x48x3"])
def test_sizes_that_are_none_are_refused(tmp_path: Path, size: str) -> None:
    result = CliRunner().invoke(main, ["synth", "--out", str(tmp_path), "--size", size])
    assert result.exit_code == 2
    assert "width x height" in result.output


def test_recipes_are_listed() -> None:
    head, *lines = CliRunner().invoke(main, ["recipes"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    assert max(map(len, [head, *lines])) <= 80
    recipe = load_recipe("quick")
    quick = next(line for line in lines if line.startswith("quick "))
    assert f"{recipe.arch} / {recipe.encoder}" in quick
    assert [str(recipe.size), str(recipe.epochs)] == quick.split()[4:6]
    assert quick[head.index("  for") :].strip(), "what it is for"


@pytest.mark.parametrize("name", recipe_names())
def test_the_settings_of_a_recipe_are_a_recipe(tmp_path: Path, name: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(CliRunner().invoke(main, ["recipes", name]).stdout)
    assert load_recipe(str(file)) == load_recipe(name)
    kept = file.read_text()
    assert all(f"\n{key} = " in kept for key in vars(load_recipe(name))), "every setting is there"


def test_overlays_draw_both_outlines_and_leave_the_rest() -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    mask, truth = np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)
    mask[10:30, 10:30] = truth[35:55, 50:70] = 255
    picture = overlay(image, mask, truth)
    for (row, column), colour in (((10, 20), PREDICTION), ((35, 60), TRUTH)):
        drawn = picture[row, column].astype(int)
        assert abs(drawn - colour).sum() < abs(drawn - 90).sum(), "the line's colour outweighs the picture's"
    assert picture[20, 20].tolist() == [90, 90, 90]
    assert image.min() == 90, "the image itself must stay as it was"


def test_pictures_are_written_by_their_suffix(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 255
    write_image(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as written:
        assert np.array_equal(np.asarray(written), picture)
    with pytest.raises(ConfigError, match=r"\.png or \.jpg"):
        write_image(tmp_path / "a.gif", picture)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_text("torn")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_as_long_as_a_file_system_takes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("皮" * 83 + ".png")  # 253 bytes
    write_text(path, "mask")
    assert path.read_text() == "mask"


@pytest.mark.parametrize("command", [["train", "--recipe", "quick", "--out"], ["validate"]])
def test_what_is_not_installed_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    result = CliRunner().invoke(main, [*command, str(tmp_path / "x"), "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "missing: torch. Install them: pip install 'seglab[train]'." in result.output
    assert isinstance(result.exception, SystemExit)


def test_only_networks_of_smp_need_smp(monkeypatch: pytest.MonkeyPatch) -> None:
    from seglab.networks.build import build_network
    from seglab.networks.checkpoints import NetworkSpec

    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    build_network(NetworkSpec("unet-scratch", options={"widths": [4, 8]}))
    with pytest.raises(MissingDependencyError, match=r"built by segmentation-models-pytorch; missing: .* pip install"):
        build_network(NetworkSpec("unet", "resnet18"))


@pytest.mark.parametrize("place", ["of the group", "of the command"])
def test_a_stop_while_options_are_read_is_said_as_any_other(place: str) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    late: list[click.Parameter] = [click.Option(["--late"], callback=stopped)]
    group = CommandGroup("group", params=late if place == "of the group" else [])
    group.add_command(click.Command("work", params=late if place == "of the command" else []))
    ended = CliRunner().invoke(group, ["work"])
    assert ended.exit_code == 130
    assert ended.output == "Interrupted; run the same command again to continue.\n"
