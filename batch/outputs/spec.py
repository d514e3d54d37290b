"""What the user names as output: a folder, an archive (``masks.zip``, ``masks.tar``) or a URL, and its ledger."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from batch.errors import printable
from batch.ledger.lock import locked
from batch.ledger.opening import masks_of
from batch.output_mark import LEDGER_SUFFIX
from batch.outputs.archive import GrowingArchive
from batch.outputs.base import FolderStore, Store
from batch.outputs.framing import Framing, TarFraming, ZipFraming
from batch.outputs.remote import RemoteStore
from batch.sources.archives.archive import is_archive
from batch.storage import is_url
from batch.urls import public_url
from seglab.errors import ConfigError
from seglab.images.formats import IMAGE_SUFFIXES

FRAMINGS: dict[str, type[Framing]] = {".zip": ZipFraming, ".tar": TarFraming}


@dataclass(frozen=True)
class Output:
    """``name``: as the user named it. ``state``: the folder of the ledger, on a local disk."""

    name: str
    state: Path

    @classmethod
    def of(cls, name: str | Path, state: Path | None = None) -> Output:
        """Return the output for a name. A folder's ledger lies in it, that of ``masks.zip`` in ``masks.zip.ledger``,
        that of a URL in the folder ``state``, which must be given.

        The ledger's folder may be named instead of a URL or an archive. Raises :class:`ConfigError`.
        """
        text = str(name)
        if is_archive(text) and Path(text).suffix.lower() not in FRAMINGS and not Path(text).is_dir():
            raise ConfigError(
                f"Masks cannot be written to {printable(text)}, because a run could not continue it; expected .zip, "
                ".tar or a folder."
            )
        if not is_url(text) and Path(text).suffix.lower() in IMAGE_SUFFIXES and not Path(text).is_dir():
            raise ConfigError(
                f"{printable(text)} is the name of a picture; expected a folder, .zip or .tar for all masks of a run. "
                "Name a folder: the masks in it are named after their images."
            )
        if not is_url(text):
            if state is None and (masks := masks_of(Path(text))) is not None:
                return cls(masks, Path(text))
            beside = Path(text + LEDGER_SUFFIX) if _framing_of(text) else Path(text)
            return cls(text, state or beside)
        if state is None:
            raise ConfigError(
                f"{printable(text)} cannot hold the ledger, which is a database; expected a local folder for it. Name "
                "one with --ledger."
            )
        return cls(text, state)

    def hold(self, *pictures: Path | None) -> AbstractContextManager[None]:
        """Lock the output, its ledger, and folders of ``pictures``. Raises :class:`OutputError` if another run has
        locked one of them.
        """
        archive = Path(self.name) if self.is_archive else None
        return locked(*filter(None, (self.state, self.folder, *pictures)), archive=archive)

    @property
    def folder(self) -> Path | None:
        """Return the folder of masks; None if the output is not a folder."""
        return None if is_url(self.name) or self.is_archive else Path(self.name)

    @property
    def is_archive(self) -> bool:
        """Return whether the masks go into one archive."""
        return not is_url(self.name) and _framing_of(self.name) is not None

    @property
    def masks(self) -> str | None:
        """Return the masks' place as the ledger stores it; None if the masks lie beside the ledger."""
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


def _framing_of(name: str) -> type[Framing] | None:
    return None if Path(name).is_dir() else FRAMINGS.get(Path(name).suffix.lower())
