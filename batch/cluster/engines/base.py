"""What every engine does alike: which unit is next, how often one is tried, and when no unit is to blame."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from batch.cluster.files.names import UnitName
from batch.cluster.unit import UnitResult
from batch.errors import OutputError

MOST_IN_A_ROW = 3
"""After this many units in a row that cannot be done, no unit is to blame."""

MOST_DEATHS = 3
"""After this many processes in a row that end before they have opened the model, no unit is to blame."""
MOST_DEATHS_OF_UNIT = 12
"""A unit is given up after this many deaths: enough to find two bad images one by one."""
STOP_SECONDS = 10.0
"""How long processes may take to end when they are told to."""


class Waiting:
    """Units that wait to be done, in order."""

    def __init__(self, units: Iterable[UnitName]) -> None:
        self._units, self._deaths = deque(map(str, units)), Counter[str]()

    def __bool__(self) -> bool:
        return bool(self._units)

    def take(self) -> str:
        """Return the next unit, which no longer waits."""
        return self._units.popleft()

    def put_back(self, unit: str, how: str) -> Iterator[UnitResult]:
        """Let a unit be the next, as a process ended on it; yield its result if that has happened too often.

        ``how``: it ended, in a few words.
        """
        self._deaths[unit] += 1
        if self._deaths[unit] < MOST_DEATHS_OF_UNIT:
            self._units.appendleft(unit)
        else:
            yield UnitResult(unit, error=_died_too_often(how))


def _died_too_often(how: str) -> str:
    return (
        f"{MOST_DEATHS_OF_UNIT} processes ended while they did it ({how}). There may be too little memory: run again "
        "with fewer processes."
    )


class ErrorsInARow(OutputError):
    """Unit after unit could not be done."""


def until_hopeless(results: Iterable[UnitResult]) -> Iterator[UnitResult]:
    """Yield the results. Raises :class:`ErrorsInARow` after several units in a row that cannot be done."""
    in_a_row = 0
    for result in results:
        yield result
        in_a_row = in_a_row + 1 if result.error is not None else 0
        if in_a_row >= MOST_IN_A_ROW:
            raise ErrorsInARow(f"{in_a_row} units in a row could not be done. The last one: {result.error}")
