"""Names tell a truth its own image, or none; never another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.finding.matching import Placed, match
from seglab.data.finding.names import TRUTH_WORDS, truth_id
from seglab.errors import DataError

PIECES = st.sampled_from(["a", "b", "1", "2", "10", "_", "-", "_lesion", "_mask", "mask_", "img", "ISIC_000"])
IDS = st.lists(st.lists(PIECES, min_size=1, max_size=4).map("".join), min_size=1, max_size=12, unique_by=str.casefold)
AFFIXES = st.sampled_from(
    [("", ""), ("", "_mask"), ("", "_lesion"), ("mask_", ""), ("", "_Segmentation"), ("x_", "_y7")]
)


def pairs_of(images: list[str], truths: list[str]) -> dict[str, str]:
    found = match(
        [Placed(Path(f"i/{name}.jpg")) for name in images], [Placed(Path(f"t/{name}.png")) for name in truths]
    )
    return {image.stem: truth.stem for image, truth in found.pairs}


@given(IDS, AFFIXES)
def test_a_truth_is_never_taken_for_that_of_another_image(ids: list[str], affix: tuple[str, str]) -> None:
    try:
        pairs = pairs_of(ids, [f"{affix[0]}{id}{affix[1]}" for id in ids])
    except DataError:
        return
    assert all(truth == f"{affix[0]}{image}{affix[1]}" for image, truth in pairs.items())


@given(st.sets(st.integers(0, 10_000), min_size=2, max_size=30), AFFIXES, st.sampled_from(["", "ISIC_", "img", "a.b-"]))
def test_numbers_are_all_found(numbers: set[int], affix: tuple[str, str], before: str) -> None:
    ids = [f"{before}{number:07}" for number in sorted(numbers)]
    assert len(pairs_of(ids, [f"{affix[0]}{id}{affix[1]}" for id in ids])) == len(ids)


@pytest.mark.parametrize(
    ("images", "truths", "pairs"),
    [
        (["p", "p_lesion"], ["p_lesion", "p_lesion_lesion"], {"p": "p_lesion", "p_lesion": "p_lesion_lesion"}),
        (["x", "x_mask"], ["x_mask", "x_mask_mask"], {"x": "x_mask", "x_mask": "x_mask_mask"}),
        (["A", "a"], ["A", "a"], {"A": "A", "a": "a"}),
        (["A", "a"], ["a"], {"a": "a"}),
        (["A", "a"], ["A_mask", "a_mask"], {"A": "A_mask", "a": "a_mask"}),
        (["X"], ["x"], {"X": "x"}),
        (["1", "2"], ["01", "02"], {}),
        (["2020_1", "2020_2"], ["2021_1", "2021_2"], {}),
        (["foto 1", "foto 2", "foto 3"], ["maske 1", "maske 3"], {"foto 1": "maske 1", "foto 3": "maske 3"}),
        (["foto 1", "foto 2"], ["maske 1", "maske 3"], {}),
        (["ab", "ac"], ["xb", "xc"], {}),  # letters are no ending
        (["a", "img 8", "img 9"], ["a", "x 8", "x 9"], {"a": "a"}),  # what others are called says that these are not
        (["photo 7"], ["mask"], {}),
    ],
)  # fmt: skip
def test_pairs_by_name(images: list[str], truths: list[str], pairs: dict[str, str]) -> None:
    assert pairs_of(images, truths) == pairs


@pytest.mark.parametrize("ending", [f"{apart}{word}" for word in TRUTH_WORDS for apart in "_-"])
def test_a_truth_may_end_as_in_training(ending: str) -> None:
    assert truth_id(Path(f"a/case 7{ending}.png")) == truth_id(Path("case 7.jpg")) == "case 7"
    assert truth_id(Path(f"case{ending}{ending}.png")) == truth_id(Path(f"case{ending}.jpg"))
