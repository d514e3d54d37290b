"""Settings of a run and the key that decides what is done again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batch.settings import RunSettings
from seglab.errors import ConfigError

PLAIN = RunSettings(("images",), Path("out"))
MODEL = "0" * 64


@pytest.mark.parametrize(
    "wrong",
    [{"sources": ()}, {"mask_bits": 2}, {"batch": 0}, {"workers": 0}, {"limit": -1}, {"name": "mask.png"}],
)
def test_values_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(PLAIN, **wrong)


@pytest.mark.parametrize("change", [{"exact": True}, {"mask_bits": 1}, {"any_dicom": True}])
def test_what_changes_masks_changes_the_key(change: dict[str, Any]) -> None:
    assert replace(PLAIN, **change).key(MODEL, "fp32") != PLAIN.key(MODEL, "fp32")
    assert PLAIN.key("1" * 64, "fp32") != PLAIN.key(MODEL, "fp32")
    assert PLAIN.key(MODEL, "bf16") != PLAIN.key(MODEL, "fp32")


def test_the_default_of_mask_bits_has_its_own_key() -> None:
    assert replace(PLAIN, mask_bits=8).key(MODEL, "fp32") == PLAIN.key(MODEL, "fp32")


@pytest.mark.parametrize(
    "change",
    [{"sources": ("other",)}, {"device": "cpu"}, {"batch": 3}, {"workers": 9}, {"limit": 5}, {"overlays": Path("o")}],
)
def test_what_does_not_change_masks_does_not_change_the_key(change: dict[str, Any]) -> None:
    assert replace(PLAIN, **change).key(MODEL, "fp32") == PLAIN.key(MODEL, "fp32")


@pytest.mark.parametrize("name", ["sources", "files_from"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [("./a", ("./a",)), (Path("a"), ("a",)), (["a", Path("b")], ("a", "b")), (b"\xff", ("\udcff",))],
)
def test_sources_are_paths_or_texts_one_or_several(name: str, value: Any, expected: tuple[str, ...]) -> None:
    values: dict[str, Any] = {"sources": ("photos",), name: value}
    assert getattr(RunSettings(out=Path("masks"), **values), name) == expected
    with pytest.raises(ConfigError, match=rf"{name} is 7; expected a path or a string"):
        RunSettings(out=Path("masks"), **{**values, name: 7})
