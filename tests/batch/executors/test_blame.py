"""Which images hang, and what is said of those that a process or a run ended on."""

from __future__ import annotations

from collections.abc import Iterable

from batch.executors.blame import Hangs, crashed, given_up, hung
from batch.sources.bytes import FileBytes
from batch.steps.begun import Slot
from batch.steps.task import Task

TASK = Task(3, "/a.png", "a.png", FileBytes("/a.png"))


def looks(hangs: Hangs, slots: Iterable[Slot], count: int, seconds: float = 1.0, worker: int = 0) -> list[set[int]]:
    return [hangs.overdue(worker, slots, seconds) for _ in range(count)]


def test_an_image_hangs_once_it_took_longer() -> None:
    assert looks(Hangs(3), [Slot(7, 1.0)], 5) == [set(), set(), set(), {7}, {7}]


def test_a_batch_has_the_time_of_all_its_images() -> None:
    batch, alone = [Slot(1, 5.0), Slot(2, 5.0), Slot(3, 5.0)], Slot(4, 6.0)
    found = looks(Hangs(2), [*batch, alone], 7)
    assert found == [set(), set(), {4}, {4}, {4}, {4}, {1, 2, 3, 4}]


def test_no_look_counts_more_than_a_second() -> None:
    """The machine slept for an hour: nobody hangs."""
    hangs = Hangs(3)
    assert looks(hangs, [Slot(7, 1.0)], 3, seconds=3600) == [set()] * 3
    assert looks(hangs, [Slot(7, 1.0)], 1, seconds=3600) == [{7}]


def test_a_new_beginning_counts_anew() -> None:
    hangs = Hangs(3)
    looks(hangs, [Slot(7, 1.0)], 3)
    assert looks(hangs, [Slot(7, 9.0)], 3) == [set()] * 3  # the same image, begun again
    looks(hangs, [], 1)
    assert looks(hangs, [Slot(7, 9.0)], 3) == [set()] * 3


def test_workers_are_told_apart() -> None:
    hangs = Hangs(3)
    assert looks(hangs, [Slot(7, 1.0)], 3) == [set()] * 3
    assert looks(hangs, [Slot(7, 1.0)], 3, worker=1) == [set()] * 3
    assert looks(hangs, [Slot(7, 1.0)], 1) == [{7}]


def test_what_is_said_has_its_reason_and_what_to_do() -> None:
    for finish, words in (
        (crashed(TASK, "signal 11"), ("ended twice (signal 11)", "while working on it alone", "save it again")),
        (hung(TASK, 2.5), ("longer than 2.5 s, twice", "--timeout")),
        (given_up(3), ("Two runs were killed", "more memory", "tries it once more, alone")),
    ):
        assert (finish.row, finish.figures, finish.was_read) == (3, None, False)
        assert finish.attempts == 1  # so that the next run tries it, alone
        assert all(word in (finish.error or "") for word in words), finish.error
