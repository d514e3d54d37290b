"""Worker processes behind a run: the same masks, whatever becomes of one of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from batch.commands.status import status_of
from batch.commands.verify import verify
from batch.errors import ProcessError
from batch.executors import process, workers
from batch.executors.blame import Hangs
from batch.executors.child import start_child
from batch.executors.line import EXACT_HELD
from batch.executors.placement import Share
from batch.executors.worker import HANDFUL
from batch.executors.workers import MOST_DEATHS, Workers
from batch.ledger.records import Result
from batch.outputs.base import FolderStore
from batch.running import intake, read_ahead
from batch.running.runner import FEW, Runner
from batch.settings import RunSettings
from batch.sources.image_ref import ImageRef
from batch.steps.begun import BEGUN_NAME
from tests.support.archive import archived_masks, command, masks_below, save, save_many, seg_batch
from tests.support.artefact import tiny_model

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers need POSIX")

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
    assert 1 <= {stage.stage: stage.threads for stage in runner.report.stages}["infer"] <= 3  # some may come too late
    assert sum(stage.images for stage in runner.report.stages if stage.stage == "infer") == COUNT + 1
    events = json.loads((tmp_path / "trace.json").read_text())
    assert 2 <= len({event["pid"] for event in events}) <= 4
    assert {event["pid"] for event in events if event["name"] in ("walk", "ledger")} == {os.getpid()}
    assert os.getpid() not in {event["pid"] for event in events if event["name"] in ("decode", "infer", "write")}
    assert sum(event["ph"] == "X" and event["name"] == "write" for event in events) == COUNT + 1
    spans = [event for event in events if event["ph"] == "X"]
    first = min(event["ts"] for event in spans if event["name"] == "ledger")
    last = max(event["ts"] + event["dur"] for event in spans if event["name"] == "ledger")
    elsewhere = [event for event in spans if event["name"] in ("decode", "infer", "write")]
    assert all(first < event["ts"] and event["ts"] + event["dur"] < last for event in elsewhere)  # one clock for all
    assert not list(tmp_path.glob("trace.json.*"))


class CountingSources:
    """Wraps a runner's sources and counts how far they were read."""

    def __init__(self, runner: Runner) -> None:
        self.read = 0
        self._sources = runner.sources

    def __iter__(self) -> Iterator[ImageRef]:
        for item in self._sources:
            self.read += 1
            yield item


def test_whole_images_are_few_in_every_worker(
    archive: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "MOST_AHEAD", 2)
    monkeypatch.setattr(intake, "CHUNK", 1)
    runner = Runner(settings(archive, tmp_path / "out", model_file, exact=True, processes=2))
    sources = CountingSources(runner)
    runner.sources = sources  # type: ignore[assignment]
    ahead = [sources.read - taken for taken, _ in enumerate(runner)]
    assert len(ahead) == COUNT + 2
    # Found, the one at hand, waiting in the line, and held by both; outcomes come up to eight at a time.
    assert max(ahead) <= 2 + 1 + EXACT_HELD + 2 * EXACT_HELD + HANDFUL


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


