"""What is named as output: a folder, an archive (``masks.zip``, ``masks.tar``), a URL; and where its ledger is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.errors import OutputError, printable
from batch.ledger.reader import LedgerReader
from batch.ledger.schema import ledger_path
from batch.ledger.writer import locked
from batch.outputs.archive import GrowingArchive
from batch.outputs.base import FolderStore, Store
from batch.outputs.framing import Framing, TarFraming, ZipFraming
from batch.outputs.remote import RemoteStore
from batch.sources.archive import is_archive
from batch.storage import is_url
from batch.urls import public_url
from seglab.errors import ConfigError

FRAMINGS: dict[str, type[Framing]] = {".zip": ZipFraming, ".tar": TarFraming}
LEDGER_SUFFIX = ".ledger"


@dataclass(frozen=True)
class Output:
    """``name``: as it was named. ``state``: the folder that holds the ledger, on a local disk."""

    name: str
    state: Path

    @classmethod
    def of(cls, name: str | Path, state: Path | None = None) -> Output:
        """Return the output for a name: the ledger of a folder lies in it, that of ``masks.zip`` in
        ``masks.zip.ledger``, that of a URL in the folder ``state``, which must be named.

        The ledger's folder may be named instead of a URL or an archive. Raises :class:`ConfigError`.
        """
        text = str(name)
        if is_archive(text) and Path(text).suffix.lower() not in FRAMINGS and not Path(text).is_dir():
            raise ConfigError(
                f"Masks cannot go to {printable(text)}, for a run could not go on with it; expected .zip, .tar or a "
                "folder."
            )
        if not is_url(text):
            if state is None and (masks := _masks_of(Path(text))) is not None:
                return cls(masks, Path(text))
            beside = Path(text + LEDGER_SUFFIX) if _framing_of(text) else Path(text)
            return cls(text, state or beside)
        if state is None:
            raise ConfigError(
                f"{printable(text)} cannot hold a ledger, which is a database; expected a local folder for it beside "
                "the URL. Name one with --ledger."
            )
        return cls(text, state)

    @property
    def folder(self) -> Path | None:
        """The folder of masks, if it is one."""
        return None if is_url(self.name) or self.is_archive else Path(self.name)

    @property
    def is_archive(self) -> bool:
        """Do the masks go into one file that grows?"""
        return not is_url(self.name) and _framing_of(self.name) is not None

    @property
    def masks(self) -> str | None:
        """What the ledger has to remember: the masks' place, unless they lie beside it."""
        if is_url(self.name):
            return public_url(self.name)
        folder = self.folder
        return (
            None if folder is not None and folder.resolve() == self.state.resolve() else str(Path(self.name).absolute())
        )

    def store(self) -> Store:
        """Return the store of its masks."""
        if is_url(self.name):
            return RemoteStore(self.name)
        framing = _framing_of(self.name)
        if framing is not None:
            return GrowingArchive(Path(self.name), framing(), self.state)
        return FolderStore(Path(self.name))

    @contextlib.contextmanager
    def reading(self) -> Iterator[Store]:
        """Open the store to read from it; an archive is held meanwhile, for no run may move it.

        Raises :class:`OutputError` where there is no ledger, or another run has the archive.
        """
        if not ledger_path(self.state).exists():
            raise OutputError(
                f"No ledger in {printable(str(self.state))}; expected the output of a run. Check the path, or run "
                "`seg-batch run` first."
            )
        store = self.store()
        with locked(self.state) if self.is_archive else contextlib.nullcontext():
            try:
                yield store
            finally:
                store.close()


def _framing_of(name: str) -> type[Framing] | None:
    return None if Path(name).is_dir() else FRAMINGS.get(Path(name).suffix.lower())


def _masks_of(folder: Path) -> str | None:
    """Return where the ledger in a folder says that its masks are; None if there is none, or they are beside it."""
    if not ledger_path(folder).exists():
        return None
    with LedgerReader(folder) as ledger:
        return ledger.masks()
