"""Decisions: nobody's is lost, the last one holds, and one on an earlier mask does not."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from batch.errors import OutputError
from batch.review.decisions import REVIEW_NAME, Action, Decision, Decisions, Verdict, standing_of

NAME = "/p/\udcff ünï.jpg"
ADD = """
import sys
from pathlib import Path
from batch.review.decisions import Action, Decisions
with Decisions(Path(sys.argv[1])) as decisions:
    for number in range(100):
        decisions.add(f"/p/{number}.jpg", "a", Action.ACCEPT, sys.argv[2])
"""


def decided(*actions: str, sha256: str = "a") -> list[Decision]:
    """Return decisions given as ``reviewer action``."""
    pairs = [action.split() for action in actions]
    return [
        Decision(number, "p", sha256, Action(action), "n" if action == "note" else "", who, "")
        for number, (who, action) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("actions", "verdict", "reviewer"),
    [
        ([], Verdict.NONE, ""),
        (["x accept"], Verdict.ACCEPTED, "x"),
        (["x accept", "x reject"], Verdict.REJECTED, "x"),
        (["x accept", "x reject", "x undo"], Verdict.ACCEPTED, "x"),
        (["x accept", "x undo"], Verdict.NONE, ""),
        (["x undo", "x reject"], Verdict.REJECTED, "x"),
        (["x accept", "y reject", "x undo"], Verdict.REJECTED, "y"),
        (["x accept", "y undo"], Verdict.ACCEPTED, "x"),
        (["x accept", "y reject", "x undo", "x undo"], Verdict.REJECTED, "y"),
        (["x accept", "x note"], Verdict.ACCEPTED, "x"),
    ],
)
def test_what_decisions_mean(actions: list[str], verdict: Verdict, reviewer: str) -> None:
    standing = standing_of(decided(*actions), "a")
    assert (standing.verdict, standing.reviewer) == (verdict, reviewer)


def test_a_decision_on_another_mask_does_not_count() -> None:
    before = decided("x accept", "x note", sha256="b")
    assert standing_of(before, "a").verdict is Verdict.NONE
    assert standing_of(before, "a").note == ""
    assert standing_of([*before, *decided("y reject")], "a").verdict is Verdict.REJECTED
    assert standing_of(before, None).verdict is Verdict.ACCEPTED


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    with Decisions(tmp_path) as decisions:
        decisions.add(NAME, None, Action.NOTE, "Müller \udcff", "'; DROP TABLE decisions; --\n\udcff")
    with Decisions(tmp_path) as decisions:
        [found] = decisions.of([NAME, "/other"])[NAME]
        assert (found.reviewer, found.note) == ("Müller \udcff", "'; DROP TABLE decisions; --\n\udcff")
        assert found.sha256 is None
        assert list(decisions.changed_since(0)) == [[NAME]]
        assert list(decisions.changed_since(found.id)) == []


def test_programs_that_decide_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", ADD, str(tmp_path), who]) for who in ("x", "y", "z")]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0, 0]
    with Decisions(tmp_path) as decisions:
        found = decisions.of([f"/p/{number}.jpg" for number in range(100)])
    assert all(sorted(one.reviewer for one in some) == ["x", "y", "z"] for some in found.values())
    assert len(found) == 100


def test_a_decision_after_one_that_was_not_known_is_not_added(tmp_path: Path) -> None:
    with Decisions(tmp_path) as decisions:
        assert decisions.add(NAME, "a", Action.ACCEPT, "x", after=0)
        [first] = decisions.of([NAME])[NAME]
        assert decisions.add("/other", "a", Action.REJECT, "y", after=0)
        assert not decisions.add(NAME, "a", Action.REJECT, "y", after=0)
        assert decisions.add(NAME, "a", Action.REJECT, "y", after=first.id)
        assert [one.reviewer for one in decisions.of([NAME])[NAME]] == ["x", "y"]


def test_a_large_number_is_read_in_parts(tmp_path: Path) -> None:
    paths = [f"/p/{number:04}" for number in range(1201)]
    with Decisions(tmp_path) as decisions:
        decisions._connection.execute("BEGIN")  # one commit instead of 1,201
        for path in paths:
            decisions.add(path, "a", Action.ACCEPT, "x")
        decisions._connection.execute("COMMIT")
        assert [path for some in decisions.changed_since(0) for path in some] == paths
        assert len(decisions.of(paths)) == 1201
        assert decisions.forget(paths[1:]) == 1200
        assert decisions.last() == 1
        decisions.add("/p/new", "a", Action.ACCEPT, "x")
        assert list(decisions.changed_since(1201)) == [["/p/new"]]


@pytest.mark.parametrize("text", ["CREATE TABLE theirs (x)", "PRAGMA application_id = 7"])
def test_a_file_of_another_program_is_refused(tmp_path: Path, text: str) -> None:
    with closing(sqlite3.connect(tmp_path / REVIEW_NAME)) as connection:
        connection.execute(text)
    before = (tmp_path / REVIEW_NAME).read_bytes()
    with pytest.raises(OutputError, match=r"review\.sqlite is a database of another program; expected decisions of"):
        Decisions(tmp_path)
    assert (tmp_path / REVIEW_NAME).read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / REVIEW_NAME).write_text("theirs, and long enough to be looked at " * 10)
    with pytest.raises(OutputError, match=r"file is not a database\. Expected a database of decisions, or none"):
        Decisions(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Decisions(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / REVIEW_NAME)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(OutputError, match=r"has format 9; this release knows up to 1\. Install the newer release"):
        Decisions(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="in a folder with write permission"):
        Decisions(tmp_path)