def test_a_worker_that_is_killed_is_replaced_and_loses_nothing(
    archive: Path, model_file: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    """As the system does where memory runs out."""
    out = tmp_path / "out"
    runner = Runner(settings(archive, out, model_file, processes=2, batch=1))
    for number, _ in enumerate(runner):
        if number == 5:
            os.kill(children()[0], signal.SIGKILL)
    assert (runner.report.done, runner.report.failed) == (COUNT + 1, 1)
    assert masks_below(out) == alone
    assert children() == []
    assert verify(out).matching == COUNT + 1
    assert not (out / BEGUN_NAME).exists()


def test_a_replacement_that_cannot_begin_is_tried_again(
    archive: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may be short for a moment: the run must not go on with half of its workers for hours."""
    monkeypatch.setattr(workers, "AGAIN_SECONDS", 0.0)
    started: list[str] = []

    def start(code: str) -> tuple[subprocess.Popen[bytes], Connection]:
        started.append(code)
        if len(started) != 3:
            return start_child(code)
        replacement, connection = start_child("raise SystemExit(7)")
        replacement.wait(60)
        return replacement, connection

    monkeypatch.setattr(process, "start_child", start)
    runner = Runner(settings(archive, tmp_path / "out", model_file, processes=2, batch=1))
    for number, _ in enumerate(runner):
        if number == 3:
            os.kill(killed := children()[0], signal.SIGKILL)
            while is_running(killed):
                time.sleep(0.001)
    assert (runner.report.done, runner.report.failed) == (COUNT + 1, 1)
    assert len(started) == 4


def test_a_worker_that_does_not_take_up_what_it_was_sent_is_replaced(
    archive: Path, model_file: Path, alone: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands still while it has nothing begun, so no image is to blame."""
    subprocess.run(["tar", "cf", tmp_path / "in.tar", "-C", archive, *sorted(os.listdir(archive))], check=True)
    data = (tmp_path / "in.tar").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    paused, goes_on = threading.Event(), threading.Event()

    def write() -> None:
        with (tmp_path / "pipe").open("wb") as pipe:
            pipe.write(data[: len(data) // 2])
            pipe.flush()
            paused.set()
            goes_on.wait(60)
            pipe.write(data[len(data) // 2 :])

    silent, stopped = Hangs.is_silent, set[int]()

    def is_silent(hangs: Hangs, pid: int, seconds: float | None, *, is_ready: bool) -> bool:
        """Count ten times as much for those that stand still: only for the others is 10 s a long time."""
        return silent(hangs, pid, seconds and seconds * (10 if pid in stopped else 1), is_ready=is_ready)

    monkeypatch.setattr(Hangs, "is_silent", is_silent)
    monkeypatch.setattr(workers, "MOST_DEATHS", 100)
    threading.Thread(target=write, daemon=True).start()
    runner = Runner(settings(tmp_path / "pipe", tmp_path / "out", model_file, processes=2, timeout=10.0))
    for number, _ in enumerate(runner):
        if number == 15 and paused.wait(60):
            time.sleep(0.5)
            stopped.update(children())
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            goes_on.set()
    assert len(stopped) == 2
    assert (runner.report.done, runner.report.failed) == (COUNT + 1, 1)
    assert masks_below(tmp_path / "out") == alone


def children() -> list[int]:
    task = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
    if not task.exists():
        pytest.skip("needs Linux's list of children")
    return [
        int(pid)
        for pid in task.read_text().split()
        if b"batch.executors.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_workers_end_with_the_one_that_started_them(archive: Path, model_file: Path, tmp_path: Path) -> None:
    """Killed as it never expects: nobody may go on writing to an output that is no longer held."""
    big = tmp_path / "in"
    big.mkdir()
    for number in range(4000):
        os.link(archive / f"{number % COUNT:03}.png", big / f"{number:04}.png")
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
def test_stopped_workers_end_in_order(archive: Path, model_file: Path, tmp_path: Path, number: signal.Signals) -> None:
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


@pytest.mark.slow
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
    assert re.search("Device 'cuda:[01]' cannot be used", ended.stderr)  # whichever says so first
    ended = seg_batch("run", archive, "--out", tmp_path / "out", "--model", model_file, "--device", "cuda:0,nonsense")
    assert (ended.returncode, "nonsense" in ended.stderr) == (2, True)


def test_workers_come_and_go_with_their_executor(archive: Path, model_file: Path, tmp_path: Path) -> None:
    executor = Workers(
        settings(archive, tmp_path, model_file), [Share("cpu"), Share("cpu")], FolderStore(tmp_path), state=tmp_path
    )
    try:
        assert executor.open().device.name == "cpu"
        assert len(children()) == 2
        assert (executor.begun, list(tmp_path.iterdir())) == (0, [tmp_path / BEGUN_NAME])
    finally:
        executor.close()
    assert children() == []
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_ends_the_run(archive: Path, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("not a folder")
    options = ("--ledger", tmp_path / "book", "--model", model_file, "--device", "cpu", "--processes", "2")
    ended = seg_batch("run", archive, "--out", tmp_path / "out" / "below", *options)
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_workers_that_end_by_themselves_again_and_again_end_the_run(
    archive: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    monkeypatch.setattr(process, "WORKER", f"open({str(started)!r}, 'a').write('.'); raise SystemExit(7)")
    with pytest.raises(ProcessError, match=r"ended by themselves \(exit code 7\).*run again to continue"):
        list(run(archive, tmp_path / "out", model_file, processes=1))
    assert len(started.read_text()) == MOST_DEATHS
    assert children() == []


def test_few_images_are_done_by_one_worker(
    archive: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.running.runner.FEW_SECONDS", 60.0)
    (tmp_path / "in").mkdir()
    for number in range(FEW):
        os.link(archive / f"{number:03}.png", tmp_path / "in" / f"{number}.png")
    runner = Runner(settings(tmp_path / "in", tmp_path / "out", model_file))
    assert [len(children()) for _ in runner] == [1] * FEW
    assert runner.report.done == FEW
