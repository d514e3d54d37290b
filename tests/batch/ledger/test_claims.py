"""Claims against a simple model of them: whatever the order in which runs name their images."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.figures import Figures, Finish
from batch.ledger.claims import LONG, SHORT, Claims, Rows
from batch.ledger.records import Claim, RunRecord
from batch.ledger.schema import ledger_path, open_for_writing
from batch.ledger.writer import Ledger
from batch.naming import NameTemplate, clash_key
from batch.sources.bytes import FileBytes
from batch.sources.image_ref import ImageRef, Origin

NAMES = ["a.jpg", "a.png", "A.jpg", "b.jpg", "d/a.jpg", "d/b.png", "ä.jpg", "a\u0308.jpg", "c.jpg", "a.jpg.jpg"]
FIGURES = Figures(4, 5, 3, (0, 0, 1, 3), 0.9)


@dataclass
class Known:
    """What the model knows of a path: the state it was done in, and the number of the run that took it on last."""

    mask: str
    done: tuple[str, int] | None = None
    taken_by: int = -1


def item(name: str, size: int) -> ImageRef:
    return ImageRef(f"/src/{name}", name, Origin("/src"), size, 1, FileBytes(f"/src/{name}"))


def record(key: str) -> RunRecord:
    return RunRecord(key, "m.onnx", "0" * 64, "cpu", "CPU", "fp32", {}, {})


chunks = st.lists(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 2)), max_size=6), max_size=5)
runs = st.lists(st.tuples(st.sampled_from(["k1", "k2"]), st.booleans(), chunks), min_size=1, max_size=4)


@pytest.mark.slow
@given(runs=runs, lost=st.sets(st.sampled_from(NAMES), max_size=2), salt=st.integers(0, 3))
def test_claims_are_those_of_a_simple_model(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[str, bool, list[list[tuple[str, int]]]]],
    lost: set[str],
    salt: int,
) -> None:
    """``lost``: images whose masks are never found again. Some images fail, by their name and the salt."""
    out = tmp_path_factory.mktemp("ledger")
    known: dict[str, Known] = {}
    for number, (key, finishes, parts) in enumerate(runs):
        gone = {known[name].mask for name in lost if name in known}
        with Ledger(out, NameTemplate(), record(key), lambda masks, gone=gone: set(masks) - gone) as ledger:  # type: ignore[misc]
            for part in parts:
                claimed = ledger.claim([item(*entry) for entry in part])
                assert [claim.item.relative for claim in claimed] == [name for name, _ in part]
                for claim in claimed:
                    name, size = claim.item.relative, claim.item.bytes
                    entry = known.setdefault(name, Known(claim.mask))
                    assert claim.mask == entry.mask
                    same = entry.done == (key, size) and entry.mask not in gone
                    expected = Claim.KEPT if same else Claim.TODO
                    assert claim.claim is (Claim.REPEATED if entry.taken_by == number else expected)
                    if claim.claim is Claim.TODO:
                        entry.done = None
                    entry.taken_by = number
                for claim in claimed:
                    if finishes and claim.claim is Claim.TODO:
                        fails = (len(claim.item.relative) + salt) % 4 == 0
                        figures, error = (None, "broken") if fails else (FIGURES, None)
                        ledger.finish(Finish(claim.row, claim.item.bytes, 1, 0.1, figures, error))
                        known[claim.item.relative].done = None if fails else (key, claim.item.bytes)
            ledger.commit()
    masks = [entry.mask for entry in known.values()]
    assert len({clash_key(mask) for mask in masks}) == len(masks)


def test_of_a_path_named_twice_the_first_is_taken_on(tmp_path: Path) -> None:
    """In another order than before, so that the ledger knows the second one sooner. (Found by the test above.)"""
    with Ledger(tmp_path, NameTemplate(), record("k1"), set) as ledger:
        ledger.claim([item("a.jpg", 1), item("a.png", 1)])
    with Ledger(tmp_path, NameTemplate(), record("k1"), set) as ledger:
        claimed = ledger.claim([item("a.png", 1), item("a.jpg", 1), item("a.png", 1)])
    assert [claim.claim for claim in claimed] == [Claim.TODO, Claim.TODO, Claim.REPEATED]


def test_rows_are_read_in_pages_and_only_up_to_the_last_run(tmp_path: Path) -> None:
    count = SHORT + 2 * LONG
    with closing(open_for_writing(ledger_path(tmp_path))) as connection:
        claims = Claims(connection, NameTemplate(), set, "k", 1)
        made = claims.claim([item(f"{number}.jpg", 1) for number in range(count)])
        connection.execute("DELETE FROM items WHERE id = 5")  # by hand
        rows = Rows(connection, count - 1)
        found = [rows.take(f"/src/{number}.jpg") for number in range(count)]
        assert [row.id if row else None for row in found] == [1, 2, 3, 4, None, *range(6, count), None]
        rows.leap(5)
        found = [rows.take(f"/src/{number}.jpg") for number in range(5, count)]
        assert [row.id if row else None for row in found] == [*range(6, count), None]
        rows.leap(made[9].row)
        assert (row := rows.take("/src/10.jpg")) is not None
        assert row.mask == "10.png"
