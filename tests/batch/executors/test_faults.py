"""What becomes of an image that its worker ends on or hangs on, and of those beside it: faults planted in the worker.

The worker is the real one, with one function of it replaced: the image whose bytes begin with ``FAULT`` does it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from batch.executors import process, workers
from batch.executors.blame import Hangs
from batch.ledger.records import Result
from batch.ledger.schema import ledger_path
from batch.running.runner import Runner
from batch.settings import RunSettings
from batch.steps.begun import Slot
from tests.support.archive import archived_masks, masks_below, save_many

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers need POSIX")

COUNT = 24
FAULTY = "007.png"
ROW = 8
"""Of the faulty image in the ledger: the others come in the order of their names."""
CRASH = "os.kill(os.getpid(), signal.SIGSEGV)"
HANG = "time.sleep(600)"
WHILE_READ = """
import os, pathlib, signal, time
from batch.steps import mask_maker
from batch.executors.worker import main
read, once = mask_maker.read_fitted, pathlib.Path({once!r})

def read_fitted(data, *arguments, **more):
    if bytes(data[:5]) == b"FAULT":
        if not ({only_once} and once.exists()):
            once.touch()
            {fault}
        data = data[5:]
    return read(data, *arguments, **more)

mask_maker.read_fitted = read_fitted
main()
"""
WHILE_PREDICTED = """
import os, pathlib, signal, time
from batch.steps import mask_maker
from batch.executors.worker import main
read, predict, faulty = mask_maker.read_fitted, mask_maker.Inference.__call__, []

def read_fitted(data, *arguments, **more):
    is_faulty = bytes(data[:5]) == b"FAULT"
    photo = read(data[5:] if is_faulty else data, *arguments, **more)
    faulty.extend([photo.pixels] * is_faulty)
    return photo

def __call__(self, works):
    if any(work.pixels is one for one in faulty for work in works):
        {fault}
    predict(self, works)

mask_maker.read_fitted, mask_maker.Inference.__call__ = read_fitted, __call__
main()
"""
AFTER_WRITING = """
import os, pathlib, signal
from batch.steps.mask_maker import MaskMaker
from batch.executors.worker import main
write, once = MaskMaker.write, pathlib.Path({once!r})

def write_and_end(self, work):
    outcome = write(self, work)
    if work.task.path.endswith({faulty!r}) and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome

MaskMaker.write = write_and_end
main()
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for path in save_many(folder, COUNT):
        if path.name == FAULTY:
            path.write_bytes(b"FAULT" + path.read_bytes())
    return folder


@pytest.fixture
def expected(photos: Path, model_file: Path, tmp_path: Path) -> dict[str, bytes]:
    """The masks of a run in which nothing happens."""
    whole = tmp_path / "whole"
    whole.mkdir()
    for path in photos.iterdir():
        (whole / path.name).write_bytes(path.read_bytes().removeprefix(b"FAULT"))
    list(Runner(RunSettings(whole, tmp_path / "expected", model_file, "cpu", processes=1)))
    return masks_below(tmp_path / "expected")


def plant(monkeypatch: pytest.MonkeyPatch, code: str, **places: object) -> None:
    monkeypatch.setattr(process, "WORKER", code.format(**places))


def hurry(monkeypatch: pytest.MonkeyPatch, times: int, hangs_since: Path | None = None) -> None:
    """Let time pass ten times as fast for the worker in which the faulty image hangs, so often: a timeout can then be
    long for all other images. ``hangs_since``: a file that exists from the moment it hangs; None: from its beginning.
    """
    overdue, found = Hangs.overdue, list[int]()

    def sooner(hangs: Hangs, worker: int, slots: Iterable[Slot], seconds: float) -> set[int]:
        slots = list(slots)
        hanging = ROW in [slot.row for slot in slots] and (hangs_since is None or hangs_since.exists())
        late = overdue(hangs, worker, slots, seconds * (10 if hanging and len(found) < times else 1))
        found.extend(late & {ROW})
        return late

    monkeypatch.setattr(Hangs, "overdue", sooner)


def run(photos: Path, out: Path, model_file: Path, **more: object) -> dict[str, Result]:
    options = {"processes": 2, **more}
    runner = Runner(RunSettings(photos, out, model_file, "cpu", **options))  # type: ignore[arg-type]
    results = list(runner)
    assert len(results) == COUNT  # one for each, whatever happens
    return {Path(result.path).name: result for result in results}


def attempts(out: Path) -> dict[str, tuple[str, int]]:
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        rows = connection.execute("SELECT mask, status, attempts FROM items")
        return {mask: (status, count) for mask, status, count in rows}


def without_faulty(masks: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in masks.items() if name != FAULTY}


@pytest.mark.parametrize("where", [WHILE_READ, WHILE_PREDICTED], ids=["read", "predicted"])
@pytest.mark.parametrize(("batch", "workers"), [(1, None), (4, None), (4, 2)])
def test_an_image_on_which_a_worker_crashes_fails_alone(
    photos: Path,
    expected: dict[str, bytes],
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    batch: int,
    workers: int | None,
) -> None:
    plant(monkeypatch, where, fault=CRASH, once=str(tmp_path / "once"), only_once=False)
    results = run(photos, tmp_path / "out", model_file, batch=batch, workers=workers)
    assert "ended twice (signal 11), the second time while working on it alone" in (results[FAULTY].error or "")
    assert [name for name, result in results.items() if result.error] == [FAULTY]
    assert masks_below(tmp_path / "out") == without_faulty(expected)
    found = attempts(tmp_path / "out")
    assert found.pop(FAULTY) == ("failed", 1)  # so that the next run tries it once, alone
    assert set(found.values()) == {("done", 0)}


