"""Which models and settings made the masks of an output: more than one, where a run under others was not completed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batch.errors import OutputError, printable
from batch.ledger.reader import LedgerReader
from batch.ledger.records import LESION, RunRecord, in_words


@dataclass(frozen=True)
class Maker:
    """A model with its settings. ``key``: as in the ledger; ``done``: images whose masks it made; ``run``: the last
    one under that key.
    """

    key: str
    done: int
    run: RunRecord | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        names = ("model", "model_sha256", "precision", "device")
        about = {name: None if self.run is None else getattr(self.run, name) for name in names}
        return {"key": self.key, "done": self.done, **about, "class_names": list(self.class_names)}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The model's classes: see :attr:`RunRecord.class_names`."""
        return LESION if self.run is None else self.run.class_names


@dataclass(frozen=True)
class Makers:
    """Those of an output, and the last run, which says what all masks should be made by."""

    all: tuple[Maker, ...]
    last_run: RunRecord | None

    @classmethod
    def of(cls, ledger: LedgerReader) -> Makers:
        """Read them from a ledger."""
        return cls.from_tallies(ledger, ledger.tallies())

    @classmethod
    def from_tallies(cls, ledger: LedgerReader, tallies: list[tuple[str, str | None, int]]) -> Makers:
        """Return them for counts that were read already."""
        runs = {run.key: run for run in ledger.runs()}
        done = {key or "": count for status, key, count in tallies if status == "done"}
        return cls(tuple(Maker(key, count, runs.get(key)) for key, count in done.items()), ledger.last_run())

    @property
    def done(self) -> int:
        """Images that have masks."""
        return sum(maker.done for maker in self.all)

    @property
    def others(self) -> list[Maker]:
        """All but that of the last run."""
        return [maker for maker in self.all if self.last_run is None or maker.key != self.last_run.key]

    @property
    def are_mixed(self) -> bool:
        """Did more than one make masks?"""
        return len(self.all) > 1

    def class_names(self) -> tuple[str, ...]:
        """Return the classes of all masks; whatever the one of masks of lesion or not is called, it is lesion.

        Raises :class:`OutputError` where models told different ones apart.
        """
        named = (maker.class_names for maker in self.all)
        found = list(dict.fromkeys(names if len(names) > 1 else LESION for names in named))
        if len(found) > 1:
            raise OutputError(
                f"The masks are of models that tell different classes apart ({in_words(found[0])}; and "
                f"{in_words(found[1])}); expected the same classes. Run again to make all of them alike."
            )
        return found[0] if found else LESION

    def lines(self) -> Iterator[str]:
        """Yield a line for each that is not the last run's."""
        for maker in self.others:
            yield (
                f"of {self.done} done, {maker.done} by {self._difference(maker)} than the last run's "
                f"({_named(maker)}); run again to make them alike"
            )

    def warnings(self) -> list[str]:
        """Return what to say of figures that are taken over masks of several makers."""
        return list(self.lines()) if self.are_mixed else []

    def _difference(self, maker: Maker) -> str:
        if maker.run is None or self.last_run is None:
            return "another model or other settings"
        return "other settings" if maker.run.model_sha256 == self.last_run.model_sha256 else "another model"


def _named(maker: Maker) -> str:
    if maker.run is None:
        return f"key {maker.key}"
    run = maker.run
    return f"model {printable(run.model)}, sha256 {run.model_sha256[:12]}, {run.precision}, key {maker.key}"
