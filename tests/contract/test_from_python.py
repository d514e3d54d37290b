"""Runs that a program drives: a notebook, a service, a script that ends early."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import batch
from tests.support.archive import command, masks_below, save_many


def settings(photos: object, out: Path, model_file: Path, **more: object) -> batch.RunSettings:
    return batch.RunSettings(photos, out, model=model_file, device="cpu", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [Path, str, lambda path: (path,), lambda path: [str(path)], os.fsencode])
def test_a_source_is_a_path_or_a_text(model_file: Path, tmp_path: Path, form: Callable[[Path], object]) -> None:
    save_many(tmp_path / "photos", 2)
    results = list(batch.run(settings(form(tmp_path / "photos"), tmp_path / "m", model_file)))
    assert [result.status for result in results] == [batch.Status.DONE] * 2


def test_folders_may_be_texts(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 2)
    folders = {"overlays": str(tmp_path / "o"), "probs": str(tmp_path / "p"), "ledger": str(tmp_path / "l")}
    wanted = batch.RunSettings(tmp_path / "photos", str(tmp_path / "m"), str(model_file), **folders, device="cpu")  # type: ignore[arg-type]
    assert len(list(batch.run(wanted))) == 2
    assert len(list((tmp_path / "o").glob("*.jpg"))) == 2


def test_a_runner_is_iterated_once(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 2)
    runner = batch.Runner(settings(tmp_path / "photos", tmp_path / "m", model_file))
    assert len(list(runner)) == 2
    with pytest.raises(RuntimeError, match="iterated only once; create another"):
        iter(runner)


def test_results_are_taken_by_any_thread(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 12)
    with closing(batch.run(settings(tmp_path / "photos", tmp_path / "m", model_file))) as results:
        found = []
        for _ in range(12):
            with ThreadPoolExecutor(1) as pool:
                found.append(pool.submit(next, results).result())
    assert {result.status for result in found} == {batch.Status.DONE}
    assert len(masks_below(tmp_path / "m")) == 12


def test_several_runs_at_once(model_file: Path, tmp_path: Path) -> None:
    for name in "abc":
        save_many(tmp_path / name, 5)

    def done(name: str) -> int:
        return sum(1 for _ in batch.run(settings(tmp_path / name, tmp_path / f"m-{name}", model_file)))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(done, "abc")) == [5, 5, 5]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_loop_that_the_program_leaves_is_ended_with_it(model_file: Path, tmp_path: Path, processes: int) -> None:
    save_many(tmp_path / "photos", 60)
    script = (
        "import batch, sys\nif __name__ == '__main__':\n"
        "    photos, out, model, processes = sys.argv[1:]\n"
        "    asked = batch.RunSettings(photos, out, model=model, device='cpu', processes=int(processes), batch=2)\n"
        "    results = iter(batch.Runner(asked))\n"
        "    for _ in range(20): print(next(results).mask)\n"
    )
    (tmp_path / "script.py").write_text(script)
    out = tmp_path / "m"
    line: list[str | Path] = [sys.executable, tmp_path / "script.py", tmp_path / "photos", out, model_file]
    ended = subprocess.run([*line, str(processes)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        done = {f"{out}/{mask}" for (mask,) in connection.execute("SELECT mask FROM items WHERE status = 'done'")}
        (finished,) = connection.execute("SELECT finished_at FROM runs").fetchone()
    assert set(ended.stdout.split()) <= done
    assert done == {f"{out}/{name}" for name in masks_below(out)}
    assert finished is not None


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_stop_no_run(model_file: Path, tmp_path: Path, closed: str) -> None:
    save_many(tmp_path / "photos", 40)
    line = command("run", tmp_path / "photos", "--out", tmp_path / "m", "--model", model_file, "--device", "cpu")
    ended = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *line], check=False, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert len(masks_below(tmp_path / "m")) == 40
