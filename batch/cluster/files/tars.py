"""The tar of an attempt's masks: written on the worker's own disk, then copied to the job in one piece."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from batch.cluster.files.names import Attempt
from batch.cluster.files.parts import Stored
from batch.cluster.files.place import Place
from batch.errors import OutputError, printable
from batch.outputs.framing import TarFraming


class MaskTar:
    """The masks of one attempt. Use it as a context: its temporary file is removed at the end.

    Errors of the worker's own disk raise :class:`OutputError`.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt, self._framing, self._end, self.count = attempt, TarFraming(), 0, 0
        with _disk_errors():
            self._folder = Path(tempfile.mkdtemp(prefix="seg-batch-unit-"))
            self._path = self._folder / "masks.tar"
            self._file = self._path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # on a full disk, closing fails as well
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, name: str, mask: bytes) -> Stored:
        """Append a mask; return where it will be."""
        head, tail = self._framing.around(name, len(mask), 0, int(time.time()))
        with _disk_errors():
            self._file.write(b"".join((head, mask, tail)))
        stored = Stored(self._attempt.tar, self._end + len(head), len(mask))
        self._end += len(head) + len(mask) + len(tail)
        self.count += 1
        return stored

    def upload(self, place: Place) -> None:
        """Complete the tar and copy it to the job; without masks there is no tar."""
        if not self.count:
            return
        with _disk_errors():
            self._file.writelines(self._framing.ending((), self._end))
            self._file.close()
        place.upload(self._attempt.tar, self._path)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"The masks of a unit cannot be kept in {printable(tempfile.gettempdir())}: {error.strerror or error}. "
            "Expected room for them on the worker's own disk. Free some, or name another folder by TMPDIR; then run "
            "again."
        ) from error
