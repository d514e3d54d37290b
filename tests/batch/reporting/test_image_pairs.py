"""Where the paths of one output are in another: each has one place there at most, and back."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from batch.reporting.image_pairs import Roots
from batch.reporting.mask_change import Change, DiceFigures

PATHS = st.lists(st.sampled_from(["a", "b", "c.zip"]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/old/x.png", "/new/x.png"),
        ("/old/deep/x.png", "/new/deep/x.png"),
        ("/old/inner/x.png", "/other/x.png"),
        ("/oldest/x.png", "/oldest/x.png"),
        ("/same/x.png", "/same/x.png"),
        ("/new/x.png", None),  # which is another image there
    ],
)
def test_a_path_below_a_moved_source(path: str, there: str | None) -> None:
    roots = Roots({"/old": "/new", "/old/inner": "/other", "/same": "/same"})
    assert roots.path(path) == there


@given(st.dictionaries(PATHS, PATHS, max_size=3), st.sets(PATHS, max_size=8))
def test_no_two_images_have_one_place(there: dict[str, str], paths: set[str]) -> None:
    unique = {root: other for other, root in {other: root for root, other in there.items()}.items()}
    places = [place for path in paths if (place := Roots(unique).path(path)) is not None]
    nested = any(one != other and one.startswith(f"{other}/") for one in unique.values() for other in unique.values())
    assert nested or len(places) == len(set(places))


def test_figures_of_many_are_those_of_few() -> None:
    figures = DiceFigures()
    for both, gained in ((0, 0), (1, 1), (0, 3), (9, 2)):
        figures.add(Change(both, gained, 0).dice)
    assert figures.mean == pytest.approx((1 + 2 / 3 + 0 + 18 / 20) / 4)
    assert [figures.quantile(share) for share in (0.05, 0.25, 0.5, 0.75, 1.0)] == [0, 0, 0.6667, 0.9, 1]
