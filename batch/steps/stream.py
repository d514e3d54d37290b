"""Groups of images through a mask maker: some are read ahead, one is shown to the model, some are being written.

Nobody waits for input while holding work, and nothing waits in a circle: this one thread takes, predicts and hands out.
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
    """What a stream needs of a :class:`batch.steps.mask_maker.MaskMaker`."""

    def read(self, task: Task) -> Work: ...

    def predict(self, works: Sequence[Work]) -> None: ...

    def write(self, work: Work) -> Outcome: ...


class Inline(Executor):
    """Work is done where it is handed in."""

    def submit(self, function: Callable[..., Returned], /, *arguments: Any, **options: Any) -> Future[Returned]:
        """Do it now."""
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
    """Yield what became of the images, in groups; an empty one lets the caller have its turn.

    ``take``: returns the next group, nothing where there is none now, None at the end; told True, it may wait, for
    nothing is held. ``ahead``: so many groups are read before the model wants them. Once it ``is_stopped``, what the
    model has seen is still written, and the rest is dropped. Raises what the maker raises, after what is done was
    yielded.
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
