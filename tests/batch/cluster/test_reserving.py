"""What a plan that ends early removes: its own files, and nothing of a job that is complete or of somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch.cluster.files.place import FolderPlace
from batch.cluster.reserving import RESERVATION, Reservation
from batch.errors import OutputError
from seglab.errors import SeglabError


def reserved(folder: Path) -> Reservation:
    """Return a reservation of a place with a part of a manifest."""
    reservation = Reservation(FolderPlace(folder))
    reservation.hold()
    (folder / "manifest").mkdir()
    (folder / "manifest" / "u-00000.parquet").write_bytes(b"a part")
    return reservation


def test_a_plan_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    reserved(tmp_path / "key=1").give_up()
    assert not (tmp_path / "key=1").exists()


def test_a_stop_after_the_last_file_keeps_the_job(tmp_path: Path) -> None:
    reservation = reserved(tmp_path / "key=1")
    (tmp_path / "key=1" / "job.json").write_text("{}")
    reservation.give_up()
    assert (tmp_path / "key=1" / "manifest" / "u-00000.parquet").exists()


def test_a_plan_whose_place_another_one_has_taken_removes_nothing(tmp_path: Path) -> None:
    reservation = reserved(tmp_path / "key=1")
    (tmp_path / "key=1" / RESERVATION).write_text(json.dumps({"plan": "another"}))
    reservation.give_up()
    assert (tmp_path / "key=1" / "manifest" / "u-00000.parquet").exists()


def test_a_place_that_is_reserved_is_refused(tmp_path: Path) -> None:
    reserved(tmp_path / "key=1")
    with pytest.raises(OutputError, match="is being planned"):
        Reservation(FolderPlace(tmp_path / "key=1")).hold()


def test_a_job_that_another_plan_completed_between_look_and_reservation_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, make = tmp_path / "key=1", FolderPlace.create
    second = Reservation(FolderPlace(folder))

    def too_late(place: FolderPlace, name: str, data: bytes) -> bool:
        monkeypatch.undo()
        first = reserved(folder)
        (folder / "job.json").write_text("{}")
        first.release()
        return make(place, name, data)

    monkeypatch.setattr(FolderPlace, "create", too_late)
    with pytest.raises(SeglabError, match=r"job\.json"):
        second.hold()
    second.give_up()
    assert sorted(path.name for path in folder.iterdir()) == [".seg-batch", "job.json", "manifest"]
