"""Splits: nothing on two sides, whatever the method; and a file that gives the same split again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.groups import SAME_PICTURE
from seglab.data.pairs import FilePair, Pair
from seglab.data.splits import (
    HELD_OUT,
    IN_ANOTHER_SET,
    NOT_DRAWN,
    Split,
    limited,
    make_split,
    read_ids,
    read_split,
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


def isic(numbers: range, part: str = "", lesions: str = "") -> list[Pair]:
    """Pairs with ids of ISIC, all of one part."""
    ids = [f"ISIC_{number:07d}" for number in numbers]
    return pairs_of(ids, [f"{lesions}{id}" for id in ids], [part] * len(ids))


def test_sets_with_parts_keep_them_and_from_the_others_lesions_are_drawn() -> None:
    challenge = isic(range(20), "training") + isic(range(20, 25), "validation") + isic(range(25, 30), "test")
    ham = isic(range(100, 200))
    split = make_split({"challenge": challenge, "ham": ham})
    assert split.method == "auto"
    assert not split.unused
    training, validation, test = ids_of(split)
    assert training >= {pair.id for pair in challenge[:20]}
    assert validation >= {pair.id for pair in challenge[20:25]}
    assert test == {pair.id for pair in challenge[25:]}
    assert (len(training), len(validation)) == (20 + 80, 5 + 20)


def test_an_official_part_in_one_set_holds_in_all() -> None:
    challenge = isic(range(6), "training") + isic(range(6, 9), "validation")
    again = isic(range(4, 20), "training", lesions="other name ")  # 4 to 8 are in both
    split = make_split({"challenge": challenge, "again": again})
    assert not split.unused, "pictures of the undivided set go where their lesion is"
    assert [pair.id for pair in split.validation if pair in again][:3] == [
        "ISIC_0000006",
        "ISIC_0000007",
        "ISIC_0000008",
    ]
    divided = {"challenge": challenge, "again": isic(range(4, 20), "training") + isic(range(20, 22), "test")}
    split = make_split(divided)
    assert {reason: [pair.id for pair in pairs] for reason, pairs in split.unused.items()} == {
        IN_ANOTHER_SET: ["ISIC_0000006", "ISIC_0000007", "ISIC_0000008"]
    }
    assert split.method == "official"


def test_each_set_without_a_validation_part_gives_some_of_its_training_part() -> None:
    with_test = {"2016": isic(range(900), "training") + isic(range(900, 1279), "test")}
    split = make_split(with_test, val_share=0.1)
    assert [len(pairs) for pairs in split.parts().values()] == [810, 90, 379]
    both = with_test | {"2017": isic(range(2000, 2010), "training") + isic(range(2010, 2015), "validation")}
    assert [len(pairs) for pairs in make_split(both, val_share=0.1).parts().values()] == [820, 95, 379]
    assert [len(pairs) for pairs in make_split(both, "official").parts().values()] == [910, 5, 379]


def test_a_training_folder_and_its_validation_folder_may_be_named_apart() -> None:
    split = make_split({"a": isic(range(8), "training"), "b": isic(range(8, 12), "validation")})
    assert (len(split.training), len(split.validation), split.method) == (8, 4, "official")
    alone = make_split({"a": isic(range(8), "training"), "c": isic(range(20, 22))})
    assert alone.method == "seeded"
    assert make_split({"b": isic(range(8), "test")}).method == "seeded"


def test_what_an_official_split_would_lose_is_said() -> None:
    challenge = isic(range(6), "training") + isic(range(6, 9), "validation")
    with pytest.raises(ConfigError, match=r"5 of 5 images of ham have no official part.*--set split=auto"):
        make_split({"challenge": challenge, "ham": isic(range(100, 105))}, "official")


@given(st.data(), st.sampled_from(["auto", "fifth", "seeded"]))
def test_every_pair_is_in_one_place_and_every_group_on_one_side(data: st.DataObject, method: str) -> None:
    sets: dict[str, list[Pair]] = {}
    for name in ("a", "b", "c"):
        ids = data.draw(st.lists(st.integers(0, 30), unique=True, min_size=8, max_size=20))
        parts = data.draw(
            st.sampled_from([[""], ["training"], ["training", "test"], ["training", "validation", "test"]])
        )
        sets[name] = [
            FilePair(f"ISIC_{number:07d}", Path(f"{name}/{number}.jpg"), Path("t.png"), f"{name}{number // 3}", part)
            for number in ids
            for part in [data.draw(st.sampled_from(parts))]
        ]
    try:
        split = make_split(sets, method, seed=data.draw(st.integers(0, 3)), val_share=0.3, test_share=0.1)
    except DataError:  # nothing is left to train or validate
        return
    sides = list(split.parts().values())
    placed = [pair for pairs in (*sides, *split.unused.values()) for pair in pairs]
    assert sorted(pair.source for pair in placed) == sorted(pair.source for pairs in sets.values() for pair in pairs)
    for key in ("lesion", "id"):
        found = [{getattr(pair, key) for pair in side} for side in sides]
        assert sum(map(len, found)) == len(set.union(*found)), key
    assert split.unused.keys() <= {HELD_OUT, IN_ANOTHER_SET}
    if method == "seeded":
        assert not split.unused


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(DataError, match="leave 0 for training"):
        make_split(pairs_of(["a"]), "fifth", exclude=["a"])


def test_a_limit_draws_from_the_training_part_only() -> None:
    split = make_split(pairs_of([f"i{number}" for number in range(40)]), "seeded")
    few = limited(split, 5, seed=1)
    assert len(few.training) == 5
    assert few.validation == split.validation
    assert len(few.unused[NOT_DRAWN]) == 27
    assert set(few.training) | set(few.unused[NOT_DRAWN]) == set(split.training)
    assert few == limited(split, 5, seed=1)
    assert few != limited(split, 5, seed=2)
    assert limited(split, 0, 1) is split


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "seglab split"}', '{"kind": "else", "format_version": 1}'])
def test_a_torn_or_foreign_split_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match="cannot be read as a split"):
        read_split(tmp_path / "split.json")


def test_a_split_file_with_an_id_on_two_sides_is_an_error(tmp_path: Path) -> None:
    pairs = pairs_of(["a", "b"])
    write_split(tmp_path / "split.json", Split("seeded", 0, tuple(pairs), tuple(pairs[:1])))
    with pytest.raises(DataError, match="names 1 id in two parts, for example a"):
        read_split(tmp_path / "split.json")


def test_ids_to_exclude_come_from_a_folder_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "notes.txt"):
        (tmp_path / "images" / name).touch()
    (tmp_path / "ids.txt").write_text("a.JPG\n\n b \nc.1,0\n")
    assert read_ids(tmp_path / "images") == {"a"}
    assert read_ids(tmp_path / "ids.txt") == {"a", "b", "c.1"}
    with pytest.raises(DataError, match="cannot be read"):
        read_ids(tmp_path / "gone.txt")
