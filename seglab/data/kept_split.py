"""The split of a run by ids, which checkpoints and ``split.json`` keep, and the pairs that these ids name now."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seglab.data.collection import Collection
from seglab.data.pairs import Pair
from seglab.data.splits import BY_FILE, NOT_IN_FILE, NOT_IN_RUN, PARTS, Split, read_split

Ids = dict[str, list[str]]


def ids_of(split: Split) -> Ids:
    """Return the ids of every part, in the order of the run."""
    return {part: [pair.id for pair in pairs] for part, pairs in split.parts().items()}


def split_by_ids(
    collection: Collection, ids: Mapping[str, Sequence[str]], sets: Sequence[str] = (), others: str = NOT_IN_RUN
) -> Split:
    """Return the pairs of these ids by part, in the order of ``ids``; ids without a pair are skipped.

    ``sets``: the names of the data sets when the ids were saved. Sets with the same name are the same; the remaining
    sets of now and then correspond in their order. If several sets have pairs with one ISIC id, as many are taken as
    the id occurs in ``ids``, first those in the same official part. ``others``: the reason for all unused pairs.
    """
    places = _Places(collection, sets)
    found = {part: tuple(places.take(ids.get(part, ()), part)) for part in reversed(PARTS)}
    training, validation, test = (found[part] for part in PARTS)
    unused = tuple(pair for pair in collection.pairs if pair.source not in places.taken)
    return Split(BY_FILE, 0, training, validation, test, {others: unused} if unused else {})


def split_by_file(collection: Collection, path: Path) -> tuple[Split, int]:
    """Return the pairs that a ``split.json`` names, in the order of the data, and the number of ids without a pair."""
    ids = read_split(path)
    found = split_by_ids(collection, ids, _sets_in(ids, collection), NOT_IN_FILE)
    order = {pair.source: number for number, pair in enumerate(collection.pairs)}
    training, validation, test = (
        tuple(sorted(pairs, key=lambda pair: order[pair.source])) for pairs in found.parts().values()
    )
    found = dataclasses.replace(found, training=training, validation=validation, test=test)
    return found, sum(missing_ids(found, ids, part) for part in PARTS)


def _sets_in(ids: Mapping[str, Sequence[str]], collection: Collection) -> list[str]:
    """Return the names of sets in ids ``SET/id``; of missing sets only one, and only if exactly one set is new."""
    named = {id.partition("/")[0] for part in PARTS for id in ids[part] if "/" in id}
    now = {found.name for found in collection.sets}
    is_renamed = len(named - now) == 1 == len(now - named)
    return sorted(named if is_renamed else named & now)


def missing_ids(split: Split, ids: Mapping[str, Sequence[str]], part: str) -> int:
    """Return how many ids of a part have no pair in ``split``."""
    return max(0, len(ids.get(part, ())) - len(split.parts()[part]))


class _Places:
    """The pairs by id. An id is ``SET/id`` where several sets of a run have the same one."""

    def __init__(self, collection: Collection, sets: Sequence[str]) -> None:
        self.taken: set[str] = set()
        self._by_id: dict[str, list[Pair]] = {}
        self._in_set: dict[tuple[str, str], list[Pair]] = {}
        for found in collection.sets:
            for pair in found.pairs:
                self._by_id.setdefault(pair.id, []).append(pair)
                bare = pair.id.removeprefix(f"{found.name}/")
                self._in_set.setdefault((found.name, bare), []).append(pair)
        now = [found.name for found in collection.sets]
        gone, new = [name for name in sets if name not in now], [name for name in now if name not in sets]
        self._name_now = {name: name for name in sets} | dict(zip(gone, new, strict=False))

    def take(self, ids: Sequence[str], part: str) -> Iterator[Pair]:
        """Yield a pair for each id that still has a pair that was not taken."""
        for id in ids:
            free = [pair for pair in self._candidates(id) if pair.source not in self.taken]
            if free:
                chosen = next((pair for pair in free if pair.part == part), free[0])
                self.taken.add(chosen.source)
                yield chosen

    def _candidates(self, id: str) -> list[Pair]:
        if id in self._by_id:
            return self._by_id[id]
        name, slash, bare = id.partition("/")
        if slash and name in self._name_now:
            return self._in_set.get((self._name_now[name], bare), [])
        return [pair for name in self._name_now.values() for pair in self._in_set.get((name, id), ())]
