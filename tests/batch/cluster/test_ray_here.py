"""``seg-batch cluster run --engine ray`` on one machine: what it says, how it stops, and how it counts the room."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.cluster.engines.ray_connection import room_in
from batch.cores import cores
from tests.support.archive import masks_below, seg_batch
from tests.support.cluster_jobs import files_of, key_folder, masks_of, plan
from tests.support.faults import PATIENCE, healthy, run_words, started, wait_for, write_images
from tests.support.ray_nodes import ray_folder

pytest.importorskip("pyarrow")

PATH = "os.environ['PYTHONPATH'] = os.environ['SITE'] + ':' + os.environ.get('PYTHONPATH', '')"


@pytest.fixture(autouse=True)
def folder_of_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")  # else it kills workers where others fill the memory
    with ray_folder():
        yield


def ray_words(job: Path, *options: str) -> tuple[str | Path, ...]:
    return ("cluster", "run", job, "--engine", "ray", "--device", "cpu", *options)


def job_of(folder: Path, model: Path, fault: str = "") -> Path:
    plan(write_images(folder / "in", healthy(12, fault=fault)), folder / "job", model, "--unit", "4")
    return folder / "job"


@pytest.mark.slow
def test_a_ray_of_this_machine_does_a_job(model_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    job = job_of(tmp_path, model_file)
    done = seg_batch(*ray_words(job, "--json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == {"planned": 12, "done": 12, "failed": 0}
    assert done.stderr.startswith("3 units to do in ")
    assert "ray" not in done.stderr.replace(str(tmp_path), "").lower()  # it is quiet unless asked
    assert seg_batch(*run_words(tmp_path / "in", tmp_path / "out", model_file)).returncode == 0
    assert masks_of(job) == masks_below(tmp_path / "out")


@pytest.mark.slow
def test_messages_of_ray_are_shown_if_asked_and_not_with_the_result(model_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    done = seg_batch(*ray_words(job_of(tmp_path, model_file), "--json", "--verbose"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["units"]["done"] == 3
    assert "Started a local Ray instance" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_mark_and_no_process(model_file: Path, tmp_path: Path, number: signal.Signals) -> None:
    pytest.importorskip("ray")
    job, images, workers = tmp_path / "job", healthy(200, fault="slow"), min(2, cores())
    unit_of = {hashlib.sha1(data).hexdigest()[:12]: n // 4 for n, data in enumerate(images.values())}
    plan(write_images(tmp_path / "in", images), job, model_file, "--unit", "4")

    def units_in_work() -> int:
        begun = {unit_of[path.name.removeprefix("slow-")] for path in (tmp_path / "faults").glob("slow-*")}
        return len(begun - {int(name[2:7]) for name in files_of(job, "ledger")})

    with started(tmp_path, *ray_words(job, "--workers", str(workers))) as run:
        wait_for(lambda: units_in_work() == workers, PATIENCE, lambda: f"not all have begun; it said: {run.said}")
        run.process.send_signal(number)
        assert run.wait() == 130, run.said
        assert "run the same command again" in run.said
        assert not list(run.temporary.iterdir())
    assert not files_of(job, "attempts")
    assert len(files_of(job, "ledger")) < 50
    assert seg_batch(*ray_words(job)).returncode == 0
    assert len(files_of(job, "ledger")) == 50


@pytest.mark.slow
def test_workers_that_cannot_begin_end_the_run(model_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    job = job_of(tmp_path, model_file)
    (key_folder(job) / "model.onnx").unlink()
    done = seg_batch(*ray_words(job))
    assert done.returncode == 1
    assert "model.onnx is missing or not the model that the job was planned with" in done.stderr


@pytest.mark.slow
def test_gpus_that_no_node_has(model_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    done = seg_batch(*ray_words(job_of(tmp_path, model_file), "--gpus-per-worker", "100"))
    assert done.returncode == 2
    assert "No node of the Ray cluster has 1 CPU and 100 GPU" in done.stderr


@pytest.mark.slow
def test_nodes_that_lack_this_package(model_file: Path, tmp_path: Path) -> None:
    """Workers end before they have opened the model, and are not started for ever."""
    pytest.importorskip("ray")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys; sys.modules['batch'] = None")
    job = job_of(tmp_path, model_file)
    script = f"import os; from batch.cli import main; {PATH}; main()"  # of the processes that the driver starts
    words = [sys.executable, "-c", script, *map(str, ray_words(job))]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "SITE": str(tmp_path / "site")}
    )
    assert done.returncode == 1, done.stderr
    assert "A Ray worker ended 3 times before it had opened the model (" in done.stderr
    assert "ModuleNotFoundError: No module named 'batch" in done.stderr


def test_without_ray_it_says_what_to_install(model_file: Path, tmp_path: Path) -> None:
    script = "import sys; sys.modules['ray'] = None; from batch.cli import main; main()"
    words = [sys.executable, "-c", script, *ray_words(job_of(tmp_path, model_file))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "seglab[cluster]"' in done.stderr


def test_an_address_at_which_nobody_listens(model_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = seg_batch(*ray_words(job_of(tmp_path, model_file), "--address", address))
    assert done.returncode == 2
    assert f"The Ray cluster at {address} cannot be used" in done.stderr


def has_ray() -> bool:
    """Return whether a Ray runs on this machine, which may be another test's."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if b"gcs_server" in file.read_bytes():
                return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_auto_without_a_cluster(model_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    was_here = has_ray()
    done = seg_batch(*ray_words(job_of(tmp_path, model_file), "--address", "auto"))
    if was_here or has_ray():
        pytest.skip("another Ray runs on this machine")
    assert done.returncode == 2
    assert "--address auto found no Ray cluster" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "ray", "--shard", "1/2"), "Leave out one"),
        (("--engine", "ray", "--processes", "2"), "with --engine ray it is --workers"),
        (("--workers", "2"), "--workers is for Ray"),
        (("--address", "auto"), "--address is for Ray"),
        (("--engine", "ray", "--device", "cuda"), "Add --gpus-per-worker 1"),
        (("--engine", "ray", "--device", "cuda:1", "--gpus-per-worker", "1"), "Leave out the number"),
    ],
)
def test_options_that_do_not_go_together(model_file: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = seg_batch("cluster", "run", job_of(tmp_path, model_file), *options)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("gpus", "room"),
    [(0, 4 + 8), (1, 2), (0.5, 4), (2, 1), (0.3, 6), (4, 0)],
)
def test_the_room_of_a_cluster(gpus: float, room: int) -> None:
    """A worker is on one node, and what has died has no room."""
    nodes = [
        {"Alive": True, "Resources": {}},
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    assert room_in(nodes, gpus) == room
