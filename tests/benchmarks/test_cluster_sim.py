"""The simulated cluster: jobs whose times can be worked out by hand, and that nothing is lost or done for nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.studies.cluster_sim import main
from benchmarks.support.simulated.figures import Row, Spread, Way, best_sizes, losses, sensitivity, simulated
from benchmarks.support.simulated.job import ClusterJob, draw
from benchmarks.support.simulated.sharing import hand_out, shards

PLAIN = ClusterJob(
    workers=1, unit=100, images=1000, images_per_second=10, rate_spread=0, slow_share=0, tail=math.inf,
    startup_seconds=5, unit_overhead_seconds=2, driver_seconds_per_unit=0, preemptions_per_hour=0, restart_seconds=30,
)  # fmt: skip
"""Ten units of 12 s each, with nothing left to chance."""
both_ways = pytest.mark.parametrize("way", [hand_out, shards])


def _seconds(way: Way, job: ClusterJob, seed: int = 0) -> float:
    return way(job, draw(job, seed), seed).seconds


@both_ways
def test_one_worker_does_unit_after_unit(way: Way) -> None:
    assert _seconds(way, PLAIN) == pytest.approx(5 + 10 * 12)
    assert draw(PLAIN, 0).ideal_seconds == pytest.approx(100)


@both_ways
def test_two_equal_workers_do_half_each(way: Way) -> None:
    assert _seconds(way, replace(PLAIN, workers=2)) == pytest.approx(5 + 5 * 12)


@both_ways
def test_the_last_unit_may_be_smaller(way: Way) -> None:
    job = replace(PLAIN, images=950)
    assert draw(job, 0).sizes.tolist() == [100.0] * 9 + [50.0]
    assert _seconds(way, job) == pytest.approx(5 + 9 * 12 + 7)


def test_more_workers_than_units_wait() -> None:
    job = replace(PLAIN, workers=50)
    assert _seconds(hand_out, job) == _seconds(shards, job) == pytest.approx(5 + 12)


def test_a_slow_worker_holds_up_its_shard_and_gets_fewer_units_by_hand() -> None:
    """Without overhead a unit takes 10 s, or 30 s on the slow one of two workers."""
    job = replace(PLAIN, workers=2, images=800, unit_overhead_seconds=0, slow_share=0.5, slow_factor=3)
    assert _seconds(shards, job) == pytest.approx(5 + 4 * 30)
    assert _seconds(hand_out, job) == pytest.approx(5 + 6 * 10)
    assert draw(job, 0).ideal_seconds == pytest.approx(40)


def test_a_busy_driver_sets_the_pace() -> None:
    """100 workers need a unit every 0.12 s; the driver takes 1 s for each."""
    job = replace(PLAIN, workers=100, images=100_000, driver_seconds_per_unit=1)
    outcome = hand_out(job, draw(job, 0), 0)
    assert outcome.seconds == pytest.approx(5 + 1000 * 1 + 12)
    assert outcome.driver_seconds == pytest.approx(1000)
    assert _seconds(shards, job) == pytest.approx(5 + 10 * 12)


def test_a_worker_waits_for_its_driver() -> None:
    assert _seconds(hand_out, replace(PLAIN, driver_seconds_per_unit=3)) == pytest.approx(5 + 10 * 15)


@both_ways
def test_a_preempted_unit_starts_again(way: Way) -> None:
    """The worker is lost 6 s into the second unit of 12 s: half a unit is done twice, after 30 + 5 s."""
    drawn = draw(PLAIN, 0)
    drawn.lives[1] = 6
    outcome = way(PLAIN, drawn, 0)
    assert outcome.seconds == pytest.approx(5 + 10 * 12 + 6 + 35)
    assert outcome.lost_images == pytest.approx(50)
    assert outcome.attempts == 11
    assert outcome.commits.tolist() == [1] * 10


@both_ways
def test_lost_images_are_counted_by_number_not_by_cost(way: Way) -> None:
    job = replace(PLAIN, tail=2, alike=100)
    drawn = draw(job, 0)
    drawn.lives[1] = 0.5
    assert drawn.work[1] != pytest.approx(100)
    assert way(job, drawn, 0).lost_images == pytest.approx(100 * 0.5 / (2 + drawn.work[1] / 10))


def test_the_next_free_worker_takes_a_unit_that_comes_back() -> None:
    """Worker 1 loses unit 1 at 11 s. Worker 0 does it next, then 2 and 3; from 46 s on, worker 1 does unit 4 (7 s)."""
    job = replace(PLAIN, workers=2, images=450)
    drawn = draw(job, 0)
    drawn.lives[1] = 6
    assert hand_out(job, drawn, 0).seconds == pytest.approx(5 + 4 * 12)
    assert shards(job, drawn, 0).seconds == pytest.approx(5 + 6 + 35 + 2 * 12)


def test_an_idle_worker_takes_a_unit_that_comes_back() -> None:
    """Three workers and two units: the third worker has nothing to do until the second is lost, 11.5 s later."""
    job = replace(PLAIN, workers=3, images=200)
    drawn = draw(job, 0)
    drawn.lives[1] = 11.5
    assert hand_out(job, drawn, 0).seconds == pytest.approx(5 + 11.5 + 12)


def test_rates_have_the_mean_that_was_given() -> None:
    rates = draw(ClusterJob(4000, 5000, rate_spread=0.5, slow_share=0), 0).rates
    assert rates.mean() == pytest.approx(500, rel=0.03)
    assert np.log(rates).std() == pytest.approx(0.5, rel=0.03)


@both_ways
def test_without_preemption_nothing_is_done_twice(way: Way) -> None:
    job = ClusterJob(8, 100, images=20_000, preemptions_per_hour=0)
    outcome = way(job, draw(job, 3), 3)
    assert outcome.lost_images == 0
    assert outcome.attempts == job.units


@both_ways
def test_preemption_takes_as_long_as_its_formula_says(way: Way) -> None:
    """A unit of D s that is interrupted at rate r, with R s to return, takes (1/r + R) (exp(rD) - 1) s on average."""
    job = replace(PLAIN, images=2_000_000, preemptions_per_hour=150)
    rate, units = 150 / 3600, job.units
    expected = units * (1 / rate + 35) * math.expm1(rate * 12)
    assert _seconds(way, job) == pytest.approx(5 + expected, rel=0.03)


def test_hand_out_is_what_a_list_of_free_times_gives() -> None:
    """Without driver and preemption: unit after unit to the worker that is free first, by hand."""
    job = ClusterJob(7, 50, images=20_000, driver_seconds_per_unit=0, preemptions_per_hour=0, slow_share=0.3, alike=60)
    drawn = draw(job, 5)
    free = np.full(job.workers, job.startup_seconds)
    for work in drawn.work:
        first = int(free.argmin())
        free[first] += job.unit_overhead_seconds + work / drawn.rates[first]
    assert hand_out(job, drawn, 5).seconds == pytest.approx(free.max())


def test_all_sizes_of_unit_have_the_same_workers_and_work() -> None:
    small, large = (draw(ClusterJob(9, unit, images=123_456), 2) for unit in (100, 5000))
    assert small.rates.tolist() == large.rates.tolist()
    assert small.work.sum() == pytest.approx(123_456)
    assert small.work[:50].sum() == pytest.approx(large.work[0])
    assert np.std(small.work[:-1]) > 1  # images differ in cost


JOBS = st.builds(
    ClusterJob, workers=st.integers(1, 20), unit=st.integers(1, 400), images=st.integers(1, 5000),
    rate_spread=st.just(0.3), slow_share=st.sampled_from([0.0, 0.2, 1.0]), alike=st.just(10),
    tail=st.sampled_from([1.5, 3.0, math.inf]), driver_seconds_per_unit=st.sampled_from([0.0, 0.01, 1.0]),
    preemptions_per_hour=st.sampled_from([0.0, 5.0, 100.0]),
)  # fmt: skip


@both_ways
@settings(max_examples=60, deadline=None)
@given(job=JOBS, seed=st.integers(0, 9))
def test_every_unit_is_done_once_and_nothing_beats_the_ideal(way: Way, job: ClusterJob, seed: int) -> None:
    drawn = draw(job, seed)
    outcome = way(job, drawn, seed)
    assert outcome.commits.tolist() == [1] * math.ceil(job.images / job.unit)
    assert drawn.sizes.sum() == job.images
    assert outcome.seconds >= drawn.ideal_seconds + job.startup_seconds - 1e-6
    assert (outcome.lost_images > 0) == (outcome.attempts > job.units)
    assert outcome.lost_images <= (outcome.attempts - job.units) * job.unit
    assert outcome.driver_seconds <= outcome.seconds


def test_units_that_could_never_end_are_refused() -> None:
    with pytest.raises(ValueError, match="Make units smaller or preemptions rarer"):
        draw(replace(PLAIN, unit=1000, preemptions_per_hour=500), 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", 0), ("images_per_second", 0), ("slow_share", 1.1), ("slow_factor", 0.5), ("tail", 1),
     ("startup_seconds", -1), ("restart_seconds", math.inf), ("unit_overhead_seconds", math.nan)],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}; expected "):
        replace(PLAIN, **{name: value})  # type: ignore[arg-type]  # wrong on purpose


def test_rows_hold_what_the_outcomes_say() -> None:
    dealt, fixed = simulated(replace(PLAIN, driver_seconds_per_unit=3), 2)
    assert (dealt.way, fixed.way) == ("hand-out", "shards")
    assert dealt.efficiency.median == pytest.approx(100 / 155)
    assert fixed.seconds == pytest.approx(125)
    assert fixed.driver_busy == 0
    assert dealt.driver_busy == pytest.approx(30 / 155)
    assert dealt.unit_seconds == pytest.approx(12)
    assert dealt.objects == 3 * 10 + 2
    assert dealt.twice == Spread(0, 0, 0)


def test_one_parameter_is_changed_at_a_time() -> None:
    """One worker, 10,000 images: 1,000 s, and the overhead once with one unit or twice with the default."""
    found = list(sensitivity(replace(PLAIN, images=10_000), [1], [5000, 10_000], 1))
    overhead = [change for change in found if change.parameter == "unit_overhead_seconds"]
    assert [change.value for change in overhead] == [0.5, 8]
    assert [change.best_unit for change in overhead] == [10_000, 10_000]
    assert [change.best_efficiency for change in overhead] == pytest.approx([1000 / 1005.5, 1000 / 1013])
    assert [change.default_efficiency for change in overhead] == pytest.approx([1000 / 1006, 1000 / 1021])
    assert [change.default_in_shards for change in overhead] == pytest.approx([1000 / 1006, 1000 / 1021])
    assert {change.parameter for change in found} == {"unit_overhead_seconds", "images_per_second"}


def test_the_best_size_is_the_one_that_loses_least_where_it_loses_most() -> None:
    def row(workers: int, unit: int, efficiency: float, way: str = "hand-out") -> Row:
        return Row(workers, unit, 1, way, 1, 1, Spread(efficiency, 0, 1), Spread(0, 0, 0), 0, 5)

    rows = [row(64, 10, 0.9), row(64, 20, 0.93), row(64, 30, 0.95), row(9, 10, 0.8), row(9, 20, 0.785), row(9, 30, 0.5)]
    assert losses([*rows, row(64, 10, 1.0, "shards")]) == pytest.approx({10: 0.05, 20: 0.02, 30: 0.3})
    assert best_sizes(rows) == [20]
    assert best_sizes([row(1, 10, 0.905), row(1, 20, 0.91), row(1, 30, 0.8)]) == [10, 20]


def _study(*options: str) -> Result:
    small = ["--images", "200000", "--workers", "8", "--unit", "1000", "--unit", "50000", "--seeds", "2"]
    return CliRunner().invoke(main, [*small, *options])


def test_it_says_what_is_measured_given_and_assumed(tmp_path: Path) -> None:
    measured = {"driver_seconds_per_unit": 0.001, "unit_overhead_seconds": 0.25, "images_per_second": 100, "more": "x"}
    (tmp_path / "m.json").write_text(json.dumps(measured))
    options = ["--measured", str(tmp_path / "m.json"), "--images-per-second", "200", "--tail", "inf"]
    ended = _study(*options, "--json", str(tmp_path / "out.json"))
    assert ended.exit_code == 0, ended.output
    assert "| images_per_second | 200 | option |" in ended.output
    assert f"| unit_overhead_seconds | 0.25 | measured: {tmp_path / 'm.json'} |" in ended.output
    assert "| slow_factor | 3 | assumed: " in ended.output
    assert "200,000 images on 8 GPUs: ideally 125 s" in ended.output
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["parameters"]["driver_seconds_per_unit"]["value"] == 0.001
    assert [(row["unit"], row["way"]) for row in report["rows"]] == [
        (size, way) for size in (1000, 5000, 50_000) for way in ("hand-out", "shards")
    ]


@pytest.mark.parametrize(
    ("options", "advice"),
    [([], "So the default fits these parameters."), (["--driver-seconds-per-unit", "30"], "plan with `--unit 50000`.")],
)
def test_it_judges_the_default(options: list[str], advice: str) -> None:
    """A unit of 5,000 images takes 10 s, so 8 workers wait for a driver that takes 30 s a unit."""
    ended = _study(*options)
    assert ended.exit_code == 0, ended.output
    assert advice in ended.output
    assert "What this cannot show:\n- A bucket that slows down. 8 GPUs read 4,000 images/s" in ended.output


@pytest.mark.parametrize("text", ["", "[]", '{"images_per_second": 5}', "not there"])
def test_a_file_without_parameters_is_refused(tmp_path: Path, text: str) -> None:
    if text != "not there":
        (tmp_path / "m.json").write_text(text)
    ended = _study("--measured", str(tmp_path / "m.json"))
    assert ended.exit_code == 1
    assert "has no measured parameters" in ended.output


def test_a_parameter_that_makes_no_sense_is_refused_in_words() -> None:
    ended = _study("--slow-share", "2")
    assert ended.exit_code == 1
    assert "Error: slow_share is 2.0; expected 0 to 1. Change it." in ended.output
