"""Several processes behind one run: the same masks, the same order in trouble."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from batch.commands.status import status_of
from batch.commands.verify import verify
from batch.errors import ProcessError
from batch.executors import placement
from batch.executors.base import WHOLE_IMAGES_IN_FLIGHT
from batch.executors.placement import Share, share_out
from batch.executors.processes import CrewEngine
from batch.executors.start import start_processes
from batch.ledger.records import Result
from batch.outputs.base import FolderStore
from batch.running.runner import FEW, Runner
from batch.settings import RunSettings
from seglab.errors import ConfigError
from tests.support.archive import archived_masks, command, masks_below, save, save_many, seg_batch
from tests.support.artefact import tiny_model

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="crews need POSIX")

COUNT = 50


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "in"
    save_many(folder, COUNT)
    save(folder / "sub" / "ünïcode.jpg")
    save(folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def alone(archive: Path, model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("alone")
    assert {result.status.value for result in run(archive, out, model_file, processes=1)} == {"done", "failed"}
    return masks_below(out)


def settings(archive: Path, out: Path, model_file: Path, **more: object) -> RunSettings:
    return RunSettings((str(archive),), out, model_file, "cpu", **more)  # type: ignore[arg-type]


def run(archive: Path, out: Path, model_file: Path, **more: object) -> Iterator[Result]:
    return iter(Runner(settings(archive, out, model_file, **more)))


@pytest.mark.parametrize("name", ["folder", "masks.zip", "masks.tar"])
def test_three_processes_make_the_masks_of_one(
    archive: Path, model_file: Path, alone: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    runner = Runner(settings(archive, tmp_path / name, model_file, processes=3, profile=tmp_path / "trace.json"))
    results = list(runner)
    assert len(results) == COUNT + 2
    assert (masks_below if name == "folder" else archived_masks)(tmp_path / name) == alone
    assert status_of(tmp_path / name).counts == {"done": COUNT + 1, "failed": 1, "pending": 0}
    assert verify(tmp_path / name).matching == COUNT + 1
    assert {stage.stage: stage.threads for stage in runner.report.stages}["infer"] == 3
    assert sum(stage.images for stage in runner.report.stages if stage.stage == "infer") == COUNT + 1
    events = json.loads((tmp_path / "trace.json").read_text())
    assert len({event["pid"] for event in events}) == 4
    assert sum(event["ph"] == "X" and event["name"] == "write" for event in events) == COUNT + 1
    spans = [event for event in events if event["ph"] == "X"]
    first = min(event["ts"] for event in spans if event["name"] == "ledger")
    last = max(event["ts"] + event["dur"] for event in spans if event["name"] == "ledger")
    elsewhere = [event for event in spans if event["name"] in ("decode", "infer", "write")]
    assert all(first < event["ts"] and event["ts"] + event["dur"] < last for event in elsewhere)  # one clock for all
    assert not list(tmp_path.glob("trace.json.*"))


def test_whole_images_are_few_in_every_process(archive: Path, model_file: Path, tmp_path: Path) -> None:
    exact = settings(archive, tmp_path / "out", model_file, exact=True, processes=2)
    engine = CrewEngine(exact, [Share("cpu"), Share("cpu")], start_processes(2))
    try:
        _, bound = engine.start(FolderStore(tmp_path / "out"), None, None)
        assert (bound.in_flight, bound.chunk) == (2 * WHOLE_IMAGES_IN_FLIGHT, 1)
    finally:
        engine.close()


def test_archives_and_streams_feed_processes_too(
    archive: Path, model_file: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(archive.rglob("*.*")):
            file.write(path, path.relative_to(archive))
    subprocess.run(["tar", "czf", tmp_path / "in.tar.gz", "-C", archive, *os.listdir(archive)], check=True)
    for name in ("in.zip", "in.tar.gz"):
        list(run(tmp_path / name, tmp_path / f"{name}-masks", model_file, processes=2))
        assert masks_below(tmp_path / f"{name}-masks") == alone


def test_overlays_and_maps_come_from_processes_and_later(archive: Path, model_file: Path, tmp_path: Path) -> None:
    more = {"overlays": tmp_path / "pictures", "probs": tmp_path / "probs", "processes": 2}
    list(run(archive, tmp_path / "masks.zip", model_file, **more))
    assert len(list((tmp_path / "pictures").rglob("*.jpg"))) == COUNT + 1
    assert len(masks_below(tmp_path / "probs")) == COUNT + 1
    (tmp_path / "pictures" / "000.jpg").unlink()
    list(run(archive, tmp_path / "masks.zip", model_file, **more))  # drawn again from the mask in the archive
    assert (tmp_path / "pictures" / "000.jpg").stat().st_size > 0


def test_a_process_that_is_killed_ends_the_run_and_loses_nothing(
    archive: Path, model_file: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    runner = Runner(settings(archive, out, model_file, processes=2, batch=1, workers=1))
    done = 0

    def until_killed() -> None:
        nonlocal done
        for result in runner:
            done += 1
            if done == 5:
                (victim, *_) = children()
                os.kill(victim, signal.SIGKILL)
                time.sleep(0.2)  # so that the other one does not finish alone
            assert result is not None

    with pytest.raises(ProcessError, match=r"ended by itself \(signal 9\).*Run again to go on"):
        until_killed()
    assert children() == []
    counts = status_of(out).counts
    assert counts["done"] >= 5
    assert counts["pending"] > 0
    list(run(archive, out, model_file, processes=2))
    assert masks_below(out) == alone


def children() -> list[int]:
    task = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
    if not task.exists():
        pytest.skip("needs Linux's list of children")
    return [
        int(pid)
        for pid in task.read_text().split()
        if b"batch.executors.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_processes_end_with_the_one_that_started_them(archive: Path, model_file: Path, tmp_path: Path) -> None:
    """Killed as it never expects: nobody may go on writing to an output that is no longer held."""
    big = tmp_path / "in"
    big.mkdir()
    for number in range(200):
        os.link(archive / f"{number % COUNT:03}.png", big / f"{number:03}.png")
    options = ("--model", model_file, "--device", "cpu", "--processes", "2", "--batch", "1")
    process = subprocess.Popen(command("run", big, "--out", tmp_path / "out", *options), stderr=subprocess.DEVNULL)
    while not list((tmp_path / "out").glob("[!.]*.png")):
        assert process.poll() is None
        time.sleep(0.005)
    members = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(members) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(is_running(pid) for pid in members):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_crew_ends_in_order(archive: Path, model_file: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The whole group gets the signal, as from a terminal."""
    big = tmp_path / "in"
    big.mkdir()
    for index in range(4000):
        os.link(archive / f"{index % COUNT:03}.png", big / f"{index:04}.png")
    out = tmp_path / "masks.zip"
    options = ("--model", model_file, "--device", "cpu", "--processes", "2", "--batch", "2")
    process = subprocess.Popen(
        command("run", big, "--out", out, *options), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    part = tmp_path / "masks.zip.part"
    while not part.exists() or part.stat().st_size < 500:
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    counts = status_of(out).counts
    assert 0 < counts["done"] < 4000
    assert len(archived_masks(out)) == counts["done"]


def test_an_error_in_a_process_is_told_as_if_it_were_here(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no model")
    ended = seg_batch("run", archive, "--out", tmp_path / "out", "--model", tmp_path / "no.onnx", "--processes", "2")
    assert ended.returncode == 1
    assert "no.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr
    model_file = tiny_model(tmp_path / "tiny.onnx")
    options = ("--model", model_file, "--device", "cuda:0,cuda:1")
    ended = seg_batch("run", archive, "--out", tmp_path / "out", *options)
    assert ended.returncode == 1, ended.stderr
    assert "Device 'cuda:0' cannot be used" in ended.stderr
    ended = seg_batch("run", archive, "--out", tmp_path / "out", "--model", model_file, "--device", "cuda:0,nonsense")
    assert (ended.returncode, "nonsense" in ended.stderr) == (2, True)


def test_a_disk_that_is_full_for_a_process_ends_the_run(
    archive: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output becomes a file while the processes are at work: masks cannot be written any more."""
    out = tmp_path / "out"
    ordered = settings(archive, out / "below", model_file, ledger=tmp_path / "book")
    engine = CrewEngine(ordered, [Share("cpu"), Share("cpu")], start_processes(2))
    try:
        out.write_text("not a folder")
        assert engine.opened.device.name == "cpu"
    finally:
        engine.close()
    assert children() == []
    options = ("--ledger", tmp_path / "book", "--model", model_file, "--device", "cpu", "--processes", "2")
    ended = seg_batch("run", archive, "--out", out / "below", *options)
    assert ended.returncode in (1, 3)
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def shares(**more: object) -> list[Share]:
    values: dict[str, object] = {"device": "cpu", **more}
    return share_out(RunSettings(("in",), Path("out"), **values), few=False)  # type: ignore[arg-type]


def on_cores(monkeypatch: pytest.MonkeyPatch, numbers: Iterable[int], quota: int | None = None) -> None:
    bound = set(numbers)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: bound)
    monkeypatch.setattr(placement, "cores", lambda: quota or len(bound))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs binding to cores")
def test_a_process_a_core_on_a_processor_and_one_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cores(monkeypatch, (0, 1, 2, 3, 8, 9))
    assert [share.cores for share in shares()] == [(0,), (1,), (2,), (3,), (8,), (9,)]
    assert [share.cores for share in shares(processes=4)] == [(0,), (1, 2), (3,), (8, 9)]
    assert [share.threads for share in shares(processes=4)] == [1, 2, 1, 2]
    assert [share.cores for share in shares(processes=1)] == [()]
    assert shares(exact=True) == [Share("cpu")]
    assert shares(device="cuda:1") == [Share("cuda:1")]
    assert shares(device="cuda:0,cuda:1") == [Share("cuda:0", (0, 1, 2), 3), Share("cuda:1", (3, 8, 9), 3)]
    several = shares(device="cuda:0,cuda:1", processes=2)
    assert [share.device for share in several] == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    assert [share.cores for share in several] == [(0,), (1, 2), (3,), (8, 9)]
    assert share_out(RunSettings(("in",), Path("out"), device="cpu"), few=True) == [Share("cpu")]
    on_cores(monkeypatch, range(200))
    assert {len(share.cores) for share in shares()} == {1, 2}
    assert len(shares()) == 128
    at_url = share_out(RunSettings(("s3://a/b.zip",), Path("out"), device="cpu"), few=False)
    assert at_url == shares()
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        with pytest.raises(ConfigError, match="expected 1 on Windows"):
            shares(processes=2)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs binding to cores")
def test_processes_of_a_container_with_part_of_the_cores_are_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cores(monkeypatch, range(64), quota=4)
    assert shares() == [Share("cpu", threads=1)] * 4
    assert shares(processes=2) == [Share("cpu", threads=2)] * 2
    assert shares(processes=6) == [Share("cpu", threads=1)] * 6
    assert shares(processes=1) == [Share("cpu")]
    assert shares(device="cuda:0,cuda:1") == [Share("cuda:0", threads=2), Share("cuda:1", threads=2)]
    on_cores(monkeypatch, range(64), quota=1)
    assert shares() == [Share("cpu")]


def test_few_images_are_done_here(archive: Path, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(FEW):
        os.link(archive / f"{number:03}.png", tmp_path / "in" / f"{number}.png")
    runner = Runner(settings(tmp_path / "in", tmp_path / "out", model_file))
    for _ in runner:
        assert children() == []
    assert runner.report.done == FEW
