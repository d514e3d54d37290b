"""Bootstrap intervals against SciPy's, and what clusters do to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from seglab.errors import DataError
from seglab.metrics import bootstrap
from seglab.metrics.bootstrap import interval


def skewed(count: int) -> list[float]:
    """Dice-like values: most near 0.95, a tail of bad ones."""
    values: list[float] = (1 - np.random.default_rng(3).gamma(0.8, 0.08, count)).clip(0, 1).tolist()
    return values


def test_the_interval_agrees_with_scipy() -> None:
    values = skewed(150)
    reference = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    low, high = interval(values, resamples=20_000)
    width = reference.high - reference.low
    assert low == pytest.approx(reference.low, abs=0.05 * width)
    assert high == pytest.approx(reference.high, abs=0.05 * width)
    assert low < np.mean(values) < high


def test_the_seed_decides_and_blocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = skewed(40)
    whole = interval(values, seed=1)
    assert whole == interval(values, seed=1)
    assert whole != interval(values, seed=2)
    monkeypatch.setattr(bootstrap, "BLOCK", 1)  # one resample at a time
    assert interval(values, seed=1) == whole


def test_a_group_for_each_value_changes_nothing() -> None:
    values = skewed(30)
    names = [f"{number:02}" for number in range(30)]  # in the order of the values
    assert interval(values, names) == interval(values)


def test_photographs_of_one_lesion_do_not_make_the_mean_surer() -> None:
    values = skewed(60)
    fourfold = [value for value in values for _ in range(4)]
    lesions = [str(number) for number in range(60) for _ in range(4)]
    alone = np.diff(interval(values, resamples=8000))[0]
    assert np.diff(interval(fourfold, lesions, resamples=8000))[0] == pytest.approx(alone, rel=0.1)
    assert np.diff(interval(fourfold, resamples=8000))[0] < 0.7 * alone


def test_one_value_and_equal_values_have_no_width() -> None:
    assert interval([0.9]) == (0.9, 0.9)
    assert interval([0.5] * 7) == (0.5, 0.5)


def test_no_values_have_no_interval() -> None:
    with pytest.raises(DataError, match="no score"):
        interval([])
