"""The split that a run keeps, and its pairs again: moved, renamed, with others, or with some missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from seglab.data.collection import Collection, DataSet
from seglab.data.kept_split import ids_of, missing_ids, split_by_file, split_by_ids
from seglab.data.pairs import FilePair
from seglab.data.splits import ASKED, IN_ANOTHER_SET, NOT_IN_FILE, NOT_IN_RUN, Split, make_split, write_split


def data_set(name: str, ids: list[str], parts: dict[str, str] | None = None) -> DataSet:
    pairs = [
        FilePair(id, Path(name, f"{number}.jpg"), Path(name, f"{number}.png"), part=(parts or {}).get(id, ""))
        for number, id in enumerate(ids)
    ]
    return DataSet(name, Path(name), "", tuple(pairs))


def sources(split: Split) -> dict[str, list[str]]:
    return {part: [pair.source for pair in pairs] for part, pairs in split.parts().items()}


def test_a_split_comes_back_in_its_order_whatever_the_order_of_the_data() -> None:
    plain = data_set("plain", ["1", "2", "3", "4", "5"])
    one, two, three, four, _ = plain.pairs
    split = Split("seeded", 0, (three, one), (four,), (two,))
    turned = dataclasses.replace(plain, pairs=plain.pairs[::-1])
    again = split_by_ids(Collection((turned,)), ids_of(split), ["plain"])
    assert sources(again) == sources(split)
    assert [pair.id for pair in again.unused[NOT_IN_RUN]] == ["5"]


@pytest.mark.parametrize("now", [["a", "c"], ["c", "a"]])
def test_ids_of_sets_with_the_same_numbers_follow_a_set_that_was_renamed(now: list[str]) -> None:
    both = {name: data_set(name, [f"{name}/1", f"{name}/2"]) for name in ("a", "b", "c")}
    split = Split("seeded", 0, both["a"].pairs, both["b"].pairs)
    again = split_by_ids(Collection(tuple(both[name] for name in now)), ids_of(split), ["a", "b"])
    assert [pair.id for pair in again.training] == ["a/1", "a/2"]
    assert [pair.id for pair in again.validation] == ["c/1", "c/2"]


def test_a_set_named_alone_has_bare_ids_and_the_other_way_round() -> None:
    ids = {"training": ["a/1", "b/1"], "validation": ["a/2", "b/2"]}
    alone = split_by_ids(Collection((data_set("b", ["1", "2"]),)), ids, ["a", "b"])
    assert sources(alone) == {"training": ["b/0.jpg"], "validation": ["b/1.jpg"], "test": []}
    assert missing_ids(alone, ids, "training") == 1
    together = Collection((data_set("a", ["a/1", "a/2"]), data_set("b", ["b/1", "b/2"])))
    again = split_by_ids(together, {"training": ["1"], "validation": ["2"]}, ["b"])
    assert sources(again) == {"training": ["b/0.jpg"], "validation": ["b/1.jpg"], "test": []}


def test_a_picture_that_two_sets_have_is_on_one_side_and_as_often_as_it_was() -> None:
    first = data_set("2018", ["ISIC_1", "ISIC_2"], {"ISIC_1": "training", "ISIC_2": "training"})
    second = data_set("2017", ["ISIC_1", "ISIC_2"], {"ISIC_1": "validation", "ISIC_2": "training"})
    ids = {"training": ["ISIC_2", "ISIC_2"], "validation": ["ISIC_1"]}
    once = split_by_ids(Collection((first, second)), ids)
    assert sources(once) == {"training": ["2018/1.jpg", "2017/1.jpg"], "validation": ["2017/0.jpg"], "test": []}
    assert [pair.source for pair in once.unused[NOT_IN_RUN]] == ["2018/0.jpg"]


def test_a_split_file_gives_the_same_split_in_the_same_order(tmp_path: Path) -> None:
    found = Collection((data_set("plain", [f"i{number}" for number in range(20, 0, -1)]),))
    split = make_split(found.by_set, "seeded", seed=3, test_share=0.2)
    write_split(tmp_path / "split.json", split)
    again, missing = split_by_file(found, tmp_path / "split.json")
    assert (ids_of(again), again.method, missing) == (ids_of(split), "file", 0)
    more, missing = split_by_file(
        Collection((data_set("plain", [*(f"i{number}" for number in range(2, 21)), "new"]),)), tmp_path / "split.json"
    )
    assert missing == 1
    assert [pair.id for pair in more.unused[NOT_IN_FILE]] == ["new"]
    assert more.unused.keys() <= ASKED


def test_a_picture_that_is_held_out_in_another_set_does_not_come_back_by_a_file(tmp_path: Path) -> None:
    parts = {"ISIC_1": "training", "ISIC_2": "training", "ISIC_3": "training", "ISIC_4": "validation"}
    first = data_set("2018", list(parts), parts)
    second = data_set("2017", list(parts)[:3], parts | {"ISIC_1": "validation"})
    both = Collection((first, second))
    split = make_split(both.by_set, "auto")
    assert [pair.source for pair in split.unused[IN_ANOTHER_SET]] == ["2018/0.jpg"]
    assert sources(split)["training"] == ["2018/1.jpg", "2018/2.jpg", "2017/1.jpg", "2017/2.jpg"]
    write_split(tmp_path / "split.json", split)
    again, missing = split_by_file(both, tmp_path / "split.json")
    assert sources(again) == sources(split)
    assert missing == 0


def test_a_split_file_knows_one_set_that_was_renamed_and_guesses_no_more(tmp_path: Path) -> None:
    sets = {name: data_set(name, [f"{name}/1", f"{name}/2"]) for name in ("a", "b", "c", "d")}
    write_split(tmp_path / "split.json", Split("seeded", 0, sets["a"].pairs, sets["b"].pairs))
    again, missing = split_by_file(Collection((sets["c"], sets["a"])), tmp_path / "split.json")
    assert sources(again) == {"training": ["a/0.jpg", "a/1.jpg"], "validation": ["c/0.jpg", "c/1.jpg"], "test": []}
    assert missing == 0
    _, missing = split_by_file(Collection((sets["c"], sets["d"])), tmp_path / "split.json")
    assert missing == 4
