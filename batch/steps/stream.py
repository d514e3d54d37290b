"""Pass groups of images through a mask maker: some are read ahead, one is in the model, some are being written.

The calling thread takes, predicts and hands out. It never waits for input while it holds work, so nothing deadlocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Protocol, TypeVar

from batch.steps.task import Outcome, Task
from batch.steps.work import Work

Returned = TypeVar("Returned")


class Maker(Protocol):
    """The part of :class:`batch.steps.mask_maker.MaskMaker` that a stream needs."""

    def read(self, task: Task) -> Work: ...

    def predict(self, works: Sequence[Work]) -> None: ...

    def write(self, work: Work) -> Outcome: ...


class Inline(Executor):
    """An executor that does the work in the calling thread, when it is submitted."""

    def submit(self, function: Callable[..., Returned], /, *arguments: Any, **options: Any) -> Future[Returned]:
        """Call the function now; return its finished future."""
        done: Future[Returned] = Future()
        try:
            done.set_result(function(*arguments, **options))
        except Exception as error:
            done.set_exception(error)
        return done


def stream(
    maker: Maker,
    take: Callable[[bool], Sequence[Task] | None],
    readers: Executor,
    writers: Executor,
    ahead: int,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[list[Outcome]]:
    """Yield the outcomes of the images in groups; an empty group returns control to the caller.

    ``take``: returns the next group, an empty one if there is none now, None at the end; its argument says whether it
    may wait, which is True only if no work is held. ``ahead``: how many groups are read before the model needs them.
    Once ``is_stopped`` returns True, images that the model has processed are still written, and the rest is dropped.
    Raises the maker's errors, after finished outcomes are yielded.
    """
    coming: deque[list[Future[Work]]] = deque()
    leaving: deque[list[Future[Outcome]]] = deque()
    ended = False
    try:
        while coming or leaving or not ended:
            if is_stopped():
                ended = True
                coming.clear()
            while not ended and len(coming) <= ahead:
                group = take(not coming and not leaving)
                if not group:
                    ended = group is None
                    break
                coming.append([readers.submit(maker.read, task) for task in group])
            if coming:
                works = [future.result() for future in coming.popleft()]
                maker.predict(works)
                leaving.append([writers.submit(maker.write, work) for work in works])
            elif not leaving:
                yield []
            while leaving and (not coming or len(leaving) > ahead or all(future.done() for future in leaving[0])):
                outcomes = [future.result() for future in leaving[0]]
                leaving.popleft()
                yield outcomes
    except Exception:
        for group_leaving in leaving:
            yield [future.result() for future in group_leaving if future.exception() is None]
        raise
