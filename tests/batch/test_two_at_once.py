"""Two commands at once on one archive, one folder of pictures, one training set, one report, one export."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import batch.commands.forget as forgetting
from batch.commands.report import write_report
from batch.errors import OutputError
from batch.formats.files import LIST_NAME, ExportFolder
from batch.ledger.lock import locked
from batch.outputs.spec import Output
from batch.review.importing import take_in
from tests.support.archive import archived_masks, masks_below, run_all, save_many

IN_USE = "Another run is writing to"


def test_an_archive_is_written_by_one_run_whatever_ledger_each_has(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    archive = tmp_path / "m.zip"
    with Output.of(archive, tmp_path / "one").hold(), pytest.raises(OutputError, match=IN_USE):
        run_all(tmp_path / "in", archive, ledger=tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    run_all(tmp_path / "in", archive, ledger=tmp_path / "two")
    assert len(archived_masks(archive)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.zip", "two"]


@pytest.mark.parametrize("what", ["overlays", "probs"])
def test_a_folder_of_pictures_is_written_by_one_run(tmp_path: Path, what: str) -> None:
    save_many(tmp_path / "in", 2)
    pictures: Any = {what: tmp_path / "pictures"}
    with Output.of(tmp_path / "one").hold(tmp_path / "pictures"), pytest.raises(OutputError, match=IN_USE):
        run_all(tmp_path / "in", tmp_path / "two", **pictures)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    run_all(tmp_path / "in", tmp_path / "two", **pictures)
    assert len(masks_below(tmp_path / "two")) == 2


def test_one_folder_under_two_names_is_locked_once(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with locked(tmp_path / "there", tmp_path / "link"):
        assert len(list((tmp_path / "there").iterdir())) == 1


def test_a_training_set_is_filled_by_one_command(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 2)
    run_all(tmp_path / "in", tmp_path / "out")
    with locked(tmp_path / "set"), pytest.raises(OutputError, match=IN_USE):
        take_in(Output.of(tmp_path / "out"), None, tmp_path / "set", accepted=True)
    take_in(Output.of(tmp_path / "out"), None, tmp_path / "set", accepted=True)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("purge", [False, True])
def test_a_report_that_was_written_while_images_were_forgotten_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purge: bool
) -> None:
    save_many(tmp_path / "in", 3)
    out, before = tmp_path / "out", forgetting._remove_chosen
    run_all(tmp_path / "in", out)

    def with_report(*arguments: Any) -> None:
        write_report(out)
        before(*arguments)

    monkeypatch.setattr(forgetting, "_remove_chosen", with_report)
    request = forgetting.ForgetRequest(out, [str(tmp_path / "in" / "001.png")], purge=purge)
    report = forgetting.forget(request)
    assert report.lost_report
    assert not (out / "report.html").exists()


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_an_export_locks_the_list_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Another one ends between opening the list and locking it."""
    fcntl = pytest.importorskip("fcntl")
    listed, lock = tmp_path / LIST_NAME, fcntl.flock
    calls: list[int] = []

    def ends_first(held: int, operation: int) -> None:
        if not calls:
            (tmp_path / "new").write_bytes(listed.read_bytes())
            os.replace(tmp_path / "new", listed) if how == "replaced" else listed.unlink()
        calls.append(held)
        lock(held, operation)

    monkeypatch.setattr(fcntl, "flock", ends_first)
    folder, other = ExportFolder(tmp_path), ExportFolder(tmp_path)
    folder.prepare(keep_from_runs=False)
    assert len(calls) == 2
    with pytest.raises(OutputError, match="Another export"):
        other.prepare(keep_from_runs=False)
    folder.close()
