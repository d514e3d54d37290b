"""One region, no holes: against scipy's and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from batch.ledger.records import Status
from batch.settings import POSTPROCESSING, RunSettings
from batch.steps.postprocess import STEPS, fill, largest, postprocess
from seglab.errors import ConfigError
from tests.support.archive import SIZE, StandIn, read_grey, run_all, save, spot

MASKS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from([0, 255]))
SQUARE = np.ones((3, 3))


@given(MASKS)
def test_filling_is_scipys(mask: np.ndarray) -> None:
    assert np.array_equal(fill(mask) > 0, ndimage.binary_fill_holes(mask > 0))


@given(MASKS)
def test_the_largest_region_is_scipys(mask: np.ndarray) -> None:
    labels, count = ndimage.label(mask, SQUARE)
    kept = largest(mask)
    if count == 0:
        assert not kept.any()
        return
    areas = ndimage.sum_labels(mask > 0, labels, range(1, count + 1))
    assert np.count_nonzero(kept) == areas.max()
    assert ndimage.label(kept, SQUARE)[1] == 1
    assert np.all(mask[kept > 0] == 255)


def test_what_is_given_stays_as_it_is() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:20], mask[10:12, 10:12], mask[30:33, 30:33] = 255, 0, 255
    before = mask.copy()
    done = postprocess(mask, ["largest", "fill"])
    assert np.array_equal(mask, before)
    assert np.count_nonzero(done) == 15 * 15


@pytest.mark.parametrize("exact", [False, True])
def test_a_run_writes_what_is_left_and_does_it_again_when_asked_otherwise(tmp_path: Path, exact: bool) -> None:
    image = spot(SIZE, SIZE, (2, 2, 20, 20))
    image[8:12, 8:12], image[26:30, 26:30] = 230, 40
    save(tmp_path / "in" / "a.png", image)
    areas = []
    for steps in ((), ("largest",), ("largest", "fill")):
        (result,) = run_all(tmp_path / "in", tmp_path / "out", StandIn(), postprocess=steps, exact=exact)
        assert result.status is Status.DONE
        assert result.figures is not None
        assert result.figures.lesion_area == np.count_nonzero(read_grey(tmp_path / "out" / "a.png"))
        areas.append(result.figures.lesion_area)
    assert areas == [18 * 18 - 16 + 16, 18 * 18 - 16, 18 * 18]
    (result,) = run_all(tmp_path / "in", tmp_path / "out", StandIn(), postprocess=("largest", "fill"), exact=exact)
    assert result.status is Status.SKIPPED


def test_unknown_steps_are_refused() -> None:
    assert set(POSTPROCESSING) == set(STEPS)
    with pytest.raises(ConfigError, match="largest or fill"):
        RunSettings(("x",), Path("y"), postprocess=("smooth",))
