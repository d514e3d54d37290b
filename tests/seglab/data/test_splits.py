"""Splits: nothing on two sides, whatever the method; and a file that gives the same split again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.pairs import FilePair, Pair
from seglab.data.splits import (
    SAME_PICTURE,
    Split,
    limited,
    make_split,
    read_ids,
    read_split,
    split_by_file,
    validates,
    write_split,
)
from seglab.errors import ConfigError, DataError


def pairs_of(ids: list[str], lesions: list[str] | None = None, parts: list[str] | None = None) -> list[Pair]:
    return [
        FilePair(id, Path(f"{id}.jpg"), Path(f"{id}.png"), lesion, part)
        for id, lesion, part in zip(ids, lesions or ids, parts or [""] * len(ids), strict=True)
    ]


def ids_of(split: Split) -> tuple[set[str], ...]:
    return tuple({pair.id for pair in pairs} for pairs in split.parts().values())


def test_the_validation_fifth_is_fixed_by_the_id() -> None:
    ids = [f"ISIC_{number:07d}" for number in range(300)]
    training, validation, test = ids_of(make_split(pairs_of(ids), "fifth"))
    assert validation == {id for id in ids if validates(id)}
    assert 40 < len(validation) < 80
    assert training == set(ids) - validation
    assert not test
    assert validates("ISIC_0000003") is False
    assert validates("ISIC_0000000") is False


def test_twins_of_held_out_pictures_do_not_train() -> None:
    ids = sorted({id for pair in SAME_PICTURE for id in pair}) + [f"x{number}" for number in range(30)]
    trained, _, _ = ids_of(make_split(pairs_of(ids), "fifth", exclude=["ISIC_0012970"]))
    assert "ISIC_0012127" not in trained
    for one, other in SAME_PICTURE:
        if validates(one) or validates(other):
            assert not trained & {one, other}


@given(
    st.lists(st.integers(0, 12), min_size=12, max_size=60).filter(lambda found: len(set(found)) > 8),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.2]),
)
def test_a_lesion_is_on_one_side_only(lesions: list[int], seed: int, test_share: float) -> None:
    pairs = pairs_of([f"i{n}" for n in range(len(lesions))], [f"lesion{n}" for n in lesions])
    split = make_split(pairs, "seeded", seed=seed, val_share=0.3, test_share=test_share)
    sides = [{pair.lesion for pair in side} for side in split.parts().values()]
    assert sum(map(len, sides)) == len(set(lesions))
    assert len(sides[1]) == round(0.3 * len(set(lesions)))
    assert len(sides[2]) == round(test_share * len(set(lesions)))
    assert sum(map(len, ids_of(split))) == len(pairs)
    assert split == make_split(pairs, "auto", seed=seed, val_share=0.3, test_share=test_share)


def test_twins_are_split_together() -> None:
    ids = sorted({id for pair in SAME_PICTURE for id in pair}) + [f"x{number}" for number in range(10)]
    for seed in range(8):
        sides = ids_of(make_split(pairs_of(ids), "seeded", seed=seed, val_share=0.4))
        for one, other in SAME_PICTURE:
            assert any({one, other} <= side for side in sides)


def test_official_parts_are_taken_where_there_are_any() -> None:
    ids = [f"i{number}" for number in range(10)]
    parts = ["training"] * 6 + ["validation"] * 2 + ["test"] * 2
    split = make_split(pairs_of(ids, parts=parts))
    assert split.method == "official"
    assert ids_of(split) == (set(ids[:6]), set(ids[6:8]), set(ids[8:]))
    lesions = ["same", *ids[1:6], "same", *ids[7:]]
    assert "i0" not in ids_of(make_split(pairs_of(ids, lesions, parts)))[0]


def test_without_an_official_validation_part_some_of_the_training_part_validates() -> None:
    ids = [f"i{number}" for number in range(12)]
    training, validation, test = ids_of(make_split(pairs_of(ids, parts=["training"] * 10 + ["test"] * 2)))
    assert (len(training), len(validation)) == (8, 2)
    assert test == {"i10", "i11"}
    with pytest.raises(ConfigError, match="no official training part"):
        make_split(pairs_of(ids), "official")


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(DataError, match="leave 0 for training"):
        make_split(pairs_of(["a"]), "fifth", exclude=["a"])


def test_a_limit_draws_from_the_training_part_only() -> None:
    split = make_split(pairs_of([f"i{number}" for number in range(40)]), "seeded")
    few = limited(split, 5, seed=1)
    assert len(few.training) == 5
    assert few.validation == split.validation
    assert few == limited(split, 5, seed=1)
    assert few != limited(split, 5, seed=2)
    assert limited(split, 0, 1) is split


def test_a_split_file_gives_the_same_split(tmp_path: Path) -> None:
    pairs = pairs_of([f"i{number}" for number in range(20)])
    split = make_split(pairs, "seeded", seed=3, test_share=0.2)
    write_split(tmp_path / "split.json", split)
    again = split_by_file(pairs, tmp_path / "split.json")
    assert ids_of(again) == ids_of(split)
    assert again.method == "file"
    assert read_split(tmp_path / "split.json")["test"] == {pair.id for pair in split.test}
    with pytest.raises(DataError, match="names 0 of these 1 pairs"):
        split_by_file(pairs_of(["other"]), tmp_path / "split.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "seglab split"}', '{"kind": "else", "format_version": 1}'])
def test_a_torn_or_foreign_split_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match="cannot be read as a split"):
        read_split(tmp_path / "split.json")


def test_ids_to_exclude_come_from_a_folder_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "notes.txt"):
        (tmp_path / "images" / name).touch()
    (tmp_path / "ids.txt").write_text("a\n\n b \n")
    assert read_ids(tmp_path / "images") == {"a"}
    assert read_ids(tmp_path / "ids.txt") == {"a", "b"}
    with pytest.raises(DataError, match="cannot be read"):
        read_ids(tmp_path / "gone.txt")
