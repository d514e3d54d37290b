"""Cross-validation: pairs divided into folds. Each fold validates once while the others train."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.data.groups import groups_of
from seglab.data.pairs import Pair
from seglab.data.splits import HELD_OUT, Split
from seglab.errors import DataError
from seglab.words import counted


def fold_splits(pairs: Sequence[Pair], count: int, seed: int = 0) -> list[Split]:
    """Return the splits of ``count`` folds: every pair validates in exactly one of them and trains in the others.

    Whole lesions are assigned, those with most photographs first, each to the fold with the fewest pairs so far; among
    lesions with equally many photographs the ``seed`` decides the order. An official test part is the test part of
    every fold if there are other parts, and other pairs of its lesions are ``unused``.
    Raises :class:`DataError` where there are fewer lesions than folds.
    """
    groups = groups_of(pairs)
    is_test = _is_test(pairs)
    held_out = {group for group, test in zip(groups, is_test, strict=True) if test}
    divided = [group for group in groups if group not in held_out]
    fold_of = _dealt(divided, count, seed)
    if len(fold_of) < count:
        raise DataError(
            f"{counted(len(divided), 'pair')} of {len(fold_of)} lesions cannot be divided into "
            f"{counted(count, 'fold')}; expected at least one lesion per fold. Add data, or use fewer folds."
        )
    places = [fold_of.get(group, -1) for group in groups]
    test = tuple(pair for pair, own in zip(pairs, is_test, strict=True) if own)
    unused = tuple(pair for pair, place, own in zip(pairs, places, is_test, strict=True) if place < 0 and not own)
    return [
        Split(
            f"fold {number} of {count}",
            seed,
            tuple(pair for pair, place in zip(pairs, places, strict=True) if place not in (-1, number)),
            tuple(pair for pair, place in zip(pairs, places, strict=True) if place == number),
            test,
            {HELD_OUT: unused} if unused else {},
        )
        for number in range(count)
    ]


def _is_test(pairs: Sequence[Pair]) -> list[bool]:
    """Return for each pair whether it is in an official test part; all False where there is no other part."""
    own = [pair.part == "test" for pair in pairs]
    return own if not all(own) else [False] * len(pairs)


def _dealt(groups: Sequence[str], count: int, seed: int) -> dict[str, int]:
    """Return the fold of each group."""
    names, sizes = np.unique(np.asarray(groups, dtype=object).astype(str), return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    filled = [0] * count
    fold_of = {}
    for place in order.tolist():
        fold = filled.index(min(filled))
        filled[fold] += int(sizes[place])
        fold_of[str(names[place])] = fold
    return fold_of
