"""Splits into training, validation and test: by official parts, by a fixed fifth, or by lesion from a seed.

Photographs of one lesion are always in the same part, and so are pictures that ISIC has under two ids. Pairs that are
in no part are in ``unused``, by the reason.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data import dividing
from seglab.data.dividing import HELD_OUT, IN_ANOTHER_SET, PARTS, Sets, Shares, validates
from seglab.data.groups import with_twins
from seglab.data.pairs import Pair
from seglab.errors import DataError
from seglab.files import write_text
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.words import counted

__all__ = [
    "ASKED", "BY_FILE", "EXCLUDED", "HELD_OUT", "IN_ANOTHER_SET", "LEAKED", "NOT_DRAWN", "NOT_IN_FILE", "NOT_IN_RUN",
    "PARTS", "UNUSABLE", "Split", "drawn_sets", "limited", "make_split", "moved_out", "read_ids", "read_split",
    "validates", "write_split",
]  # fmt: skip
EXCLUDED = "excluded by --exclude"
NOT_DRAWN = "beyond the limit of training images (limit)"
NOT_IN_FILE = "not in the split file"
NOT_IN_RUN = "not in the run's split"
UNUSABLE = "cannot be used (see the lines with error)"
LEAKED = "the same lesion or picture is held out (see the lines with leak)"
"""Reason with ``--inspect report`` only, which stops where a tenth of a set cannot be used."""
ASKED = frozenset({EXCLUDED, NOT_DRAWN, NOT_IN_FILE, NOT_IN_RUN, UNUSABLE, LEAKED, IN_ANOTHER_SET})
"""Reasons in ``Split.unused`` that are no loss: the user asked for them, or the picture is used elsewhere."""
BY_FILE = "file"
"""Method of a split that comes from a file of ids."""
KIND = "seglab split"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Split:
    """Pairs by part. ``method``: ``official``, ``fifth``, ``seeded``, ``file``, ``auto`` (official parts of some sets,
    a draw from others), or ``fold I of K``.

    ``unused``: pairs in no part, by the reason in words. Code that removes pairs from a split must add them here.
    """

    method: str
    seed: int
    training: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...] = ()
    unused: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)

    def parts(self) -> dict[str, tuple[Pair, ...]]:
        """Return the pairs by part."""
        return {part: getattr(self, part) for part in PARTS}


def make_split(
    data: Sequence[Pair] | Sets,
    method: str = "auto",
    *,
    seed: int = 0,
    val_share: float = 0.2,
    test_share: float = 0.0,
    exclude: Iterable[str] = (),
) -> Split:
    """Split pairs, or pairs by the name of their set; ids in ``exclude``, and their twins, are unused.

    ``auto`` decides by set and lesion: sets with official parts keep them, a lesion that has a part in one set gets it
    in all, and the other lesions are drawn by the seed. ``official``: the official parts of the sets; every pair must
    have one. Without an official validation part, the seed draws ``val_share`` of the training part for validation.
    ``fifth``: lesions with ``sha256(lesion) mod 5 == 0`` validate, in every set. ``seeded``: the seed draws shares of
    all lesions.
    Raises :class:`DataError` where training or validation would be empty.
    """
    sets: Sets = data if isinstance(data, Mapping) else {"the data": data}
    excluded = set(exclude)
    unwanted = with_twins(excluded)
    everything = [pair for pairs in sets.values() for pair in pairs]
    kept = {name: [pair for pair in pairs if pair.id not in unwanted] for name, pairs in sets.items()}
    pairs = [pair for pair in everything if pair.id not in unwanted]
    method, places = _divided(kept, pairs, method, Shares(seed, val_share, test_share))
    by_place = {EXCLUDED: [pair for pair in everything if pair.id in unwanted]}
    for pair, place in zip(pairs, places, strict=True):
        by_place.setdefault(place, []).append(pair)
    found = _split(method, seed, by_place)
    if not found.training or not found.validation:
        raise DataError(
            f"{counted(len(everything), 'pair')}, {counted(len(excluded), 'id')} excluded, split by {method!r}, leave "
            f"{len(found.training)} for training and {len(found.validation)} for validation{_why(found)}; expected "
            "some of each. Add data, exclude less, or use another split (auto, official, fifth, seeded)."
        )
    return found


def _why(split: Split) -> str:
    reasons = ", ".join(f"{len(pairs)} {reason}" for reason, pairs in split.unused.items())
    return f" ({reasons})" if reasons else ""


def _divided(sets: Sets, pairs: Sequence[Pair], method: str, shares: Shares) -> tuple[str, list[str]]:
    """Return the method that applied, and the place of each pair: a part, or the reason why it has none."""
    if method == "official":
        dividing.require_parts(sets)
        return method, dividing.places_by_parts(sets, dividing.all_official(sets), shares)
    if method == "fifth":
        return method, dividing.places_by_fifth(pairs)
    if method == "auto" and (official := dividing.official_by_set(sets)).sets:
        whole = len(official.sets) == len(sets) and all(pair.part for pair in pairs)
        return "official" if whole else "auto", dividing.places_by_parts(sets, official, shares)
    return "seeded", dividing.places_by_seed(pairs, shares)


def drawn_sets(sets: Sets, method: str) -> frozenset[str]:
    """Return the sets that a split with this method (:attr:`Split.method`) draws from, not using their own parts."""
    if method in ("official", BY_FILE):
        return frozenset()
    return frozenset(sets) - (dividing.official_by_set(sets).sets if method == "auto" else set())


def _split(method: str, seed: int, by_place: Mapping[str, Sequence[Pair]]) -> Split:
    training, validation, test = (tuple(by_place.get(part, ())) for part in PARTS)
    unused = {place: tuple(pairs) for place, pairs in by_place.items() if place not in PARTS and pairs}
    return Split(method, seed, training, validation, test, unused)


def moved_out(split: Split, reasons: Mapping[str, str]) -> Split:
    """Return ``split`` with the pairs whose ``source`` is in ``reasons`` moved to ``unused``."""
    by_place: dict[str, list[Pair]] = {place: list(pairs) for place, pairs in split.unused.items()}
    for part, pairs in split.parts().items():
        for pair in pairs:
            by_place.setdefault(reasons.get(pair.source, part), []).append(pair)
    return _split(split.method, split.seed, by_place)


def limited(split: Split, count: int, seed: int) -> Split:
    """Return ``split`` with at most ``count`` training pairs (0: all), drawn by the seed."""
    if not count or count >= len(split.training):
        return split
    drawn = set(np.random.default_rng([seed, count]).permutation(len(split.training))[:count].tolist())
    training = tuple(pair for index, pair in enumerate(split.training) if index in drawn)
    others = tuple(pair for index, pair in enumerate(split.training) if index not in drawn)
    return dataclasses.replace(split, training=training, unused={**split.unused, NOT_DRAWN: others})


def write_split(path: Path, split: Split) -> None:
    """Write the ids of every part as JSON; the id of a picture that several sets have is repeated."""
    ids = {part: sorted(pair.id for pair in pairs) for part, pairs in split.parts().items()}
    report = {"format_version": FORMAT_VERSION, "kind": KIND, "method": split.method, "seed": split.seed, **ids}
    write_text(path, json.dumps(report, indent=1) + "\n")


def read_split(path: Path) -> dict[str, list[str]]:
    """Return the ids by part that :func:`write_split` wrote.

    Raises :class:`DataError` where the file is missing, damaged, or of another kind.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        if values["kind"] != KIND or values["format_version"] > FORMAT_VERSION:
            raise ValueError(f"kind {values['kind']!r}, format {values['format_version']}")
        ids = {part: list(map(str, values[part])) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as a split ({error}); expected the split.json that `seglab train` wrote. "
            "Check the path, or leave it out."
        ) from error
    twice = sorted(id for one, other in itertools.combinations(map(set, ids.values()), 2) for id in one & other)
    if twice:
        raise DataError(
            f"{path} names {counted(len(twice), 'id')} in two parts, for example {twice[0]}; expected each in one. "
            "Correct the file."
        )
    return ids


def read_ids(source: Path) -> set[str]:
    """Return ids to exclude: the names of the images below a folder, or the first words of the lines of a text file or
    table. Suffixes of file names are removed.
    """
    if source.is_dir():
        files = (path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        return {path.stem for path in files}
    try:
        words = (re.split(r"[,;\t]", line)[0].strip().strip('"') for line in source.read_text().splitlines())
        return {_without_suffix(word) for word in words if word}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{source} cannot be read ({error}); expected a folder of images, or a text file with one id per line."
        ) from error


def _without_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name
