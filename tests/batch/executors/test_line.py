"""Who gets which images: groups that are full, what comes alone, and nobody who waits for ever."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import pytest

from batch.executors import line as lines
from batch.executors.line import EXACT_HELD, HELD_AT_LEAST, MOST_SOLO, Line
from batch.executors.messages import Parcel
from batch.executors.process import Worker
from batch.sources.bytes import FileBytes
from batch.steps.task import Task


@dataclass(eq=False)
class StandInWorker:
    """What a line knows of a worker, without a process."""

    is_ready: bool = True
    held: dict[int, Task] = field(default_factory=dict)

    @property
    def load(self) -> int:
        return len(self.held)

    @property
    def has_solo(self) -> bool:
        return len(self.held) == 1 and next(iter(self.held.values())).solo


def tasks(rows: Iterable[int], **more: int) -> list[Task]:
    return [Task(row, f"/{row}.png", f"{row}.png", FileBytes(f"/{row}.png"), **more) for row in rows]  # type: ignore[arg-type]


def hand_out(line: Line, *workers: StandInWorker, starved: bool = False, ended: bool = False) -> list[list[list[int]]]:
    """Return the rows of the groups that each worker gets."""
    parcels = line.hand_out(cast(list[Worker], list(workers)), starved=starved, ended=ended)
    by_worker = cast(dict[StandInWorker, Parcel], parcels)
    return [[[task.row for task in group] for group in by_worker.get(worker, [])] for worker in workers]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is not full is handed out at once where the source has nothing."""
    monkeypatch.setattr(lines, "PARTIAL_SECONDS", -1.0)


def test_groups_are_full_and_a_worker_holds_so_much_at_most() -> None:
    line, worker = Line(8, 1, exact=False), StandInWorker()
    line.add(tasks(range(1, 101)))
    given = hand_out(line, worker)[0]
    assert [len(group) for group in given] == [8] * 4
    assert [row for group in given for row in group] == list(range(1, 33))  # in order
    assert (len(line), worker.load) == (68, 32)
    assert hand_out(line, worker) == [[]]
    for row in range(1, 8):
        del worker.held[row]
    assert hand_out(line, worker) == [[]]  # no room for a full one
    del worker.held[8]
    assert hand_out(line, worker) == [[list(range(33, 41))]]


@pytest.mark.parametrize(
    ("batch", "exact", "held"), [(2, False, HELD_AT_LEAST), (64, False, 256), (1, True, EXACT_HELD)]
)
def test_what_a_worker_may_hold(batch: int, exact: bool, held: int) -> None:
    line, worker = Line(batch, 1, exact=exact), StandInWorker()
    line.add(tasks(range(1, 1001)))
    hand_out(line, worker)
    assert worker.load == held


def test_a_batch_that_is_not_full_waits_for_company_and_then_goes_to_one_without_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line, idle = Line(8, 1, exact=False), StandInWorker()
    line.add(tasks([1, 2, 3]))
    assert hand_out(line, idle) == [[]]  # more may come
    assert hand_out(line, idle, starved=True) == [[]]  # but not for a tenth of a second yet
    monkeypatch.setattr(lines, "PARTIAL_SECONDS", -1.0)
    busy = StandInWorker(held={9: tasks([9])[0]})
    assert hand_out(line, busy, starved=True) == [[]]  # it has something to do
    assert hand_out(line, busy, idle, starved=True) == [[], [[1, 2, 3]]]


def test_images_that_come_one_by_one_do_not_wait_while_a_worker_is_idle() -> None:
    line, idle, busy = (
        Line(8, 1, exact=False, partial_seconds=0.0),
        StandInWorker(),
        StandInWorker(held={9: tasks([9])[0]}),
    )
    line.add(tasks([1]))
    assert hand_out(line, busy, starved=True) == [[]]
    assert hand_out(line, busy, idle, starved=True) == [[], [[1]]]


def test_the_last_ones_go_out_at_once() -> None:
    line, worker = Line(8, 1, exact=False), StandInWorker()
    line.add(tasks(range(1, 12)))
    assert hand_out(line, worker, ended=True) == [[[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11]]]
    assert len(line) == 0


def test_few_images_are_shared_out_evenly() -> None:
    line, workers = Line(2, 3, exact=False), [StandInWorker() for _ in range(3)]
    line.add(tasks(range(1, 13)))
    given = hand_out(line, *workers, ended=True)
    assert [sum(map(len, groups)) for groups in given] == [4, 4, 4]


def test_who_is_not_ready_gets_nothing() -> None:
    line, opening, ready = Line(2, 2, exact=False), StandInWorker(is_ready=False), StandInWorker()
    line.add(tasks(range(1, 5)))
    assert hand_out(line, opening, ready) == [[], [[1, 2], [3, 4]]]
    line.add(tasks(range(5, 9)))
    assert hand_out(line, opening) == [[]]


