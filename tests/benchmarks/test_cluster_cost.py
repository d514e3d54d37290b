"""What a unit costs: the study with little of everything, and the bytes of a part, which are no matter of time."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.studies import cluster_cost, cluster_sim
from benchmarks.support.cluster_rows import NAMES, part_sizes, realistic
from benchmarks.support.unit_costs import STEPS


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="getrusage")
def test_the_study_measures_all_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    ended = CliRunner().invoke(cluster_cost.main, ["--quick", "--json", str(file)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    found = json.loads(file.read_text())
    measured = {name: found[name] for name in cluster_sim.MEASURED}
    assert all(map(math.isfinite, measured.values()))  # the overhead is a difference, of little here
    assert measured["driver_seconds_per_unit"] > 0
    assert measured["images_per_second"] > 0
    file.write_text(json.dumps(found | {"unit_overhead_seconds": abs(found["unit_overhead_seconds"])}))
    assert cluster_sim.read_measured(file).keys() == measured.keys()
    assert [row["unit"] for row in found["driver"]] == [5, 20]
    assert all(row["seconds_per_unit"] > row["seconds_per_image"] > 0 for row in found["driver"])
    assert set(found["cpu_seconds_per_image"]) == {"unit, into a tar", "run, into a tar", "run, into a folder"}
    assert all(value > 0 for value in found["cpu_seconds_per_image"].values())
    assert set(found["unit_to_run"]) == {"run, into a tar", "run, into a folder"}
    for place in ("folder", "bucket"):
        assert math.isfinite(found["unit_seconds"][place])
        assert set(found["steps_seconds"][place]) == set(STEPS.values())
        assert all(seconds > 0 for seconds in found["steps_seconds"][place].values())
    assert set(found["bytes_per_image"]) == set(NAMES)
    for title in ("| images per unit |", "| way |", "| step of a unit, ms | folder | bucket |", "| names of files |"):
        assert title in ended.output


def test_the_ledger_has_at_most_80_bytes_per_image() -> None:
    sizes = part_sizes("numbered", 5000)
    assert 32 + 16 < sizes.ledger <= cluster_cost.MOST_BYTES
    assert 16 < sizes.manifest < 30


def test_the_rows_that_are_weighed_are_varied() -> None:
    """No figure repeats so often that it costs nothing."""
    entries, rows = realistic("numbered", 2000)
    assert len({entry.path for entry in entries}) == len({row.mask for row in rows}) == 2000
    assert len({row.version for row in rows}) == len({row.sha256 for row in rows}) == 2000
    for name in ("bytes", "lesion_area", "confidence", "suitable", "offset"):
        assert len({getattr(row, name) for row in rows}) > 1900, name
    for name in ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "size", "mtime_ns", "seconds"):
        assert len({getattr(row, name) for row in rows}) > 200, name