@pytest.mark.slow
@pytest.mark.parametrize("where", [WHILE_READ, WHILE_PREDICTED], ids=["read", "predicted"])
def test_an_image_that_hangs_fails_alone_in_bounded_time(
    photos: Path,
    expected: dict[str, bytes],
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    plant(monkeypatch, where, fault=HANG, once=str(tmp_path / "once"), only_once=False)
    hurry(monkeypatch, 2)
    begin = time.monotonic()
    results = run(photos, tmp_path / "out", model_file, batch=2, timeout=10.0)
    assert time.monotonic() - begin < 120
    assert "It took longer than 10 s, twice" in (results[FAULTY].error or "")
    assert [name for name, result in results.items() if result.error] == [FAULTY]
    assert masks_below(tmp_path / "out") == without_faulty(expected)


@pytest.mark.parametrize(
    ("fault", "timeout", "words"), [(CRASH, 60.0, "signal 11"), (HANG, 1.0, "longer than 1 s")], ids=["crash", "hang"]
)
def test_a_run_of_one_image_that_fails_has_its_result(
    photos: Path,
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    timeout: float,
    words: str,
) -> None:
    """Nothing comes after it."""
    monkeypatch.setattr(workers, "MOST_DEATHS", 100)  # on a slow machine an image may also be begun too late
    plant(monkeypatch, WHILE_READ, fault=fault, once=str(tmp_path / "once"), only_once=False)
    runner = Runner(RunSettings(photos / FAULTY, tmp_path / "out", model_file, "cpu", timeout=timeout))
    (result,) = runner
    assert words in (result.error or "")
    assert attempts(tmp_path / "out") == {FAULTY: ("failed", 1)}


@pytest.mark.parametrize("fault", [CRASH, HANG, "os._exit(3)"], ids=["crash", "hang", "exit"])
def test_what_happens_once_costs_nothing(
    photos: Path,
    expected: dict[str, bytes],
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    plant(monkeypatch, WHILE_READ, fault=fault, once=str(tmp_path / "once"), only_once=True)
    hurry(monkeypatch, 1, hangs_since=tmp_path / "once")
    results = run(photos, tmp_path / "out", model_file, batch=2, timeout=20.0)
    assert [name for name, result in results.items() if result.error] == []
    assert masks_below(tmp_path / "out") == expected
    assert set(attempts(tmp_path / "out").values()) == {("done", 0)}


def test_a_mask_that_the_lost_worker_had_written_is_not_somebody_elses(
    photos: Path, expected: dict[str, bytes], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends between writing a mask and saying so."""
    plain = photos / FAULTY
    plain.write_bytes(plain.read_bytes().removeprefix(b"FAULT"))
    plant(monkeypatch, AFTER_WRITING, once=str(tmp_path / "once"), faulty=FAULTY)
    results = run(photos, tmp_path / "out", model_file, batch=4)
    assert (tmp_path / "once").exists()
    assert [result.error for result in results.values() if result.error] == []
    assert masks_below(tmp_path / "out") == expected


def test_a_file_of_somebody_else_is_not_written_over_though_the_worker_crashed(
    photos: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It appeared in the output between two runs."""
    out = tmp_path / "out"
    list(Runner(RunSettings(photos / "000.png", out, model_file, "cpu", name="{stem}.png")))
    (out / FAULTY).write_bytes(b"mine, from last year")
    os.utime(out / FAULTY, (10**9, 10**9))
    plant(monkeypatch, WHILE_READ, fault=CRASH, once=str(tmp_path / "once"), only_once=True)
    results = run(photos, out, model_file, name="{stem}.png")
    assert (tmp_path / "once").exists()
    assert (out / FAULTY).read_bytes() == b"mine, from last year"
    assert [name for name, result in results.items() if result.error] == [FAULTY]


@pytest.mark.slow
def test_the_next_run_tries_it_once_more_and_says_what_it_was(
    photos: Path, expected: dict[str, bytes], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    plant(monkeypatch, WHILE_READ, fault=CRASH, once=str(tmp_path / "once"), only_once=False)
    run(photos, out, model_file)
    again = run(photos, out, model_file)
    assert "ended twice (signal 11)" in (again[FAULTY].error or "")
    assert {result.status.value for name, result in again.items() if name != FAULTY} == {"skipped"}
    monkeypatch.undo()
    healthy = photos / FAULTY
    healthy.write_bytes(healthy.read_bytes().removeprefix(b"FAULT"))
    assert run(photos, out, model_file)[FAULTY].status.value == "done"
    assert masks_below(out) == expected
    assert set(attempts(out).values()) == {("done", 0)}


def test_masks_in_an_archive_are_whole_though_a_worker_crashed(
    photos: Path, expected: dict[str, bytes], model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, WHILE_READ, fault=CRASH, once=str(tmp_path / "once"), only_once=False)
    run(photos, tmp_path / "masks.zip", model_file, batch=4)
    assert archived_masks(tmp_path / "masks.zip") == without_faulty(expected)
