"""Methods of splitting: each returns for every pair its part, or the reason why it is in none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from seglab.data.groups import groups_of, twin_of
from seglab.data.pairs import Pair
from seglab.errors import ConfigError
from seglab.words import counted

PARTS = ("training", "validation", "test")
HELD_OUT = "another photograph of its lesion is held out (validation or test)"
IN_ANOTHER_SET = "the same picture is held out in another set (validation or test)"
Sets = Mapping[str, Sequence[Pair]]


@dataclass(frozen=True)
class Shares:
    """Shares of lesions to draw for validation and test; ``seed`` decides which."""

    seed: int = 0
    validation: float = 0.2
    test: float = 0.0


@dataclass(frozen=True)
class Official:
    """``sets``: the sets whose official parts count. ``validating``: those among them without a validation part, where
    some training pairs validate.
    """

    sets: frozenset[str]
    validating: frozenset[str]


@dataclass(frozen=True)
class _Member:
    """A pair with its set, its group (which must not be divided), and its official part if that counts."""

    set_name: str
    pair: Pair
    group: str
    part: str


def places_by_parts(sets: Sets, official: Official, shares: Shares) -> list[str]:
    """Split by official parts; lesions without one in any set are drawn.

    A lesion with several parts, in any sets, gets the first of test, validation and training.
    """
    members = _members(sets, official)
    fixed: dict[str, str] = {}
    for member in members:
        if member.part:
            fixed[member.group] = max(member.part, fixed.get(member.group, member.part), key=PARTS.index)
    trains = {member.group for member in members if member.part and member.set_name not in official.validating}
    may_validate = {group for group, part in fixed.items() if part == "training"} - trains
    undivided = {member.group for member in members} - fixed.keys()
    drawn = draw(may_validate, Shares(shares.seed, shares.validation)) | draw(undivided, shares)
    kept = [not member.part or member.part == fixed[member.group] for member in members]
    used = {member.pair.id for member, is_kept in zip(members, kept, strict=True) if is_kept}
    return [
        (drawn.get(member.group) or fixed[member.group]) if is_kept else _why_not(member.pair, used)
        for member, is_kept in zip(members, kept, strict=True)
    ]


def _members(sets: Sets, official: Official) -> list[_Member]:
    owned = [(name, pair) for name, pairs in sets.items() for pair in pairs]
    groups = groups_of([pair for _, pair in owned])
    return [
        _Member(name, pair, group, pair.part if name in official.sets else "")
        for (name, pair), group in zip(owned, groups, strict=True)
    ]


def _why_not(pair: Pair, used: Set[str]) -> str:
    return IN_ANOTHER_SET if pair.id in used else HELD_OUT


def places_by_fifth(pairs: Sequence[Pair]) -> list[str]:
    """Put lesions with ``sha256(lesion) mod 5 == 0`` into validation; other pairs of their groups do not train."""
    groups = groups_of(pairs)
    held_out = {
        group
        for pair, group in zip(pairs, groups, strict=True)
        if validates(pair.lesion) or validates(twin_of(pair.lesion) or pair.lesion)
    }
    return [
        "validation" if validates(pair.lesion) else HELD_OUT if group in held_out else "training"
        for pair, group in zip(pairs, groups, strict=True)
    ]


def places_by_seed(pairs: Sequence[Pair], shares: Shares) -> list[str]:
    """Split by drawing from all lesions."""
    groups = groups_of(pairs)
    drawn = draw(set(groups), shares)
    return [drawn[group] for group in groups]


def draw(groups: set[str], shares: Shares) -> dict[str, str]:
    """Return the part of each group, drawn by the seed."""
    names = sorted(groups)
    order = np.random.default_rng(shares.seed).permutation(len(names)).tolist()
    validation, test = round(shares.validation * len(names)), round(shares.test * len(names))
    parts = ["validation"] * validation + ["test"] * test
    return {names[index]: parts[rank] if rank < len(parts) else "training" for rank, index in enumerate(order)}


def validates(id: str) -> bool:
    """Return whether ``id`` belongs to the fixed validation fifth: ``sha256(id) mod 5 == 0``."""
    return int(hashlib.sha256(id.encode()).hexdigest(), 16) % 5 == 0


def all_official(sets: Sets) -> Official:
    """Return the official parts of all sets; one validation part among them is enough."""
    validates_already = any(pair.part == "validation" for pairs in sets.values() for pair in pairs)
    names = frozenset(sets)
    return Official(names, frozenset() if validates_already else names)


def official_by_set(sets: Sets) -> Official:
    """Return the sets with official parts: those with a validation or test part, and those with their training part."""
    named = {name: {pair.part for pair in pairs} - {""} for name, pairs in sets.items()}
    lacking = [name for name, parts in named.items() if parts and "training" not in parts]
    divided = {name for name, parts in named.items() if parts - {"training"}}
    completing = {name for name, parts in named.items() if parts == {"training"} and lacking}
    found = divided | completing
    if len(found) == len(sets) and not any("training" in named[name] for name in found):
        return Official(frozenset(), frozenset())
    complete = {name for name in found if "validation" in named[name]}
    if any(name in complete for name in lacking):
        complete |= completing
    return Official(frozenset(found), frozenset(found - complete))


def require_parts(sets: Sets) -> None:
    """Raise :class:`ConfigError` where pairs without an official part would be lost."""
    lost = {name: sum(not pair.part for pair in pairs) for name, pairs in sets.items()}
    if not any(pair.part == "training" for pairs in sets.values() for pair in pairs):
        raise ConfigError(
            "split is 'official', but the data have no official training part; expected a set with parts, such as ISIC "
            "2017. Use --set split=seeded."
        )
    if any(lost.values()):
        said = ", ".join(
            f"{count:,} of {counted(len(sets[name]), 'image')} of {name}" for name, count in lost.items() if count
        )
        raise ConfigError(
            f"split is 'official', but {said} have no official part and would be lost. Use --set split=auto, which "
            "draws from them and keeps the parts of the others."
        )
