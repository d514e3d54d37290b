"""What is said of sets that are put together, and when too much of one would stay unused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from seglab.data.collection import Collection, DataSet, require_used, used_lines
from seglab.data.pairs import FilePair, Pair
from seglab.data.splits import EXCLUDED, Split
from seglab.errors import DataError


def pairs_of(name: str, count: int) -> tuple[Pair, ...]:
    return tuple(FilePair(f"{name}{i}", Path(f"{name}/{i}.jpg"), Path(f"{name}/{i}.png")) for i in range(count))


@pytest.fixture
def found() -> Collection:
    left_out = {"no truth mask": ("images/x.jpg", "images/y.jpg", "images/z.jpg", "images/zz.jpg", "images/zzz.jpg")}
    return Collection(
        (
            DataSet("one", Path("one"), "files", pairs_of("a", 30), left_out, 35, ("what else there is",)),
            DataSet("two", Path("two"), "files", pairs_of("b", 11), {}, 11),
        )
    )


def test_what_is_used_is_said_by_set_and_part(found: Collection) -> None:
    first, second = (entry.pairs for entry in found.sets)
    split = Split(
        "seeded", 0, first[:20] + second[:8], first[20:28] + second[8:10], second[10:], {"for a reason": first[28:]}
    )
    assert list(used_lines(found, split.parts(), split.unused)) == [
        "one: used 28 of 35 images (20 training, 8 validation)",
        "one: 2 not used: for a reason: a28, a29",
        "one: 5 left out: no truth mask: images/x.jpg, images/y.jpg, images/z.jpg and 2 more",
        "one: what else there is",
        "two: used 11 of 11 images (8 training, 2 validation, 1 test)",
    ]
    require_used(found, split)


@pytest.mark.parametrize("count", [3, 30])
def test_a_tenth_of_a_set_unused_stops(found: Collection, count: int) -> None:
    first, second = (entry.pairs for entry in found.sets)
    split = Split("seeded", 0, first[count:] + second[:8], second[8:], (), {"for a reason": first[:count]})
    with pytest.raises(DataError, match=f"{count} of 30 images of one would not be used .{count} for a reason"):
        require_used(found, split)
    require_used(found, dataclasses.replace(split, unused={EXCLUDED: first[:count]}))
