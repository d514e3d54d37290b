"""What every engine does alike: it yields the results of units, and stops if unit after unit cannot be done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batch.cluster.unit import UnitResult
from batch.errors import OutputError

MOST_IN_A_ROW = 3
"""After this many units in a row that cannot be done, no unit is to blame."""


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
