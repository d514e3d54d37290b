"""A run that is refused leaves nothing that was not there before, and takes nothing away that was."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archive import command, masks_below, save, save_many, seg_batch
from tests.support.faults import PATIENCE, Started, started, wait_for

BEGUN = ".seg-batch-begun"
"""A file beside the ledger while workers hold images."""
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_many(tmp_path / "photos", 2)
    return tmp_path / "photos"


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def in_vain(tmp_path: Path, out: str, *more: str | Path) -> list[str | Path | bytes]:
    """A run without its model, which is noticed when the output is held."""
    return command("run", tmp_path / "photos", "--out", tmp_path / out, "--model", tmp_path / "none.onnx", *more)


@pytest.mark.parametrize(
    "more",
    [
        ("--model", "none.onnx"),
        ("--model", "photos/000.png"),
        ("--device", "cuda:77"),
        ("--postprocess", "tallest"),
        ("--max-failures", "few"),
        ("--name", "same.png/{stem}"),
        ("--overlays", "photos"),
    ],
    ids=" ".join,
)
def test_nothing_is_left_of_it(photos: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    require_refused(tmp_path, "photos", "--out", "masks", "--device", "cpu", *more)


@pytest.mark.parametrize("out", ["new/folders/masks", "masks.zip"])
def test_nothing_is_left_of_other_outputs(photos: Path, tmp_path: Path, out: str) -> None:
    require_refused(tmp_path, "photos", "--out", out, "--model", "none.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("out", ["mask.png", "new/n.JPG"])
def test_a_picture_is_no_output_but_a_folder_of_that_name_is(photos: Path, tmp_path: Path, out: str) -> None:
    require_refused(tmp_path, "photos/000.png", "--out", out)
    (tmp_path / out).mkdir(parents=True)
    assert seg_batch("run", photos, "--out", tmp_path / out, "--device", "cpu").returncode == 0
    assert len(masks_below(tmp_path / out)) == 2


def test_nothing_is_left_where_the_source_is_not_there(photos: Path, tmp_path: Path) -> None:
    require_refused(tmp_path, "nowhere", "--out", "masks")


def require_refused(tmp_path: Path, *arguments: str) -> None:
    before = everything(tmp_path)
    words = command("run", *arguments)
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode in (1, 2), ended.stderr
    assert "Error: " in ended.stderr
    assert everything(tmp_path) == before


def test_an_empty_folder_and_a_ledger_elsewhere_are_as_before(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    before = everything(tmp_path)
    words = in_vain(tmp_path, "masks", "--ledger", tmp_path / "ledger")
    assert subprocess.run(words, capture_output=True, check=False).returncode == 1
    assert everything(tmp_path) == before


@pytest.mark.slow
def test_an_output_of_a_run_is_as_before(photos: Path, tmp_path: Path) -> None:
    assert seg_batch("run", photos, "--out", tmp_path / "masks", "--device", "cpu").returncode == 0
    before = everything(tmp_path)
    assert subprocess.run(in_vain(tmp_path, "masks"), capture_output=True, check=False).returncode == 1
    assert everything(tmp_path) == before
    assert {"masks/.seg-batch.lock", "masks/ledger.sqlite"} <= before


def test_two_that_start_at_once_leave_no_file(photos: Path, tmp_path: Path) -> None:
    before = everything(tmp_path)
    running = [subprocess.Popen(in_vain(tmp_path, "masks"), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [1, 1], said
    assert everything(tmp_path) - before <= {"masks"}


@pytest.mark.slow
def test_who_is_refused_leaves_a_run_alone(photos: Path, tmp_path: Path) -> None:
    for number in range(2, 40):
        save(photos / f"{number}.png")
    names = [path.name for path in photos.iterdir()]
    process = subprocess.Popen(
        command("run", "-", "--out", tmp_path / "masks", "--device", "cpu"),
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=photos,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("# more is to come\n" * 50 + "".join(f"{name}\n" for name in names))
    process.stdin.flush()
    wait_for((tmp_path / "masks" / BEGUN).exists, PATIENCE, "the run does not hold its output")
    ended = subprocess.run(in_vain(tmp_path, "masks"), capture_output=True, text=True, check=False)
    said = process.communicate()[1]  # which also ends the list
    assert process.returncode == 0, said
    assert ended.returncode == 1
    assert "Another run is writing" in ended.stderr
    assert len(masks_below(tmp_path / "masks")) == 40


@contextlib.contextmanager
def run_before_its_model(photos: Path, out: Path, state: Path) -> Iterator[Started]:
    """Start a run that holds its output, and whose model is not opened."""
    with started(state, "run", photos, "--out", out, "--device", "cpu", start_seconds=600) as run:
        run.in_time("start", state)
        yield run


@needs_proc
def test_a_run_that_is_stopped_before_it_began_leaves_nothing(
    photos: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = everything(tmp_path)
    with run_before_its_model(photos, tmp_path / "a" / "masks", tmp_path_factory.mktemp("state")) as run:
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 130, run.said
    assert everything(tmp_path) == before


@needs_proc
def test_the_lock_of_a_killed_run_goes_with_the_next_that_is_refused(
    photos: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = everything(tmp_path)
    with run_before_its_model(photos, tmp_path / "masks", tmp_path_factory.mktemp("state")) as run:
        run.process.kill()
        run.process.wait()
    assert everything(tmp_path) > before
    assert subprocess.run(in_vain(tmp_path, "masks"), capture_output=True, check=False).returncode == 1
    assert everything(tmp_path) == before | {"masks"}
