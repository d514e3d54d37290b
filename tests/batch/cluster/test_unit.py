"""``do_unit``: what it writes, in which order, and what is left if anything of it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest

from batch.cluster.attempts import Care, marked
from batch.cluster.files.job import Job, OpenJob, open_job
from batch.cluster.files.names import Attempt, UnitName
from batch.cluster.files.parts import read_rows
from batch.cluster.files.place import FolderPlace
from batch.cluster.planning import PlanSettings, plan_job
from batch.cluster.unit import UnitResult, do_unit
from batch.errors import OutputError
from batch.executors.base import Opened
from batch.settings import RunSettings
from tests.support.archive import StandIn, as_model, masks_below, run_all, save_many
from tests.support.cluster_jobs import files_of, key_folder, ledger_rows, masks_of

FIRST = UnitName(0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save_many(tmp_path / "in", 7)
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    return tmp_path / "in"


@pytest.fixture
def planned(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenJob:
    """A job of eight images in units of three, planned with the stand-in model."""
    model = tmp_path / "model.onnx"
    model.write_bytes(b"not read here")
    monkeypatch.setattr("batch.cluster.planning._opened", lambda _: replace(Opened.of(as_model(StandIn())), path=model))
    plan_job(PlanSettings(RunSettings(str(source), str(tmp_path / "job")), unit=3))
    return open_job(str(tmp_path / "job"))


class Failing(FolderPlace):
    """A place of which one thing fails. ``at``: method and beginning of the name; ``after``: once it was done."""

    def __init__(self, folder: Path, at: tuple[str, str], *, after: bool = False) -> None:
        super().__init__(folder)
        self._at, self._after = at, after

    def create(self, name: str, data: bytes) -> bool:
        found = self._maybe("create", name) or super().create(name, data)
        return found and self._at[0] != "answer"

    def upload(self, name: str, file: Path) -> None:
        self._maybe("upload", name)
        super().upload(name, file)

    def _maybe(self, method: str, name: str) -> bool:
        if method == self._at[0] and name.startswith(self._at[1]):
            raise OutputError(f"{name} cannot be used: the disk is full.")
        return False


def do(job: OpenJob, unit: UnitName = FIRST, model: StandIn | None = None) -> UnitResult:
    settings = job.job.settings(job.place, Path("model.onnx"))
    return do_unit(unit, settings, as_model(model or StandIn()), job)


def test_masks_are_those_of_a_run(planned: OpenJob, source: Path, tmp_path: Path) -> None:
    results = [do(planned, UnitName(number)) for number in range(3)]
    assert [(found.done, found.failed, found.error) for found in results] == [(3, 0, None), (3, 0, None), (1, 1, None)]
    run_all(source, tmp_path / "out")
    assert masks_of(tmp_path / "job") == masks_below(tmp_path / "out")
    assert not files_of(tmp_path / "job", "attempts")


def test_a_unit_is_done_once(planned: OpenJob, tmp_path: Path) -> None:
    assert not do(planned).was_done
    before = files_of(tmp_path / "job", "masks")
    again = do(planned)
    assert again.was_done
    assert (again.images, again.done) == (3, 3)
    assert files_of(tmp_path / "job", "masks") == before


def test_of_two_attempts_the_first_that_commits_counts(planned: OpenJob, tmp_path: Path) -> None:
    class Overtaken(StandIn):
        """A model during whose work somebody else does the unit."""

        def prob(self, batch):  # type: ignore[no-untyped-def]
            self.prob = super().prob  # type: ignore[method-assign]
            assert not do(planned).was_done
            return self.prob(batch)

    result = do(planned, model=Overtaken())
    assert result.was_done
    assert len(files_of(tmp_path / "job", "masks")) == 1, "the tar that came second is removed"
    assert len(masks_of(tmp_path / "job")) == 3


def test_a_lost_answer_is_not_taken_for_anothers_commit(planned: OpenJob, tmp_path: Path) -> None:
    place = Failing(key_folder(tmp_path / "job"), ("answer", "ledger"))
    result = do(OpenJob(planned.job, place))
    assert result == replace(result, was_done=False, error=None, done=3)
    assert len(masks_of(tmp_path / "job")) == 3


@pytest.mark.parametrize("at", [("upload", "masks/"), ("create", "ledger/")])
def test_an_attempt_that_fails_leaves_the_unit_to_be_done(
    planned: OpenJob, tmp_path: Path, at: tuple[str, str]
) -> None:
    failed = do(OpenJob(planned.job, Failing(key_folder(tmp_path / "job"), at)))
    assert failed.error is not None
    assert "the disk is full" in failed.error
    assert not files_of(tmp_path / "job", "ledger")
    assert not files_of(tmp_path / "job", "attempts")
    assert not do(planned).was_done
    assert len(masks_of(tmp_path / "job")) == 3


def test_a_full_disk_of_the_worker(planned: OpenJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/full/nowhere")
    failed = do(planned)
    assert failed.error is not None
    assert "The masks of a unit cannot be kept in /dev/full/nowhere" in failed.error
    assert not files_of(tmp_path / "job", "ledger")


def test_a_unit_in_which_all_failed_has_the_same_columns(planned: OpenJob, source: Path, tmp_path: Path) -> None:
    do(planned, UnitName(1))
    for path in source.iterdir():
        path.unlink()
    result = do(planned)
    assert (result.done, result.failed) == (0, 3)
    folder = key_folder(tmp_path / "job") / "ledger"
    schemas = [pyarrow.parquet.read_schema(folder / f"u-0000{number}.parquet").remove_metadata() for number in (0, 1)]
    assert schemas[0] == schemas[1]
    assert not any(name.startswith("u-00000") for name in files_of(tmp_path / "job", "masks"))
    assert {row["status"] for row in ledger_rows(tmp_path / "job")} == {"done", "failed"}


def test_a_part_of_another_plan_is_refused(planned: OpenJob, tmp_path: Path) -> None:
    other = Job(**vars(planned.job) | {"plan": "another"})
    found = do(OpenJob(other, planned.place))
    assert found.error is not None
    assert "is not the part of this unit and plan" in found.error


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_damaged_part_of_the_manifest_is_refused(planned: OpenJob, tmp_path: Path, data: bytes) -> None:
    (key_folder(tmp_path / "job") / FIRST.manifest).write_bytes(data)
    found = do(planned)
    assert found.error is not None
    assert "is damaged" in found.error


def test_a_missing_part_of_the_manifest(planned: OpenJob, tmp_path: Path) -> None:
    (key_folder(tmp_path / "job") / FIRST.manifest).unlink()
    found = do(planned)
    assert found.error is not None
    assert "is missing" in found.error


def test_marks_of_attempts_ask_for_more_care(planned: OpenJob) -> None:
    place, cares = planned.place, []
    for _ in range(6):
        with marked(place, Attempt.new(FIRST)) as begun:
            cares.append(begun.care)
            mark = begun.attempt.mark
        place.write(mark, b"2")  # as if the process had died
    assert cares == [Care.TOGETHER] * 2 + [Care.APART] * 2 + [Care.ONE_BY_ONE] * 2
    assert begun.given_up == {2}
    with marked(place, Attempt.new(UnitName(1))) as other:
        assert other.care is Care.TOGETHER


def test_rows_that_were_given_up_are_not_tried(planned: OpenJob, model_file: Path, tmp_path: Path) -> None:
    for _ in range(4):
        planned.place.write(Attempt.new(FIRST).mark, b"2")
    settings = planned.job.settings(planned.place, model_file, "cpu")
    result = do_unit(FIRST, settings, as_model(StandIn()), planned)
    assert (result.done, result.failed, result.error) == (2, 1, None)
    found = read_rows(planned.place, FIRST)
    assert found is not None
    assert [row.is_done for row in found[1]] == [True, False, True]
    assert "Two worker processes ended" in str(found[1][1].error)
