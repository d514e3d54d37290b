"""``seg-batch cluster run --engine ray`` on several nodes and a bucket, from which processes and nodes are lost.

Every image has one row and every good one a mask, the same as a run makes; what is done again is what was in work.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive import command, masks_below, seg_batch
from tests.support.cluster_jobs import files_of, ledger_rows, masks_of, plan, progress
from tests.support.faults import PATIENCE, faulty, healthy, run_words, wait_for, write_images
from tests.support.ray_nodes import RayNodes, ray_folder

pytest.importorskip("ray")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="several nodes need Linux")]

JOB = "s3://masks/job"
UNIT = 10
LONG = 240.0


@pytest.fixture(scope="module")
def all_nodes(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[RayNodes]:
    with ray_folder(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # else it kills workers where others fill the memory
        nodes = RayNodes(tmp_path_factory.mktemp("ray"), s3_endpoint)
        yield nodes
        nodes.end()


@pytest.fixture
def nodes(all_nodes: RayNodes, s3: Any) -> Iterator[RayNodes]:
    """The cluster, and an empty store."""
    yield all_nodes
    all_nodes.forget_faults()


def ray_words(nodes: RayNodes, *options: str) -> tuple[str, ...]:
    return ("cluster", "run", JOB, "--engine", "ray", "--address", nodes.address, "--device", "cpu", *options)


def planned(images: dict[str, bytes], folder: Path, s3: Any, model: Path, unit: int = UNIT) -> dict[str, bytes]:
    """Put images into the bucket, and plan a job for them; return the masks that ``seg-batch run`` makes of them."""
    source = write_images(folder / "in", images)
    for name, data in images.items():
        s3.pipe_file(f"photos/{name}", data)
    plan("s3://photos", JOB, model, "--unit", str(unit))
    done = seg_batch(*run_words(source, folder / "out", model))
    assert done.returncode in (0, 3), done.stderr
    return masks_below(folder / "out")


def fetched(s3: Any, folder: Path) -> Path:
    """Return the job as a folder."""
    s3.invalidate_cache()
    s3.get("masks/job", str(folder / "job"), recursive=True)
    return folder / "job"


def units_done(s3: Any) -> int:
    s3.invalidate_cache()
    return len(s3.glob("masks/job/*/ledger/*.parquet"))


def started(nodes: RayNodes, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(*ray_words(nodes, *options)), stderr=subprocess.PIPE, text=True)


def test_workers_killed_between_tar_and_commit(nodes: RayNodes, s3: Any, model_file: Path, tmp_path: Path) -> None:
    expected = planned(healthy(2000, fault="nap"), tmp_path, s3, model_file, unit=200)
    nodes.kill_before_commit("u-00004", 1)
    done = seg_batch(*ray_words(nodes))
    assert done.returncode == 0, done.stderr
    job = fetched(s3, tmp_path)
    assert masks_of(job) == expected
    assert len(ledger_rows(job)) == 2000
    assert nodes.happened("kill") == 1
    assert nodes.happened("nap") == 2200  # the unit that was not committed is done again, and no other
    assert len(files_of(job, "masks")) == 11
    assert "1 tar of attempts" in seg_batch("cluster", "clean", JOB).stdout


def test_a_unit_on_which_every_process_ends_is_not_tried_for_ever(
    nodes: RayNodes, s3: Any, model_file: Path, tmp_path: Path
) -> None:
    planned(healthy(9), tmp_path, s3, model_file, unit=3)
    nodes.kill_before_commit("u-00001", 100)
    done = seg_batch(*ray_words(nodes))
    assert done.returncode == 1, done.stdout
    assert "not done: u-00001: 12 processes ended while they did it (its worker process has died)" in done.stderr
    assert nodes.happened("kill") == 12
    assert progress(JOB)["units"] == {"planned": 3, "done": 2, "pending": 1}


def test_a_node_that_is_killed(nodes: RayNodes, s3: Any, model_file: Path, tmp_path: Path) -> None:
    images = healthy(60, fault="nap") | {"025.png": healthy(60, fault="node:1")["025.png"]}
    expected = planned(images, tmp_path, s3, model_file)
    done = seg_batch(*ray_words(nodes))
    assert nodes.replace_lost() == 1
    assert done.returncode == 0, done.stderr
    job = fetched(s3, tmp_path)
    assert masks_of(job) == expected
    (mark,) = files_of(job, "attempts")
    assert mark.startswith("u-00002/")
    assert 59 <= nodes.happened("nap") < 59 + UNIT


def test_a_driver_that_is_killed(nodes: RayNodes, s3: Any, model_file: Path, tmp_path: Path) -> None:
    expected = planned(healthy(80, fault="slow"), tmp_path, s3, model_file)
    run = started(nodes)
    wait_for(lambda: units_done(s3) >= 2, PATIENCE, "nothing was done")
    run.kill()
    run.communicate()
    again = seg_batch(*ray_words(nodes))
    assert again.returncode == 0, again.stderr
    assert "8 units to do" not in again.stderr
    assert masks_of(fetched(s3, tmp_path)) == expected
    assert 80 <= nodes.happened("slow") <= 80 + 2 * UNIT


def test_two_drivers_at_once(nodes: RayNodes, s3: Any, model_file: Path, tmp_path: Path) -> None:
    expected = planned(healthy(80, fault="slow"), tmp_path, s3, model_file)
    runs = [started(nodes, "--workers", "1") for _ in range(2)]
    for run in runs:
        _, said = run.communicate(timeout=LONG)
        assert run.returncode == 0, said
    job = fetched(s3, tmp_path)
    assert masks_of(job) == expected
    assert len(files_of(job, "masks")) == 8  # who came second has removed its tar
    assert not files_of(job, "attempts")


@pytest.mark.parametrize("fault", ["crash", "hang"])
def test_an_image_that_ends_its_process_or_hangs(
    nodes: RayNodes, s3: Any, model_file: Path, tmp_path: Path, fault: str
) -> None:
    images = faulty(fault, count=30) | {"torn.png": healthy(1)["000.png"][:200]}
    expected = planned(images, tmp_path, s3, model_file)  # the file of the image is a good one, without the fault
    done = seg_batch(*ray_words(nodes, "--timeout", "4" if fault == "hang" else "60"))
    assert done.returncode == 3, done.stderr
    job = fetched(s3, tmp_path)
    reasons = {row["mask"]: row["error"] for row in ledger_rows(job) if row["status"] == "failed"}
    assert set(reasons) == {f"000-{fault}.png", "torn.png"}
    assert ("ended twice" if fault == "crash" else "longer than 4 s, twice") in reasons[f"000-{fault}.png"]
    del expected[f"000-{fault}.png"]
    assert masks_of(job) == expected
    assert nodes.happened(fault) <= 5
