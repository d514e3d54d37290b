"""Folds: every pair validates once, and no lesion is on two sides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.folds import fold_splits
from seglab.data.pairs import FilePair
from seglab.data.splits import HELD_OUT
from seglab.errors import DataError


def pairs_of(lesions: list[str], parts: dict[int, str] | None = None) -> list[FilePair]:
    return [
        FilePair(
            f"image_{number}", Path(f"i{number}.png"), Path(f"m{number}.png"), lesion, (parts or {}).get(number, "")
        )
        for number, lesion in enumerate(lesions)
    ]


@given(
    lesions=st.lists(st.sampled_from([f"lesion_{number}" for number in range(12)]), min_size=12, max_size=60),
    count=st.integers(2, 5),
    seed=st.integers(0, 3),
)
def test_every_pair_validates_once_and_no_lesion_is_on_two_sides(lesions: list[str], count: int, seed: int) -> None:
    pairs = pairs_of(lesions)
    if len(set(lesions)) < count:
        with pytest.raises(DataError, match=f"{len(set(lesions))} lesions cannot be divided into {count} folds"):
            fold_splits(pairs, count, seed)
        return
    splits = fold_splits(pairs, count, seed)
    assert Counter(pair.id for split in splits for pair in split.validation) == Counter(pair.id for pair in pairs)
    for split in splits:
        assert {pair.id for pair in split.training} | {pair.id for pair in split.validation} == {p.id for p in pairs}
        assert not {pair.lesion for pair in split.training} & {pair.lesion for pair in split.validation}
    assert splits == fold_splits(pairs, count, seed)


def test_folds_are_as_large_as_one_another_and_drawn_by_the_seed() -> None:
    pairs = pairs_of([f"lesion_{number // 2}" for number in range(40)])
    first, other = fold_splits(pairs, 4, 0), fold_splits(pairs, 4, 1)
    assert [len(split.validation) for split in first] == [10] * 4
    assert first[0].validation != other[0].validation


def test_two_ids_of_one_picture_are_in_one_fold() -> None:
    twins = [FilePair(id, Path(id), Path(id)) for id in ("ISIC_0012152", "ISIC_0015979", *map(str, range(8)))]
    for seed in range(5):
        sides = [{pair.id for pair in split.validation} for split in fold_splits(twins, 5, seed)]
        assert sum({"ISIC_0012152", "ISIC_0015979"} <= side for side in sides) == 1


def test_an_official_test_part_is_kept_out_of_all_folds() -> None:
    lesions = ["a", "b", "c", "d", "e", "a"]
    parts = {0: "training", 1: "training", 2: "validation", 3: "training", 4: "test", 5: "test"}
    splits = fold_splits(pairs_of(lesions, parts), 3)
    assert [[pair.id for pair in split.test] for split in splits] == [["image_4", "image_5"]] * 3
    assert {pair.id for split in splits for pair in split.validation} == {"image_1", "image_2", "image_3"}
    assert [pair.id for pair in splits[0].unused[HELD_OUT]] == ["image_0"], "its lesion is in the test part"
    alone = pairs_of(lesions, dict.fromkeys(range(6), "test"))
    assert sum(len(split.validation) for split in fold_splits(alone, 3)) == 6
