"""A stream of groups: its order, what is read ahead, and what is left of it where something fails or it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from batch.figures import Finish
from batch.sources.bytes import FileBytes
from batch.steps.stream import Inline, stream
from batch.steps.task import Outcome, Task
from batch.steps.work import Work


class Maker:
    """Notes what is done with which row; ``fail``: a step and a row that raises."""

    def __init__(self, fail: tuple[str, int] = ("", 0)) -> None:
        self.fail = fail
        self.seen: list[tuple[str, int]] = []
        self.before: Callable[[str, int], None] = lambda step, row: None

    def rows(self, step: str) -> list[int]:
        return [row for name, row in self.seen if name == step]

    def _note(self, step: str, row: int) -> None:
        self.before(step, row)
        if self.fail == (step, row):
            raise LookupError(f"a bug in {step} of {row}")
        self.seen.append((step, row))

    def read(self, task: Task) -> Work:
        self._note("read", task.row)
        return Work(task)

    def predict(self, works: Sequence[Work]) -> None:
        for work in works:
            self._note("predict", work.task.row)

    def write(self, work: Work) -> Outcome:
        self._note("write", work.task.row)
        return Outcome(work.task.row, Finish(work.task.row))


def group(*rows: int) -> list[Task]:
    return [Task(row, f"{row}", f"{row}.png", FileBytes(f"{row}")) for row in rows]


def taking(*groups: list[Task]) -> Callable[[bool], Sequence[Task] | None]:
    left = iter(groups)
    return lambda may_wait: next(left, None)


def rows_of(outcomes: Iterator[list[Outcome]]) -> list[int]:
    return [outcome.row for some in outcomes for outcome in some]


@pytest.fixture(params=["inline", "threads"])
def pools(request: pytest.FixtureRequest) -> Iterator[tuple[Executor, Executor, int]]:
    if request.param == "inline":
        yield Inline(), Inline(), 0
        return
    with ThreadPoolExecutor(3) as readers, ThreadPoolExecutor(3) as writers:
        yield readers, writers, 2


Pools = tuple[Executor, Executor, int]
GROUPS = [group(1, 2, 3), group(4, 5, 6), group(7, 8, 9), group(10)]


def test_every_image_comes_once_in_groups(pools: Pools) -> None:
    maker = Maker()
    found = [[outcome.row for outcome in some] for some in stream(maker, taking(*GROUPS), *pools)]
    assert [rows for rows in found if rows] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    assert maker.rows("predict") == list(range(1, 11))
    assert sorted(maker.rows("read")) == sorted(maker.rows("write")) == list(range(1, 11))


def test_a_source_that_has_nothing_now_is_waited_for_only_where_nothing_is_held(pools: Pools) -> None:
    maker, asked = Maker(), list[bool]()
    answers = iter([[], group(1, 2), [], [], group(3), None])

    def take(may_wait: bool) -> Sequence[Task] | None:
        asked.append(may_wait)
        if may_wait:  # nothing that came is unfinished, or unsaid
            assert sorted(maker.rows("write")) == found
        return next(answers)

    found: list[int] = []
    turns = 0
    for some in stream(maker, take, *pools):
        found += [outcome.row for outcome in some]
        turns += not some
    assert found == [1, 2, 3]
    assert asked[0] is True
    assert turns >= 1  # the caller had its turn while there was nothing


def test_no_more_is_read_ahead_than_was_said() -> None:
    maker, taken, ahead = Maker(), 0, 2

    def take(may_wait: bool) -> Sequence[Task] | None:
        nonlocal taken
        taken += 1
        assert taken - len(maker.rows("predict")) <= ahead + 1
        return group(taken) if taken <= 30 else None

    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(2) as writers:
        maker.before = lambda step, row: time.sleep(0.003 * (step == "predict"))
        assert rows_of(stream(maker, take, readers, writers, ahead)) == list(range(1, 31))


def test_reading_and_writing_go_on_while_the_model_works() -> None:
    """The model waits until the next group was read, and writing until the next one was predicted."""
    maker, events = Maker(), {(step, row): threading.Event() for step in ("read", "predict") for row in (1, 2, 3)}

    def before(step: str, row: int) -> None:
        if step == "predict" and row < 3:
            assert events["read", row + 1].wait(10)
        if step == "write" and row < 3:
            assert events["predict", row + 1].wait(10)
        if step != "write":
            events[step, row].set()

    maker.before = before
    with ThreadPoolExecutor(2) as readers, ThreadPoolExecutor(2) as writers:
        assert rows_of(stream(maker, taking(*(group(row) for row in (1, 2, 3))), readers, writers, 1)) == [1, 2, 3]


@pytest.mark.parametrize("step", ["read", "predict", "write"])
def test_what_is_done_is_said_before_what_failed(pools: Pools, step: str) -> None:
    maker, found = Maker((step, 8)), list[int]()

    def run() -> None:
        for some in stream(maker, taking(*GROUPS), *pools):
            found.extend(outcome.row for outcome in some)

    with pytest.raises(LookupError, match=f"a bug in {step} of 8"):
        run()
    assert found[:6] == [1, 2, 3, 4, 5, 6]
    assert sorted(found) == sorted(maker.rows("write"))  # nothing is written and not said
    assert len(found) == len(set(found))


def test_after_a_stop_what_the_model_has_seen_is_written_and_the_rest_is_dropped(pools: Pools) -> None:
    maker, stopped = Maker(), threading.Event()
    maker.before = lambda step, row: stopped.set() if (step, row) == ("predict", 4) else None
    found = rows_of(stream(maker, taking(*GROUPS), *pools, is_stopped=stopped.is_set))
    assert found == maker.rows("predict") == [1, 2, 3, 4, 5, 6]
    assert sorted(maker.rows("write")) == found


def test_a_stop_at_the_start_takes_nothing(pools: Pools) -> None:
    maker = Maker()
    assert rows_of(stream(maker, taking(*GROUPS), *pools, is_stopped=lambda: True)) == []
    assert maker.seen == []


def test_who_leaves_early_leaves_nothing_half_said(pools: Pools) -> None:
    maker = Maker()
    found = stream(maker, taking(*GROUPS), *pools)
    first = next(some for some in found if some)
    found.close()  # type: ignore[attr-defined]
    assert [outcome.row for outcome in first] == [1, 2, 3]
