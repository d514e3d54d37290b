"""Samples: every image as likely as any other, in the order of the walk, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from batch.sources.bytes import FileBytes
from batch.sources.image_ref import ImageRef, Origin
from batch.sources.sample import drawn


def refs(count: int) -> Iterator[ImageRef]:
    return (ImageRef(f"/p/{n}", str(n), Origin("p"), 1, 1, FileBytes(f"/p/{n}")) for n in range(count))


def numbers(count: int, most: int, seed: int = 0) -> list[int]:
    sample, seen = drawn(refs(count), most, seed)
    assert seen == count
    return [int(item.relative) for item in sample]


def test_it_is_worked_by_hand() -> None:
    """``random.Random(0).random()`` begins 0.844, 0.758, 0.421, 0.259, 0.511: item 3 draws place int(0.844 * 4) = 3,
    item 4 int(0.758 * 5) = 3, item 5 int(0.421 * 6) = 2, item 6 int(0.259 * 7) = 1, item 7 int(0.511 * 8) = 4."""
    assert numbers(8, 3) == [0, 5, 6]


@pytest.mark.parametrize(("count", "most"), [(0, 3), (2, 3), (3, 3)])
def test_where_there_are_no_more_all_are_drawn(count: int, most: int) -> None:
    assert numbers(count, most) == list(range(count))


def test_the_order_is_that_of_the_walk_and_nothing_is_drawn_twice() -> None:
    found = numbers(1000, 100, seed=7)
    assert found == sorted(set(found))
    assert len(found) == 100


def test_the_same_seed_draws_the_same_and_another_one_others() -> None:
    assert numbers(1000, 50, 3) == numbers(1000, 50, 3) != numbers(1000, 50, 4)


def test_each_is_as_likely_as_any_other() -> None:
    """Of 2,000 draws of 5 from 20 each has 500, give or take 5 standard deviations of 19.4."""
    counts = Counter(number for seed in range(2000) for number in numbers(20, 5, seed))
    assert sorted(counts) == list(range(20))
    assert all(abs(count - 500) < 97 for count in counts.values()), counts