def test_one_is_worked_on_alone_at_a_time_and_the_others_go_on() -> None:
    line, one, other = Line(2, 2, exact=False), StandInWorker(), StandInWorker()
    for task in tasks([101, 102]):
        line.add_solo(task)
    line.add(tasks(range(1, 9)))
    given = hand_out(line, one, other)
    assert given == [[[101]], [[1, 2], [3, 4], [5, 6], [7, 8]]]
    assert one.has_solo
    other.held.clear()
    assert hand_out(line, one, other) == [[], []]  # the second waits, although a worker has nothing to do
    one.held.clear()
    given = hand_out(line, one, other)
    assert sorted(map(str, given)) == ["[[102]]", "[]"]
    assert len(line) == 0


def test_a_worker_is_kept_free_until_what_it_has_is_done() -> None:
    line = Line(2, 2, exact=False)
    one, other = (StandInWorker(held={task.row: task for task in tasks(rows)}) for rows in ([1, 2], [3, 4, 5, 6]))
    line.add_solo(tasks([101])[0])
    line.add(tasks(range(11, 61)))
    given = hand_out(line, one, other)
    assert given[0] == []
    assert given[1] != []
    del one.held[1]
    assert hand_out(line, one, other)[0] == []
    del one.held[2]
    assert hand_out(line, one, other)[0] == [[101]]


def test_another_worker_is_kept_free_where_that_one_is_lost() -> None:
    line = Line(2, 2, exact=False)
    lost, other = (StandInWorker(held={task.row: task for task in tasks([row])}) for row in (1, 2))
    line.add_solo(tasks([101])[0])
    assert hand_out(line, lost, other) == [[], []]
    other.held.clear()
    assert hand_out(line, other, StandInWorker(is_ready=False)) == [[[101]], []]


def test_a_single_worker_turns_to_both() -> None:
    """What is alone does not starve what is not, and is not starved by it."""
    line, worker = Line(2, 1, exact=False), StandInWorker()
    for task in tasks([101, 102, 103]):
        line.add_solo(task)
    line.add(tasks(range(1, 4)))
    order = []
    for _ in range(10):
        order += [row for group in hand_out(line, worker, ended=True)[0] for row in group]
        worker.held.clear()
    assert sorted(order) == [1, 2, 3, 101, 102, 103]


def test_what_whole_runs_were_killed_on_comes_last_and_alone() -> None:
    line, one, other = Line(2, 2, exact=False), StandInWorker(), StandInWorker()
    line.add([*tasks([101, 102], attempts=1), *tasks([1, 2, 3, 4])])
    assert sorted(row for groups in hand_out(line, one, other, ended=True) for group in groups for row in group) == [
        1, 2, 3, 4,
    ]  # fmt: skip
    one.held.clear()
    assert hand_out(line, one, other, ended=True) == [[], []]  # the other one is still at work
    other.held.clear()
    assert hand_out(line, one, other, ended=True) == [[[101]], []]
    assert hand_out(line, one, other, ended=True) == [[], []]
    one.held.clear()
    assert hand_out(line, one, other, ended=True) == [[[102]], []]


def test_what_a_lost_worker_had_not_begun_goes_first() -> None:
    line, worker = Line(2, 1, exact=False), StandInWorker()
    line.add(tasks([3, 4]))
    for task in reversed(tasks([1, 2])):
        line.put_back(task)
    assert hand_out(line, worker) == [[[1, 2], [3, 4]]]


def test_a_source_is_not_asked_for_more_than_is_worth_it() -> None:
    line = Line(8, 2, exact=False)
    wanted = [line.wants_more]
    line.add(tasks(range(1, 33)))
    wanted.append(line.wants_more)
    hand_out(line, StandInWorker(), StandInWorker())
    wanted.append(line.wants_more)
    for task in tasks(range(100, 100 + MOST_SOLO)):
        line.add_solo(task)
    assert [*wanted, line.wants_more] == [True, False, True, False]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("seed", range(20))
def test_everything_is_handed_out_once_whatever_happens(seed: int) -> None:
    """Workers come, finish some, and are lost; images turn out to be large: none is forgotten, none is done twice."""
    draw = random.Random(seed)
    line, workers = Line(draw.choice([1, 2, 8]), 3, exact=draw.random() < 0.3), [StandInWorker() for _ in range(3)]
    left, done = tasks(range(1, 121)), list[int]()
    left = [task._replace(attempts=draw.random() < 0.05) for task in left]
    for _ in range(5000):
        if line.wants_more and left:
            some = draw.randrange(8)
            line.add(left[:some])
            del left[:some]
        hand_out(line, *workers, starved=draw.random() < 0.5, ended=not left)
        worker = draw.choice(workers)
        assert sum(one.has_solo for one in workers) <= 1
        if draw.random() < 0.05:
            for task in reversed(worker.held.values()):
                line.put_back(task)
            workers[workers.index(worker)] = StandInWorker()
            continue
        for row in list(worker.held)[: draw.randrange(4)]:
            task = worker.held.pop(row)
            if not task.solo and draw.random() < 0.1:
                line.add_solo(task)
            else:
                done.append(row)
        if not left and not line and not any(one.load for one in workers):
            break
    assert sorted(done) == list(range(1, 121))
