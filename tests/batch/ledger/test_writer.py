"""The ledger: names, states, transactions, and files that are not what they should be."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batch.errors import OutputError
from batch.figures import Figures, Finish
from batch.ledger import schema, writer
from batch.ledger.lock import locked
from batch.ledger.reader import LedgerReader
from batch.ledger.records import Claim, RunRecord
from batch.ledger.schema import FORMAT_VERSION, ledger_path
from batch.ledger.writer import NOTED_TOGETHER, Ledger
from batch.naming import NameTemplate
from batch.outputs.base import FolderStore
from batch.sources.bytes import FileBytes
from batch.sources.image_ref import ImageRef, Origin

FIGURES = Figures(40, 60, 35, (1, 2, 6, 9), 0.9)


def record(key: str = "k1") -> RunRecord:
    return RunRecord(key, "m.onnx", "0" * 64, "cpu", "CPUExecutionProvider", "fp32", {"exact": False}, {"python": "3"})


def open_ledger(out: Path, key: str = "k1", template: str = "{stem}.png") -> Ledger:
    out.mkdir(exist_ok=True)
    return Ledger(out, NameTemplate(template), record(key), FolderStore(out).present)


def item(name: str, size: int = 10, mtime: int = 20) -> ImageRef:
    return ImageRef(f"/src/{name}", name, Origin("/src"), size, mtime, FileBytes(f"/src/{name}"))


def finish(ledger: Ledger, out: Path, *items: ImageRef, content: bytes = b"x") -> None:
    """Claim, write and finish."""
    for claimed in ledger.claim(items):
        (out / claimed.mask).parent.mkdir(parents=True, exist_ok=True)
        (out / claimed.mask).write_bytes(content)
        ledger.finish(Finish(claimed.row, claimed.item.bytes, claimed.item.mtime_ns, 0.1, FIGURES))
    ledger.commit()


def claims(ledger: Ledger, *items: ImageRef) -> list[tuple[str, Claim]]:
    return [(claimed.mask, claimed.claim) for claimed in ledger.claim(items)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def rows(out: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        return list(connection.execute(sql))


def test_names_that_clash_are_told_apart_and_stay(out: Path) -> None:
    items = [item("a.jpg"), item("a.png"), item("d/a.jpg"), item("A.JPG")]
    expected = ["a.png", "a.png.png", "d/a.png", "A.JPG.png"]
    with open_ledger(out) as ledger:
        assert [mask for mask, _ in claims(ledger, *items)] == expected
    with open_ledger(out) as ledger:  # in another order, after a kill: the same names
        assert [mask for mask, _ in claims(ledger, *reversed(items))] == expected[::-1]


def test_three_sources_with_one_name(out: Path) -> None:
    items = [
        ImageRef(f"/{source}/a.jpg", "a.jpg", Origin(f"/{source}"), 1, 1, FileBytes(f"/{source}/a.jpg"))
        for source in "xyz"
    ]
    with open_ledger(out) as ledger:
        assert [mask for mask, _ in claims(ledger, *items)] == ["a.png", "a.jpg.png", "a.jpg.2.png"]


def test_done_means_row_input_settings_and_mask(out: Path) -> None:
    with open_ledger(out) as ledger:
        finish(ledger, out, *(item(f"{name}.jpg") for name in "abcdef"))
    (out / "b.png").unlink()
    (out / "c.png").write_bytes(b"")
    with open_ledger(out) as ledger:
        found = ledger.claim(
            [item("a.jpg"), item("b.jpg"), item("c.jpg"), item("d.jpg", size=11), item("e.jpg", mtime=21)]
        )
    assert [entry.claim for entry in found] == [Claim.KEPT, Claim.TODO, Claim.TODO, Claim.TODO, Claim.TODO]
    with open_ledger(out, key="k2") as ledger:
        assert claims(ledger, item("f.jpg")) == [("f.png", Claim.TODO)]


def test_failed_items_are_tried_again(out: Path) -> None:
    with open_ledger(out) as ledger:
        (claimed,) = ledger.claim([item("a.jpg")])
        ledger.finish(Finish(claimed.row, 10, 20, 0.1, error="broken"))
        ledger.commit()
        with LedgerReader(out) as reader:
            assert [entry.error for entry in reader.entries("failed")] == ["broken"]
    with open_ledger(out) as ledger:
        assert claims(ledger, item("a.jpg")) == [("a.png", Claim.TODO)]


def test_an_item_that_is_named_twice_is_one(out: Path) -> None:
    with open_ledger(out) as ledger:
        found = claims(ledger, item("a.jpg"), item("a.jpg"))
        assert found == [("a.png", Claim.TODO), ("a.png", Claim.REPEATED)]
        assert claims(ledger, item("a.jpg")) == [("a.png", Claim.REPEATED)]


def test_claims_are_on_record_before_anything_is_written(out: Path) -> None:
    with open_ledger(out) as ledger:
        ledger.claim([item("a.jpg")])
        assert rows(out, "SELECT mask, status FROM items") == [("a.png", "pending")]
        assert ledger.unfinished() == ["a.png"]


def test_results_wait_for_their_transaction(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "COMMIT_SECONDS", 1e9)
    with open_ledger(out) as ledger:
        one, other = ledger.claim([item("a.jpg"), item("b.jpg")])
        for claimed in (one, other):
            ledger.finish(Finish(claimed.row, 10, 20, 0.1, FIGURES))
            ledger.keep_up()
        assert rows(out, "SELECT count(*) FROM items WHERE status = 'done'") == [(0,)]
        monkeypatch.setattr(writer, "COMMIT_SECONDS", -1)
        ledger.keep_up()  # called also while nothing is finished
        assert rows(out, "SELECT count(*) FROM items WHERE status = 'done'") == [(2,)]


def test_many_results_go_to_the_database_together_and_none_is_forgotten(out: Path) -> None:
    count = 2 * NOTED_TOGETHER + 3
    with open_ledger(out) as ledger:
        for claimed in ledger.claim([item(f"{number:04}.jpg") for number in range(count)]):
            ledger.finish(Finish(claimed.row, 10, 20, 0.1, FIGURES))
        ledger.end_run({})
        assert rows(out, "SELECT count(*) FROM items WHERE status = 'done'") == [(count,)]


def test_a_process_that_ended_on_an_image_is_on_record_at_once(out: Path) -> None:
    with open_ledger(out) as ledger:
        one, other = ledger.claim([item("a.jpg"), item("b.jpg")])
        ledger.blame([one.row])
        assert rows(out, "SELECT attempts FROM items ORDER BY id") == [(1,), (0,)]
    with open_ledger(out) as ledger:
        assert [entry.attempts for entry in ledger.claim([item("a.jpg"), item("b.jpg")])] == [1, 0]
        ledger.blame([one.row, other.row])
        ledger.finish(Finish(one.row, 10, 20, 0.1, FIGURES))
        ledger.finish(Finish(other.row, error="it ended twice", was_read=False, attempts=1))
        ledger.commit()
        assert rows(out, "SELECT status, attempts FROM items ORDER BY id") == [("done", 0), ("failed", 1)]
        ledger.blame([one.row])  # of what is done nobody is to blame
        assert rows(out, "SELECT attempts FROM items ORDER BY id") == [(0,), (1,)]


def test_an_image_that_changed_is_not_to_blame_for_what_it_was(out: Path) -> None:
    with open_ledger(out) as ledger:
        (one,) = ledger.claim([item("a.jpg")])
        ledger.blame([one.row])
    with open_ledger(out) as ledger:
        (one,) = ledger.claim([item("a.jpg", size=11)])
        assert one.attempts == 0


def test_what_a_row_says(out: Path) -> None:
    with open_ledger(out) as ledger:
        finish(ledger, out, item("a.jpg"))
    names = "height, width, lesion_area, bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence, seconds, bytes, mtime_ns, key"
    assert rows(out, f"SELECT {names} FROM items") == [(40, 60, 35, 1, 2, 6, 9, 0.9, 0.1, 10, 20, "k1")]
    assert rows(out, "SELECT lesion_fraction FROM items")[0][0] == pytest.approx(35 / 2400)
    assert rows(out, "SELECT device, precision, provider FROM runs") == [("cpu", "fp32", "CPUExecutionProvider")]


def test_names_that_are_not_utf8_survive(out: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    with open_ledger(out) as ledger:
        finish(ledger, out, item(name))
    with open_ledger(out) as ledger:
        assert claims(ledger, item(name)) == [(os.fsdecode(b"caf\xe9 \xff.png"), Claim.KEPT)]
    with LedgerReader(out) as reader:
        assert [entry.path for entry in reader.entries("done")] == [f"/src/{name}"]
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        connection.text_factory = bytes
        assert connection.execute("SELECT path FROM items").fetchone() == (b"/src/caf\xe9 \xff.jpg",)


def test_another_template_is_refused(out: Path) -> None:
    open_ledger(out).close()
    with pytest.raises(OutputError, match=r"named by '\{stem\}\.png'.*--name"):
        open_ledger(out, template="{stem}_segmentation.png")


def test_a_newer_ledger_is_refused(out: Path) -> None:
    open_ledger(out).close()
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    with pytest.raises(OutputError, match=f"has format {FORMAT_VERSION + 1}.*newer release"):
        open_ledger(out)
    with pytest.raises(OutputError, match="newer release"):
        LedgerReader(out)


def test_a_foreign_database_is_refused_and_left_alone(out: Path) -> None:
    out.mkdir()
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        connection.execute("CREATE TABLE t (x)")
    before = ledger_path(out).read_bytes()
    with pytest.raises(OutputError, match="another program"):
        open_ledger(out)
    assert ledger_path(out).read_bytes() == before


def test_a_file_that_is_no_database_is_refused(out: Path) -> None:
    out.mkdir()
    ledger_path(out).write_text("not a database, but long enough to have a header" * 50)
    with pytest.raises(OutputError, match="cannot be used: file is not a database"):
        open_ledger(out)


def test_an_empty_file_is_what_a_kill_at_the_very_start_leaves(out: Path) -> None:
    out.mkdir()
    ledger_path(out).touch()
    with open_ledger(out) as ledger:
        assert claims(ledger, item("a.jpg")) == [("a.png", Claim.TODO)]


def test_no_ledger(out: Path) -> None:
    with pytest.raises(OutputError, match="There is no ledger in"):
        LedgerReader(out)


def test_reading_while_a_run_writes(out: Path) -> None:
    with open_ledger(out) as ledger:
        finish(ledger, out, item("a.jpg"))
        ledger.claim([item("b.jpg")])
        with LedgerReader(out) as reader:
            assert reader.counts() == {"done": 1, "failed": 0, "pending": 1}
            run = reader.last_run()
            assert run is not None
            assert run.finished_at is None
            ledger.end_run({"done": 1})
            run = reader.last_run()
            assert run is not None
            assert run.summary == {"done": 1}


def test_the_lock_is_given_back(out: Path) -> None:
    with locked(out), pytest.raises(OutputError, match="Another run is writing"), locked(out):
        raise AssertionError("two runs at once")
    with locked(out):
        pass


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(OutputError, match="cannot be written"), locked(path / "out"):
        raise AssertionError("no folder")


def test_a_ledger_that_another_program_has_locked(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ledger(out).close()
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(ledger_path(out))) as browser:
        browser.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutputError, match=r"another program has locked it.*Close that program"):
            open_ledger(out)
    open_ledger(out).close()
