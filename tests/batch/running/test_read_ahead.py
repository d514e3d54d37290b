"""Looking for images ahead of the work: how far, in which order, and that nothing that stalls keeps anybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import pytest

from batch.running import read_ahead
from batch.running.read_ahead import ReadAhead
from batch.sources.bytes import FileBytes, HeldBytes
from batch.sources.image_ref import ImageRef, Origin

PATIENCE = 60.0


def image(number: int, held: int = 0) -> ImageRef:
    content = HeldBytes(bytes(held), 1) if held else FileBytes(f"/{number}")
    return ImageRef(f"/{number}", f"{number}.png", Origin("/"), held, 1, content)


class Source:
    """Images, counted as they are taken."""

    def __init__(self, images: Iterable[ImageRef]) -> None:
        self.read, self._images = 0, images

    def __iter__(self) -> Iterator[ImageRef]:
        for one in self._images:
            self.read += 1
            yield one


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def require_read(source: Source, count: int) -> None:
    """Wait until ``count`` images are read, and fail if another one is."""
    until(lambda: source.read >= count)
    time.sleep(0.05)
    assert source.read == count


def taken(walk: ReadAhead, most: int = 1000) -> list[ImageRef]:
    """Return what there is next, as soon as there is something."""
    found: list[ImageRef] = []

    def has_come() -> bool:
        found.extend(walk.take(most) or [])
        return bool(found)

    until(has_come)
    return found


def all_of(walk: ReadAhead) -> list[str]:
    paths: list[str] = []
    while (some := walk.take(7)) is not None:
        assert len(some) <= 7
        paths += [one.path for one in some]
    return paths


def test_every_image_comes_once_and_in_order() -> None:
    with closing(ReadAhead(map(image, range(2000)))) as walk:
        assert all_of(walk) == [f"/{number}" for number in range(2000)]
        assert walk.take(7) is None  # the end stays the end


def test_a_source_is_read_ahead_only_so_far_and_on_as_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_AHEAD", 20)
    source = Source(map(image, range(100)))
    with closing(ReadAhead(source)) as walk:
        require_read(source, 21)  # the one at hand
        assert len(walk.take(8) or []) == 8
        assert len(walk.take(8) or []) == 8
        require_read(source, 37)
        all_of(walk)
    assert source.read == 100


def test_what_was_found_before_an_error_comes_before_it() -> None:
    def broken() -> Iterator[ImageRef]:
        yield from map(image, range(5))
        raise LookupError("the disk is gone")

    with closing(ReadAhead(broken())) as walk:
        paths = [one.path for _ in range(5) for one in taken(walk, 1)]
        assert paths == [f"/{number}" for number in range(5)]
        with pytest.raises(LookupError, match="the disk is gone"):
            all_of(walk)
        with pytest.raises(LookupError):
            walk.take(1)  # it does not turn into an end


def test_images_in_memory_take_so_much_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_HELD_BYTES", 1000)
    source = Source(image(number, 300) for number in range(10))
    with closing(ReadAhead(source)) as walk:
        require_read(source, 4)  # three, and one that waits for room
        assert len(walk.take(100) or []) == 3
        require_read(source, 4)  # taken is not done
        assert walk.take(100) == []
        walk.release(300)
        assert len(taken(walk)) == 1
        for _ in range(3):
            walk.release(300)
        assert len(taken(walk)) >= 1


def test_an_image_that_is_larger_than_all_may_be_comes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_HELD_BYTES", 1000)
    source = Source([image(0, 400), image(1, 5000), image(2, 400), image(3)])
    with closing(ReadAhead(source)) as walk:
        assert [one.path for one in taken(walk)] == ["/0"]
        require_read(source, 2)
        assert walk.take(9) == []
        walk.release(400)
        assert [one.path for one in taken(walk)] == ["/1"]
        require_read(source, 3)
        assert walk.take(9) == []
        walk.release(5000)
        assert all_of(walk) == ["/2", "/3"]


def test_files_do_not_count_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_HELD_BYTES", 0)
    with closing(ReadAhead(map(image, range(50)))) as walk:
        assert len(all_of(walk)) == 50


class Stalled:
    """A source that has two images, and then nothing until it is told to end."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def __iter__(self) -> Iterator[ImageRef]:
        yield from map(image, range(2))
        self.end.wait(60)


def test_a_source_that_stalls_keeps_nobody() -> None:
    source = Stalled()
    walk = ReadAhead(source)
    assert len([*taken(walk, 1), *taken(walk, 1)]) == 2
    assert walk.take(9) == []
    assert not walk.is_stuck  # it is waited for: the run is not over
    begin = time.monotonic()
    walk.close()
    assert time.monotonic() - begin < read_ahead.CLOSE_SECONDS + 30
    until(lambda: walk.is_stuck)
    source.end.set()
    until(lambda: not walk.is_stuck)


@pytest.mark.parametrize(("held", "read"), [(0, 3), (10**6, 2)])
def test_closing_ends_a_walk_that_waits_for_room(monkeypatch: pytest.MonkeyPatch, held: int, read: int) -> None:
    monkeypatch.setattr(read_ahead, "MOST_AHEAD", 2)
    monkeypatch.setattr(read_ahead, "MOST_HELD_BYTES", 1000)
    source = Source(image(number, held) for number in range(50))
    walk = ReadAhead(source)
    require_read(source, read)
    walk.close()
    until(lambda: not walk.is_stuck)
    assert source.read == read


def test_are_there_few() -> None:
    with closing(ReadAhead(map(image, range(3)))) as walk:
        assert walk.are_few(3, PATIENCE)
        assert not walk.are_few(2, PATIENCE)
    source = Stalled()
    walk = ReadAhead(source)
    assert not walk.are_few(3, 0.05)  # not known in time
    source.end.set()
    assert walk.are_few(3, PATIENCE)
    walk.close()


def test_what_the_walk_took_is_told_once_and_all_of_it() -> None:
    with closing(ReadAhead(map(image, range(3000)))) as walk:
        images, last = 0, 0.0
        while walk.take(100) is not None:
            stage, thread, begin, end, count = walk.span()
            assert (stage, thread > 0) == ("walk", True)
            assert last - 1e-6 <= begin <= end <= time.perf_counter()  # in a trace they do not overlap
            images, last = images + count, end
        assert images + walk.span()[4] == 3000
        assert walk.span()[4] == 0
