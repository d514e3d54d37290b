"""Masks in one archive, which grows during runs and is complete when they end.

While a run writes, the archive is called ``masks.zip.part``; the end of the run completes it and renames it. A killed
run leaves the part, and the next run continues after the last complete member. An index beside the ledger keeps the
offsets of the members, so that an archive of a million masks takes no memory. The index only saves time, and is rebuilt
from the archive if the two do not match.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO

from batch.errors import OutputError, printable
from batch.ledger.schema import decode, encode, sqlite_errors
from batch.naming import SUFFIX
from batch.outputs.framing import Frame, Framing

INDEX_NAME = "members.sqlite"
COMMIT_SECONDS = 0.5
TABLES = """
CREATE TABLE IF NOT EXISTS members (
    name TEXT PRIMARY KEY, start INTEGER NOT NULL, data INTEGER NOT NULL, size INTEGER NOT NULL, end INTEGER NOT NULL,
    crc INTEGER NOT NULL, stamp INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS state (
    end INTEGER NOT NULL,   -- of the last member that was ever put here, one that was removed since included
    complete_size INTEGER   -- of the archive with its ending; NULL: it is growing
);
"""
FRAME = "name, start, data, size, end, crc, stamp"


def part_of(path: Path) -> Path:
    """Return the name of an archive while it grows."""
    return path.with_name(f"{path.name}.part")


def current_of(path: Path) -> Path:
    """Return the archive, or its part while it grows. Raises :class:`OutputError` if there are both."""
    part = part_of(path)
    if path.exists() and part.exists() and path.exists():  # it may have been renamed between two looks
        raise OutputError(
            f"{printable(str(part))} lies beside the complete archive {printable(str(path))}; expected only one of "
            "them, since no run leaves both. Move away the one that is not of these runs."
        )
    return path if path.exists() else part


class _Index:
    """The offsets of members, by name. For one thread at a time.

    ``end``: of the last member that the index knows. ``complete_size``: size of the complete archive, None while it
    grows.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_commit = time.monotonic()
        with sqlite_errors(path):
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.text_factory = decode
            self._connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {TABLES}")
            row = self._connection.execute("SELECT end, complete_size FROM state").fetchone()
        self.end: int = row[0] if row else 0
        self.complete_size: int | None = row[1] if row else None

    def get(self, name: str) -> Frame | None:
        row = self._execute(f"SELECT {FRAME} FROM members WHERE name = CAST(? AS TEXT)", encode(name)).fetchone()
        return None if row is None else Frame(*row)

    def present(self, names: Collection[str]) -> set[str]:
        marks = ", ".join(["CAST(? AS TEXT)"] * len(names))
        rows = self._execute(f"SELECT name FROM members WHERE name IN ({marks})", *map(encode, names))
        return {name for (name,) in rows}

    def put(self, frame: Frame) -> None:
        values = (encode(frame.name), frame.start, frame.data, frame.size, frame.end, frame.crc, frame.stamp)
        self._execute("INSERT OR REPLACE INTO members VALUES (CAST(? AS TEXT), ?, ?, ?, ?, ?, ?)", *values)
        self.end = frame.end
        if time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def remove(self, name: str) -> None:
        self._execute("DELETE FROM members WHERE name = CAST(? AS TEXT)", encode(name))
        self.commit()

    def frames(self) -> Iterator[Frame]:
        return (Frame(*row) for row in self._execute(f"SELECT {FRAME} FROM members ORDER BY start"))

    def last(self) -> Frame | None:
        """Return the member with the highest offset; None if there are none."""
        row = self._execute(f"SELECT {FRAME} FROM members ORDER BY start DESC LIMIT 1").fetchone()
        return None if row is None else Frame(*row)

    def bytes(self) -> int:
        """Return the size of all members in bytes, headers included."""
        return int(self._execute("SELECT coalesce(sum(end - start), 0) FROM members").fetchone()[0])

    def clear(self) -> None:
        self._execute("DELETE FROM members")
        self.end, self.complete_size = 0, None
        self.commit()

    def commit(self) -> None:
        self._execute("DELETE FROM state")
        self._execute("INSERT INTO state VALUES (?, ?)", self.end, self.complete_size)
        with sqlite_errors(self._path):
            self._connection.commit()
        self._last_commit = time.monotonic()

    def close(self) -> None:
        self._connection.close()

    def _execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        with sqlite_errors(self._path):
            return self._connection.execute(sql, values)


class GrowingArchive:
    """A store (see :class:`batch.outputs.base.Store`) in one archive at ``path``; ``state``: folder of the ledger."""

    def __init__(self, path: Path, framing: Framing, state: Path) -> None:
        self._path, self._framing, self._state = path, framing, state
        self._part = part_of(path)
        self._fresh = path.with_name(f"{path.name}.new")
        self._lock = threading.RLock()
        self._opened: _Index | None = None
        self._writing = False

    def require_fresh(self) -> None:
        """Raise :class:`OutputError` if the archive exists already."""
        for path in (self._path, self._part, self._fresh):
            if os.path.lexists(path):
                raise OutputError(
                    f"{printable(str(path))} exists, without the ledger of a run ({printable(str(self._state))}); "
                    "expected a new archive, or one that a run wrote. Choose another output, or move it away."
                )

    def prepare(self, unfinished: Sequence[str]) -> None:
        """Cut off an incomplete member that a killed run left."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fresh.unlink(missing_ok=True)
        with self._lock:
            self._index.commit()
            if self._part.exists() and self._part.stat().st_size > self._index.end:
                os.truncate(self._part, self._index.end)

    def write(self, mask: str, data: bytes, *, is_fresh: bool = False, made: str = "") -> None:
        """Append a member; an earlier one of the same name is dropped at the end of the run. Runs own all members."""
        crc, stamp = zlib.crc32(data), int(time.time())
        head, tail = self._framing.around(mask, len(data), crc, stamp)
        whole = b"".join((head, data, tail))
        with self._lock:
            start = self._begin_writing()
            try:
                with open(self._part, "r+b", buffering=0) as file:
                    file.seek(start)
                    written = 0
                    while written < len(whole):
                        written += file.write(memoryview(whole)[written:])
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self._part, start)
                raise
            self._index.put(Frame(mask, start, start + len(head), len(data), start + len(whole), crc, stamp))

    def read(self, mask: str) -> bytes:
        """Return a member's content."""
        with self._lock:
            frame = self._index.get(mask)
        if frame is None:
            raise FileNotFoundError(2, "it is not in the archive", self.where(mask))
        with open(current_of(self._path), "rb") as file:
            file.seek(frame.data)
            data = file.read(frame.size)
        if len(data) < frame.size:
            raise OSError(5, "the archive ends inside it", self.where(mask))
        return data

    def present(self, masks: Collection[str]) -> set[str]:
        """Return the names that are members."""
        with self._lock:
            return self._index.present(masks)

    def remove(self, mask: str, made: str = "") -> None:
        """Drop a member; its bytes are removed at the end of the run."""
        with self._lock:
            if self._index.get(mask) is not None:
                self._begin_writing()
                self._index.remove(mask)

    def names(self) -> Iterator[str]:
        """Yield the names of PNG members."""
        with self._lock:
            yield from (frame.name for frame in self._index.frames() if frame.name.lower().endswith(SUFFIX))

    def where(self, mask: str) -> str:
        """Return the archive's path with the member's name."""
        return f"{self._path}/{mask}"

    def sync(self) -> None:
        """Flush the appended members to disk."""
        if self._part.exists():
            with open(self._part, "rb") as file:
                os.fsync(file.fileno())

    def close(self) -> None:
        """Complete and rename the archive if it grew."""
        with self._lock:
            if self._opened is not None and self._part.exists():
                self._complete()
            if self._opened is not None:
                self._opened.commit()
                self._opened.close()
            self._opened = None
            self._writing = False

    @property
    def _index(self) -> _Index:
        """Return the index, opened and brought up to date with the archive."""
        if self._opened is None:
            index = _Index(self._state / INDEX_NAME)
            try:
                self._bring_up_to_date(index)
            except BaseException:
                index.close()
                raise
            self._opened = index
        return self._opened

    def _bring_up_to_date(self, index: _Index) -> None:
        current = current_of(self._path)
        size = current.stat().st_size if current.exists() else 0
        grown = current == self._part and index.end <= size
        complete = current == self._path and index.complete_size == size
        if current == self._path and size and index.complete_size is not None:
            self._require_ours(index, size)
        if not (grown or complete):
            if current == self._part and size:
                self._require_own_part(index)
            index.clear()
        if size and not (complete and index.end):
            with open(current, "rb") as file:
                for frame in self._framing.frames(file, index.end):
                    index.put(frame)

    def _require_ours(self, index: _Index, size: int) -> None:
        """Raise :class:`OutputError` if the complete archive is not the one that the index describes."""
        last = index.last()
        if index.complete_size == size and (last is None or self._is_there(last)):
            return
        raise OutputError(
            f"{printable(str(self._path))} is not the archive that the runs of this ledger wrote. If it was replaced, "
            "move it away to have the masks made again, or choose another output."
        )

    def _require_own_part(self, index: _Index) -> None:
        """Raise :class:`OutputError` if the part was replaced. A power cut leaves zeros, or the beginning of it."""
        first = next(index.frames(), None)
        if first is None:
            return
        head, _ = self._framing.around(first.name, first.size, first.crc, first.stamp)
        with open(self._part, "rb") as file:
            file.seek(first.start)
            begin = file.read(len(head))
        if begin.strip(b"\0") and begin != head[: len(begin)]:
            raise OutputError(
                f"{printable(str(self._part))} is not what runs of this ledger wrote. Move it away to have its masks "
                "made again, or choose another output."
            )

    def _is_there(self, frame: Frame) -> bool:
        with open(self._path, "rb") as file, contextlib.suppress(OutputError):
            found = next(self._framing.frames(file, frame.start), None)
            return found is not None and (found.name, found.data) == (frame.name, frame.data)
        return False

    def _begin_writing(self) -> int:
        """Turn the archive into one that grows; return the offset of its next member."""
        index = self._index
        if not self._writing:
            if current_of(self._path) == self._path:
                index.complete_size = None
                index.commit()
                os.replace(self._path, self._part)
                os.truncate(self._part, index.end)
            # O_EXCL: a run that creates the file must not share it with another.
            alone = os.O_EXCL if index.end == 0 and not self._part.exists() else 0
            os.close(os.open(self._part, os.O_CREAT | os.O_RDWR | alone, 0o666))
            self._writing = True
        return index.end

    def _complete(self) -> None:
        end = self._index.end
        if self._index.bytes() < end:
            self._drop_dead()
            return
        with open(self._part, "r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.writelines(self._framing.ending(self._index.frames(), end))
            self._index.complete_size = file.tell()
            _flush(file)
        self._index.commit()
        os.replace(self._part, self._path)

    def _drop_dead(self) -> None:
        """Copy the current members into a new archive; the index is rebuilt at its next use.

        The part is replaced first, so that there are never two archives; the index never describes another one.
        """
        with open(self._part, "rb") as old, open(self._fresh, "wb") as new:
            for frame in self._index.frames():
                old.seek(frame.start)
                new.write(old.read(frame.end - frame.start))
            new.writelines(self._framing.ending(_closed_up(self._index.frames()), new.tell()))
            size = new.tell()
            _flush(new)
        self._index.clear()
        os.replace(self._fresh, self._part)
        self._index.complete_size = size
        self._index.commit()
        os.replace(self._part, self._path)


def _flush(file: IO[bytes]) -> None:
    """Write a file to disk, so that a power cut after its renaming leaves no empty one."""
    file.flush()
    os.fsync(file.fileno())


def _closed_up(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames as they lie after the gaps between them are removed."""
    start = 0
    for frame in frames:
        shift = start - frame.start
        yield dataclasses.replace(frame, start=start, data=frame.data + shift, end=frame.end + shift)
        start = frame.end + shift
