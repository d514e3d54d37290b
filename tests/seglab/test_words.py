"""Numbers agree with their nouns."""

from __future__ import annotations

import pytest

from seglab.words import all_of, counted, noun, of_kind


@pytest.mark.parametrize(("count", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images")])
def test_a_number_has_its_noun(count: int, text: str) -> None:
    assert counted(count, "image") == text


def test_other_plurals_and_verbs_are_told() -> None:
    assert (counted(1, "entry", "entries"), counted(2, "entry", "entries")) == ("1 entry", "2 entries")
    assert (noun(1, "is", "are"), noun(3, "is", "are")) == ("is", "are")
    assert (all_of(1, "truth"), all_of(12, "truth")) == ("the only truth", "all 12 truths")


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        ("truth masks of a data set (PH2)", "1 truth mask of a data set (PH2)"),
        ("superpixel maps of a data set", "1 superpixel map of a data set"),
        ("files named twice in an archive; the last of each counts",
         "1 file named twice in an archive; the last of each counts"),
    ],
)  # fmt: skip
def test_kinds_that_are_named_in_the_plural(kind: str, one: str) -> None:
    assert (of_kind(1, kind), of_kind(3, kind)) == (one, f"3 {kind}")
