"""The values of a ledger that concern its output as a whole."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from batch.errors import OutputError, printable
from batch.ledger.schema import BOOT, MASKS, OWNER, SYNCED, encode
from batch.naming import Naming
from batch.pseudonyms import PSEUDONYMS

NAME_TEMPLATE = "name_template"


class Meta:
    """The table ``meta`` of an open ledger; ``folder``: of the ledger. The caller commits."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection, self._folder = connection, folder

    @property
    def synced(self) -> int:
        """Return the last epoch whose masks are synced to disk."""
        return int(self._get(SYNCED) or -1)

    @synced.setter
    def synced(self, epoch: int) -> None:
        self._set(SYNCED, str(epoch))

    @property
    def owner(self) -> str:
        """Return a random text that identifies this output; it is created if there is none."""
        if (known := self._get(OWNER)) is None:
            known = os.urandom(16).hex()
            self._set(OWNER, known)
        return known

    def has_restarted(self, boot: str) -> bool:
        """Return whether the system may have restarted since the last run; record ``boot`` for this run."""
        before = self._get(BOOT)
        self._set(BOOT, boot)
        return not boot or boot != before

    def was_killed(self) -> bool:
        """Return whether the last run has no end."""
        last = self._connection.execute("SELECT finished_at FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        return last is not None and last[0] is None

    def require_naming(self, naming: Naming) -> None:
        """Raise :class:`OutputError` if the masks of this output are named in another way."""
        before = self._get(NAME_TEMPLATE)
        if before is None:
            self._set(NAME_TEMPLATE, naming.text)
        elif before != naming.text:
            known, asked = ("pseudonyms" if text == PSEUDONYMS else repr(text) for text in (before, naming.text))
            again = "--pseudonymise again" if before == PSEUDONYMS else "--name as before, without --pseudonymise"
            raise OutputError(
                f"The masks of {printable(str(self._folder))} are named by {known}, and this run asks for {asked}; "
                f"expected one way to name them per output. Use {again}, or another output folder."
            )

    def require_masks(self, masks: str | None) -> None:
        """Raise :class:`OutputError` if the masks of this ledger go elsewhere; ``masks`` None: beside the ledger."""
        known = self._connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        before = self._get(MASKS)
        if known and before != masks:
            raise OutputError(
                f"The masks of the ledger in {printable(str(self._folder))} go to "
                f"{printable(before or 'its own folder')}, and this run names {printable(masks or 'that folder')}; "
                "expected one output per ledger. Name the same output, or another ledger folder (--ledger)."
            )
        if not known and masks is not None:
            self._set(MASKS, masks)

    def used(self, setting: str, run: int) -> set[Any]:
        """Return the values that a setting had in the runs before this one."""
        rows = self._connection.execute("SELECT settings FROM runs WHERE id < ?", (run,))
        return {json.loads(text).get(setting) for (text,) in rows} - {None}

    def _get(self, key: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, CAST(? AS TEXT))", (key, encode(value)))
