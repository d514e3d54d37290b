"""Names that files are called after, places that are tried beforehand, and JSON that is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from seglab.data.pairs import FilePair
from seglab.errors import WriteError
from seglab.evaluation.figures import Figures
from seglab.evaluation.validate import Judged
from seglab.files import json_text, require_folder, require_writable, safe_name
from seglab.metrics.overlap import Confusion


def test_a_name_has_no_separators_and_a_length_that_fits() -> None:
    assert safe_name("ISIC_0000001") == "ISIC_0000001"
    assert safe_name("set/a:b\n") == "set_a_b_"
    long = [safe_name(letter * 300) for letter in "ab皮"]
    assert all(len(name.encode()) <= 100 for name in long)
    assert safe_name("a" * 300) != safe_name("a" * 301)


def test_a_place_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("old")
    require_writable(kept, "--json")
    require_writable(tmp_path / "new" / "new.json", "--json")
    require_folder(tmp_path / "figures", "--figures")
    assert kept.read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["figures", "kept.json", "new"]
    for place in (tmp_path, kept / "below.json", tmp_path / ("x" * 256)):
        with pytest.raises(WriteError, match="--json"):
            require_writable(place, "--json")


def test_numbers_that_json_has_not_are_null() -> None:
    text = json_text({"a": [float("nan"), 1.5, float("-inf")], "b": {"c": (2, None)}})
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == {
        "a": [None, 1.5, None],
        "b": {"c": [2, None]},
    }


def test_pictures_of_equal_names_and_scores_are_all_kept(tmp_path: Path) -> None:
    figures = Figures(tmp_path)
    blank = np.zeros((8, 8), np.uint8)
    for id in ("a/1", "a_1", "A/1", "a/1"):
        pair = FilePair(id, Path("x.png"), Path("y.png"))
        figures.add(Judged(pair, Confusion(1, 1, 1, 1), np.zeros((8, 8, 3), np.uint8), blank, blank))
    assert figures.error is None
    assert len({path.name.lower() for path in tmp_path.iterdir()}) == 4
