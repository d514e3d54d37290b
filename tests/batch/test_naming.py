"""Names of masks."""

from __future__ import annotations

from itertools import islice

import pytest

from batch.naming import NameTemplate, clash_key
from seglab.errors import ConfigError


@pytest.mark.parametrize(
    ("template", "relative", "expected"),
    [
        ("{stem}.png", "a/b.jpg", ["a/b.png", "a/b.jpg.png", "a/b.jpg.2.png", "a/b.jpg.3.png"]),
        ("{stem}.png", "b.tar.jpg", ["b.tar.png", "b.tar.jpg.png"]),
        ("{stem}_segmentation.png", "x/b.jpg", ["x/b_segmentation.png", "x/b.jpg_segmentation.png"]),
        ("{name}.png", "b.jpg", ["b.jpg.png", "b.jpg.png", "b.jpg.2.png"]),
        ("{stem}-{suffix}.png", "b.jpg", ["b-.jpg.png", "b.jpg-.png"]),
        ("{stem}.png", "no suffix", ["no suffix.png"]),
        ("{stem}.png", "Läsion 1.JPG", ["Läsion 1.png", "Läsion 1.JPG.png"]),
    ],
)
def test_candidates(template: str, relative: str, expected: list[str]) -> None:
    assert list(islice(NameTemplate(template).candidates(relative), len(expected))) == expected


@pytest.mark.parametrize(
    "template",
    ["mask.png", "{id}.png", "{stem}.jpg", "{stem}", "x/{stem}.png", "{stem!r}.png", "{stem:>9}.png", "{stem", "{}.png",
     "..{stem}.png", "{stem.real}.png"],
)  # fmt: skip
def test_templates_that_cannot_be(template: str) -> None:
    with pytest.raises(ConfigError, match="--name") as caught:
        NameTemplate(template)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("one", "other"), [("A.png", "a.PNG"), ("É.png", "e\u0301.png"), ("ß/x.png", "SS/x.png")])
def test_names_that_some_disk_takes_for_the_same(one: str, other: str) -> None:
    assert clash_key(one) == clash_key(other)


def test_other_names_differ() -> None:
    assert len({clash_key(name) for name in ("a.png", "b.png", "a/a.png", "a.png.png", "\udcff.png")}) == 5
