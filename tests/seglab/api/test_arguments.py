"""Arguments of ``seglab.train`` and settings of recipes share one call: no name may mean both."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

import seglab
from seglab.api.training import changes_of
from seglab.errors import ConfigError
from seglab.recipes.recipe import Recipe, load_recipe


def test_no_setting_is_called_as_an_argument() -> None:
    own = set(inspect.signature(seglab.train).parameters)
    assert own & {field.name for field in dataclasses.fields(Recipe)} == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 7), ("lr", 1e-05), ("lr", 1), ("compile", True), ("widths", (8, 16)), ("widths", [8]),
        ("encoder", "a \"b\" \\ c'\n\u00e9"), ("init", Path("runs/a b/best.pt")), ("arch", "unet-plain"),
    ],
)  # fmt: skip
def test_a_value_arrives_as_it_was_given(name: str, value: object) -> None:
    arrived = getattr(load_recipe("quick", changes_of({name: value})), name)
    assert arrived == (tuple(value) if isinstance(value, list) else str(value) if isinstance(value, Path) else value)


def test_soft_masks_are_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quick", changes_of({"soft_masks": "soft"})).soft_masks == str(tmp_path / "soft")


@pytest.mark.parametrize("value", [None, {}, object(), b"unet", [1.5]])
def test_what_no_setting_can_be_is_said(value: object) -> None:
    with pytest.raises(ConfigError, match=r"arch is .*; expected a string, a number, True, False, or a list"):
        changes_of({"arch": value})
