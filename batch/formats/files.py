"""A folder that files are exported to: a file that no export wrote, or that was changed since, is never replaced, and
none is ever half written.

The folder has a hidden list of the SHA-256 of all files that exports wrote there. A digest is in the list before its
file exists, so that a killed export can be repeated. At the end the list is sorted: it must not tell an order.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from batch.errors import OutputError, cannot_write, printable
from batch.output_mark import NOBODY, is_marked, mark, owner_of
from seglab.errors import ImageError
from seglab.files import TEMPORARY, is_running, write_bytes

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FIXED_TIME = 946_684_800
"""1 January 2000, UTC: the modification time of files whose order must not be known."""
TRIES = 100
"""How often other exports may replace the list while it is locked; some disks also number a file anew each time."""
LIST_NAME = ".seg-batch-export"
OWN, PSEUDONYMS = "# files of seg-batch export", "# files of seg-batch export under pseudonyms"
"""First line of the list, by the names of the files."""


class ExportFolder:
    """A folder for the files of an export. ``are_pseudonyms``: files have pseudonyms, and all :data:`FIXED_TIME`."""

    def __init__(self, root: Path, *, are_pseudonyms: bool = False) -> None:
        self.root, self._are_pseudonyms = root, are_pseudonyms
        self._kind = PSEUDONYMS if are_pseudonyms else OWN
        self._lock = threading.Lock()
        self._digests: set[bytes] | None = None
        self._release: Callable[[], object] = lambda: None

    def prepare(self, *, keep_from_runs: bool) -> None:
        """Create the folder if needed, and remove the incomplete files of ended processes.

        ``keep_from_runs``: mark it, so that no run takes its images for photographs. Raises :class:`OutputError` if it
        cannot be written, belongs to an output or holds files with names of the other kind; with ``keep_from_runs``
        also if it holds files and no mark, as such a mark would hide them.
        """
        try:
            self._require_ours(keep_from_runs=keep_from_runs)
            self.root.mkdir(parents=True, exist_ok=True)
            if keep_from_runs:
                mark(self.root)
            self._hold()
            self._remove_incomplete()
        except OSError as error:
            raise cannot_write(str(self.root), error) from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically; ``name`` may have folders, with ``/``.

        Raises :class:`ImageError` if a file of somebody else has this name or the name leads out of the folder, and
        :class:`OutputError` if it cannot be written.
        """
        if name.startswith("/") or ".." in name.split("/"):
            raise ImageError("Its name leads out of the folder; expected a name below it. Rename the photograph.")
        path = self.root / name
        try:
            if (reason := self._why_kept(path)) is not None:
                raise ImageError(reason)
            if path.is_dir():
                raise IsADirectoryError
            self._note(data)
            write_bytes(path, data)
            if self._are_pseudonyms:
                os.utime(path, (FIXED_TIME, FIXED_TIME))
        except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            raise ImageError(
                f"{printable(name)}: a file and a folder would have one name; expected photographs and folders whose "
                "names differ without their suffixes. Rename one of them."
            ) from error
        except OSError as error:
            raise cannot_write(str(path), error) from error

    def require(self, name: str) -> None:
        """Raise :class:`OutputError`, before the work, if a file of somebody else has this name."""
        path = self.root / name
        try:
            reason = self._why_kept(path)
        except OSError as error:
            raise cannot_write(str(path), error) from error
        if reason is not None:
            raise OutputError(reason)

    def close(self) -> None:
        """Sort the list of files, and let other exports write here. Raises :class:`OutputError` if it cannot be
        written.
        """
        with self._lock:
            if not self._known():
                (self.root / LIST_NAME).unlink(missing_ok=True)
                self._release()
                return
            lines = [self._kind, *sorted(digest.hex() for digest in self._known())]
            path = self.root / LIST_NAME
            try:
                write_bytes(path, "".join(f"{line}\n" for line in lines).encode("ascii"))
                if self._are_pseudonyms:
                    os.utime(path, (FIXED_TIME, FIXED_TIME))
            except OSError as error:
                raise cannot_write(str(path), error) from error
            finally:
                self._release()

    def _hold(self) -> None:
        """Keep other exports out: each would sort a list without the other's files."""
        path = self.root / LIST_NAME
        for left in reversed(range(TRIES)):
            held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self._release = weakref.finalize(self, os.close, held)
            try:
                if fcntl is not None:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(held), os.stat(path)) or not left:
                    return
            except FileNotFoundError:  # as below
                pass
            except BlockingIOError as error:
                self._release()
                raise OutputError(
                    f"Another export is writing to {printable(str(self.root))}. Wait for its end, or choose another "
                    "folder with --to."
                ) from error
            self._release()  # an export that has just ended replaced or removed the list

    def _require_ours(self, *, keep_from_runs: bool) -> None:
        if not self.root.is_dir():
            return
        if owner_of(self.root) not in (None, "", NOBODY):
            raise OutputError(
                f"{printable(str(self.root))} belongs to the output of a run; expected a folder for exports. Choose "
                "another folder with --to."
            )
        if (kind := self._kind_before()) not in (None, self._kind):
            names = "pseudonyms" if kind == PSEUDONYMS else "the names of photographs"
            raise OutputError(
                f"{printable(str(self.root))} holds files of an earlier export under {names}; expected one kind of "
                "names in a folder that is handed on. Choose another folder with --to."
            )
        is_new = not is_marked(self.root) if keep_from_runs else self._are_pseudonyms and kind is None
        if is_new and any(path.name != LIST_NAME for path in self.root.iterdir()):
            raise OutputError(
                f"{printable(str(self.root))} holds files that no export wrote; expected a new or an empty folder, "
                "or one of an earlier export. Choose another folder with --to."
            )

    def _kind_before(self) -> str | None:
        try:
            with (self.root / LIST_NAME).open(encoding="ascii", errors="replace") as file:
                return file.readline().rstrip("\n") or None
        except FileNotFoundError:
            return None

    def _known(self) -> set[bytes]:
        """Return the digests of all files that exports wrote here; the lock is held."""
        if self._digests is None:
            self._digests = set()
            if self._kind_before() is not None:
                lines = (self.root / LIST_NAME).read_text("ascii", errors="replace").splitlines()[1:]
                self._digests.update(map(_digest_of, lines))
        return self._digests

    def _note(self, data: bytes) -> None:
        """Enter a file into the list."""
        digest = hashlib.sha256(data).digest()
        with self._lock:
            known = self._known()
            if digest in known:
                return
            path = self.root / LIST_NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="ascii") as file:
                if not file.tell():
                    file.write(f"{self._kind}\n")
                file.write(f"{digest.hex()}\n")
            known.add(digest)

    def _why_kept(self, path: Path) -> str | None:
        """Return why a file must stay as it is; None if there is none, or an export wrote it."""
        if not os.path.lexists(path) or path.is_dir():
            return None
        if path.is_file() and not path.is_symlink():
            digest = hashlib.sha256(path.read_bytes()).digest()
            with self._lock:
                if digest in self._known():
                    return None
        return (
            f"{printable(str(path))} exists and no export wrote it, or it was changed since; expected no such file. "
            "Move it away, or choose another folder with --to."
        )

    def _remove_incomplete(self) -> None:
        for folder, _, names in os.walk(self.root):
            for name in names:
                found = TEMPORARY.fullmatch(os.path.splitext(name)[0]) if name.startswith(".") else None
                if found and not is_running(int(found["process"])):
                    os.unlink(os.path.join(folder, name))


def _digest_of(line: str) -> bytes:
    try:
        return bytes.fromhex(line)
    except ValueError:
        return b""  # a line that a kill cut short
