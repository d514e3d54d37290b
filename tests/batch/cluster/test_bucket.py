"""Jobs in a bucket: planned, done, collected by the commands, while the bucket is busy and answers are lost."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.support.archive import masks_below, seg_batch
from tests.support.cluster_jobs import plan, progress, run_words
from tests.support.faults import healthy, write_images
from tests.support.proxied_s3 import Proxy, proxied
from tests.support.storage import stored, upload

JOB = "s3://masks/jobs/one"


@pytest.fixture
def bucket(s3: Any, tmp_path: Path) -> Any:
    """A bucket with nine images, one of them broken."""
    write_images(tmp_path / "in", healthy(8) | {"a/bad.png": b"no image"})
    upload(s3, tmp_path / "in", "photos/in")
    return s3


@pytest.fixture
def proxy(s3_endpoint: str, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A proxy before the bucket, for the commands that the test starts."""
    with proxied(s3_endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


def files_of_job(bucket: Any) -> dict[str, bytes]:
    """Return the files of the only ``key=`` of the job."""
    return {name.partition("/")[2]: data for name, data in stored(bucket, JOB[5:]).items()}


def masks_of_job(bucket: Any) -> dict[str, bytes]:
    """Return the masks that the ledger points to."""
    files, found = files_of_job(bucket), {}
    for name, data in files.items():
        if name.startswith("ledger/"):
            for row in pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist():
                if row["status"] == "done":
                    found[row["mask"]] = files[row["tar"]][row["offset"] : row["offset"] + row["size"]]
    return dict(sorted(found.items()))


def reference(tmp_path: Path, model: Path) -> dict[str, bytes]:
    """Return the masks that a run of the same bucket makes."""
    words = ("run", "s3://photos/in", "--out", tmp_path / "ref", "--model", model, "--device", "cpu")
    assert seg_batch(*words).returncode == 3
    return masks_below(tmp_path / "ref")


@pytest.mark.slow
def test_from_bucket_to_bucket_to_folder(model_file: Path, bucket: Any, tmp_path: Path) -> None:
    plan("s3://photos/in", JOB, model_file, "--unit", "4")
    done = seg_batch(*run_words(JOB))
    assert done.returncode == 3, done.stderr
    whole = reference(tmp_path, model_file)
    assert masks_of_job(bucket) == whole
    assert progress(JOB)["images"] == {"planned": 9, "done": 8, "failed": 1}
    assert seg_batch("cluster", "verify", JOB).returncode == 0
    assert seg_batch("cluster", "collect", JOB, "--to", tmp_path / "masks").returncode == 3
    assert masks_below(tmp_path / "masks") == whole
    for name, data in files_of_job(bucket).items():
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
                assert set(tar.getnames()) <= set(whole)


@pytest.mark.slow
def test_masks_as_objects(model_file: Path, bucket: Any, tmp_path: Path) -> None:
    plan("s3://photos/in", JOB, model_file, "--masks", "objects")
    assert seg_batch(*run_words(JOB)).returncode == 3
    made = {
        name.removeprefix("masks/"): data for name, data in files_of_job(bucket).items() if name.startswith("masks")
    }
    assert made == reference(tmp_path, model_file)
    assert seg_batch("cluster", "verify", JOB).returncode == 0


@pytest.mark.slow
def test_a_bucket_that_is_busy_for_a_while(model_file: Path, proxy: Proxy, bucket: Any, tmp_path: Path) -> None:
    plan("s3://photos/in", JOB, model_file, "--unit", "4")
    numbers = iter(range(10**6))
    proxy.refuses = lambda _method, _path: next(numbers) % 3 == 0
    done = seg_batch(*run_words(JOB))
    assert done.returncode == 3, done.stderr
    assert masks_of_job(bucket) == reference(tmp_path, model_file)


@pytest.mark.slow
def test_commits_whose_answers_are_lost(model_file: Path, proxy: Proxy, bucket: Any, tmp_path: Path) -> None:
    """The upload is repeated, finds a file, and must not take its own part for another's and remove its masks."""
    plan("s3://photos/in", JOB, model_file, "--unit", "4")
    lost: set[str] = set()

    def loses(method: str, path: str) -> bool:
        is_new = method == "PUT" and "/ledger/" in path and path not in lost
        lost.add(path) if is_new else None
        return is_new

    proxy.loses = loses
    done = seg_batch(*run_words(JOB))
    assert done.returncode == 3, done.stderr
    assert len(lost) == 3
    assert masks_of_job(bucket) == reference(tmp_path, model_file)


@pytest.mark.slow
def test_a_bucket_that_takes_no_masks_is_said_and_nothing_counts(model_file: Path, proxy: Proxy, bucket: Any) -> None:
    plan("s3://photos/in", JOB, model_file, "--unit", "2")
    proxy.refuses = lambda method, path: method in ("PUT", "POST") and ".tar" in path
    done = seg_batch(*run_words(JOB))
    assert done.returncode == 1, done.stderr
    assert "3 units in a row could not be done" in done.stderr
    assert "cannot be used" in done.stderr
    assert not any(name.startswith("ledger/") for name in files_of_job(bucket))
    proxy.refuses = lambda _method, _path: False
    assert seg_batch(*run_words(JOB)).returncode == 3
    assert progress(JOB)["images"]["done"] == 8


@pytest.mark.slow
def test_a_missing_object_is_a_failed_row(model_file: Path, bucket: Any) -> None:
    plan("s3://photos/in", JOB, model_file)
    bucket.rm("photos/in/003.png")
    assert seg_batch(*run_words(JOB)).returncode == 3
    assert progress(JOB)["images"] == {"planned": 9, "done": 7, "failed": 2}
    assert any("does not exist" in reason for reason in progress(JOB)["reasons"])


@pytest.mark.slow
def test_what_status_asks_does_not_grow_with_the_images(model_file: Path, proxy: Proxy, bucket: Any) -> None:
    plan("s3://photos/in", JOB, model_file, "--unit", "3")
    assert seg_batch(*run_words(JOB)).returncode == 3
    proxy.asked.clear()
    progress(JOB)
    assert not [path for _, path in proxy.asked if "photos" in path or ".tar" in path]
    assert len([path for _, path in proxy.asked if "list-type" in path]) <= 4


def test_a_bucket_that_does_not_exist(model_file: Path, bucket: Any) -> None:
    words = ("--job", "s3://nowhere/job", "--model", model_file, "--device", "cpu")
    done = seg_batch("cluster", "plan", "s3://photos/in", *words)
    assert done.returncode == 1
    assert "there is no such bucket" in done.stderr
    assert "Traceback" not in done.stderr
