"""Which models and settings made the masks of an output: several, if a run under other settings was not completed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batch.errors import OutputError, printable
from batch.ledger.reader import LedgerReader
from batch.ledger.records import LESION, RunRecord, in_words


@dataclass(frozen=True)
class Maker:
    """A model with its settings. ``key``: as in the ledger; ``done``: number of its masks; ``run``: the last run under
    that key.
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
        """Return the model's classes, see :attr:`RunRecord.class_names`."""
        return LESION if self.run is None else self.run.class_names


@dataclass(frozen=True)
class Makers:
    """The makers of an output's masks, and the last run, under which all masks should be made."""

    all: tuple[Maker, ...]
    last_run: RunRecord | None

    @classmethod
    def of(cls, ledger: LedgerReader) -> Makers:
        """Return the makers of a ledger."""
        return cls.from_tallies(ledger, ledger.tallies())

    @classmethod
    def from_tallies(cls, ledger: LedgerReader, tallies: list[tuple[str, str | None, int]]) -> Makers:
        """Return the makers for counts that were read already."""
        runs = {run.key: run for run in ledger.runs()}
        done = {key or "": count for status, key, count in tallies if status == "done"}
        return cls(tuple(Maker(key, count, runs.get(key)) for key, count in done.items()), ledger.last_run())

    @property
    def done(self) -> int:
        """Return how many images have masks."""
        return sum(maker.done for maker in self.all)

    @property
    def others(self) -> list[Maker]:
        """Return all makers except the last run's."""
        return [maker for maker in self.all if self.last_run is None or maker.key != self.last_run.key]

    @property
    def are_mixed(self) -> bool:
        """Return whether several makers made masks."""
        return len(self.all) > 1

    def class_names(self) -> tuple[str, ...]:
        """Return the classes of all masks; a single class counts as lesion whatever its name.

        Raises :class:`OutputError` if models have different classes.
        """
        named = (maker.class_names for maker in self.all)
        found = list(dict.fromkeys(names if len(names) > 1 else LESION for names in named))
        if len(found) > 1:
            raise OutputError(
                f"The masks are from models with different classes ({in_words(found[0])}; and {in_words(found[1])}); "
                "expected the same classes. Run again to remake all masks with one model."
            )
        return found[0] if found else LESION

    def lines(self) -> Iterator[str]:
        """Yield a line for each maker except the last run's."""
        for maker in self.others:
            yield (
                f"{maker.done} of {self.done} masks were made with {self._difference(maker)} than the last run "
                f"({_named(maker)}); run again to remake them"
            )

    def warnings(self) -> list[str]:
        """Return warnings for figures that are taken over masks of several makers."""
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
