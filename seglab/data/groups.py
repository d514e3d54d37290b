"""Groups of pairs that a split must not divide: photographs of one lesion, and equal pictures."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglab.data.pairs import Pair

SAME_PICTURE = (
    ("ISIC_0012152", "ISIC_0015979"),
    ("ISIC_0012216", "ISIC_0016001"),
    ("ISIC_0012290", "ISIC_0013594"),
    ("ISIC_0000279", "ISIC_0000280"),
    ("ISIC_0000477", "ISIC_0000512"),
    ("ISIC_0012127", "ISIC_0012970"),
    ("ISIC_0012672", "ISIC_0012673"),
    ("ISIC_0012756", "ISIC_0013184"),
)
"""ISIC pictures that are known to exist under two ids (found by `seglab inspect`, then checked by eye)."""

_TWINS = {a: b for pair in SAME_PICTURE for a, b in (pair, pair[::-1])}


def groups_of(pairs: Sequence[Pair], also: Iterable[tuple[Pair, Pair]] = ()) -> list[str]:
    """Return the name of a group for each pair; a split must not divide a group.

    Pairs are in one group if they show one lesion, have the same ISIC id in several sets, or are the same picture under
    two ids, directly or through other pairs. ``also``: further pairs that belong together.
    """
    above: dict[Hashable, Hashable] = {}
    for pair in pairs:
        joined = [("lesion", pair.lesion), ("id", pair.id), ("id", twin_of(pair.id) or pair.id)]
        tops = [_top(above, node) for node in joined]
        for top in tops:
            above[_top(above, top)] = tops[0]
    for one, other in also:
        above[_top(above, ("id", one.id))] = _top(above, ("id", other.id))
    names: dict[Hashable, str] = {}
    for pair in pairs:
        top = _top(above, ("lesion", pair.lesion))
        names[top] = min(names.get(top, pair.lesion), pair.lesion, twin_of(pair.id) or pair.lesion)
    return [names[_top(above, ("lesion", pair.lesion))] for pair in pairs]


def twin_of(id: str) -> str | None:
    """Return the other id under which ISIC is known to have the same picture, or None."""
    return _TWINS.get(id)


def with_twins(ids: Iterable[str]) -> set[str]:
    """Return ``ids`` together with the other ids of the same pictures."""
    found = set(ids)
    return found | {twin for id in found if (twin := twin_of(id))}


def _top(above: dict[Hashable, Hashable], node: Hashable) -> Hashable:
    """Return the representative of the set that ``node`` was joined to."""
    while (parent := above.setdefault(node, node)) != node:
        above[node] = above[parent]
        node = parent
    return node
