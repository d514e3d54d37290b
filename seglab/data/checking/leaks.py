"""Leaks: the same lesion or picture on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from seglab.data.checking.doubles import Picture, same_pictures
from seglab.data.groups import groups_of
from seglab.data.pairs import Pair
from seglab.data.splits import PARTS

Placed = Sequence[tuple[str, Pair]]
"""Pairs with the names of their parts."""


@dataclass(frozen=True)
class Leak:
    """Two pairs of one lesion or picture in different ``parts``. ``kind``: ``lesion`` or ``picture``."""

    kind: str
    first: Pair
    second: Pair
    parts: tuple[str, str]

    def __str__(self) -> str:
        what = "show the same lesion" if self.kind == "lesion" else "are the same picture"
        return f"{self.first.id} ({self.parts[0]}) and {self.second.id} ({self.parts[1]}) {what}"


def shared_lesions(placed: Placed) -> Iterator[Leak]:
    """Yield each photograph with another one of its lesion in a later part (training, validation, test)."""
    for members in _by_group(placed):
        highest, second = max(members, key=lambda member: PARTS.index(member[0]))
        for part, pair in members:
            if part != highest:
                yield Leak("lesion", pair, second, (part, highest))


def shared_pictures(placed: Placed, pictures: Sequence[Picture | None]) -> Iterator[Leak]:
    """Yield equal pictures in different parts, except those of one lesion, which :func:`shared_lesions` yields."""
    groups = groups_of([pair for _, pair in placed])
    seen = [
        (part, pair, group, picture)
        for (part, pair), group, picture in zip(placed, groups, pictures, strict=True)
        if picture is not None
    ]
    for place, part in enumerate(PARTS[:-1]):
        ours = [entry for entry in seen if entry[0] == part]
        theirs = [entry for entry in seen if entry[0] in PARTS[place + 1 :]]
        for i, j in same_pictures([entry[3] for entry in ours], [entry[3] for entry in theirs]):
            (_, first, group, _), (other, second, other_group, _) = ours[i], theirs[j]
            if group != other_group:
                yield Leak("picture", first, second, (part, other))


def leaked(placed: Placed, leaks: Iterable[Leak]) -> set[str]:
    """Return the sources to leave out so that nothing leaks.

    Of every lesion, only the photographs in its last part (training, validation, test) are kept.
    """
    members = _by_group(placed, [(leak.first, leak.second) for leak in leaks])
    return {pair.source for group in members for part, pair in group if part != _highest(group)}


def _by_group(placed: Placed, also: Iterable[tuple[Pair, Pair]] = ()) -> Iterable[list[tuple[str, Pair]]]:
    members: dict[str, list[tuple[str, Pair]]] = {}
    for entry, group in zip(placed, groups_of([pair for _, pair in placed], also), strict=True):
        members.setdefault(group, []).append(entry)
    return members.values()


def _highest(members: Placed) -> str:
    return max((part for part, _ in members), key=PARTS.index)
