"""Which pairs train, validate and test: the set's official parts, a fixed fifth, or by lesion from a seed.

Photographs of one lesion are never on two sides, nor are the pictures that ISIC holds under two ids.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.pairs import Pair
from seglab.errors import ConfigError, DataError
from seglab.files import write_text
from seglab.images.formats import IMAGE_SUFFIXES

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
"""ISIC pictures known to be there under two ids (found by `seglab inspect`, and looked at)."""

_TWINS = {a: b for pair in SAME_PICTURE for a, b in (pair, pair[::-1])}
PARTS = ("training", "validation", "test")
KIND = "seglab split"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Split:
    """Pairs by part, and how they were split: ``official``, ``fifth``, ``seeded`` or ``file``."""

    method: str
    seed: int
    training: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...] = ()

    def parts(self) -> dict[str, tuple[Pair, ...]]:
        """Return the pairs by the name of their part."""
        return {part: getattr(self, part) for part in PARTS}


def make_split(
    pairs: Sequence[Pair],
    method: str = "auto",
    *,
    seed: int = 0,
    val_share: float = 0.2,
    test_share: float = 0.0,
    exclude: Iterable[str] = (),
) -> Split:
    """Split ``pairs``; ids in ``exclude`` and their twins are nowhere.

    ``official``: the parts that the set comes with; without an official validation part, ``val_share`` of the training
    part validates, by the seed. ``fifth``: lesions with ``sha256(lesion) mod 5 == 0`` validate, in every set alike.
    ``seeded``: shares of the lesions, by the seed. ``auto``: official where there are parts, else seeded.
    Raises :class:`DataError` where nothing would train or nothing validate.
    """
    excluded = set(exclude)
    kept = [pair for pair in pairs if not _concerns(pair.id, excluded.__contains__)]
    named = {pair.part for pair in kept} - {""}
    if method == "auto":
        method = "official" if "training" in named and len(named) > 1 else "seeded"
    chosen = _METHODS[method](kept, seed, val_share, test_share)
    found = Split(method, seed, *(tuple(chosen.get(part, ())) for part in PARTS))
    if not found.training or not found.validation:
        raise DataError(
            f"{len(pairs)} pairs, {len(excluded)} ids excluded, split by {method!r}, leave {len(found.training)} for "
            f"training and {len(found.validation)} for validation; expected some of each. Add data, exclude less, or "
            "split otherwise: --set split=seeded."
        )
    return found


def validates(id: str) -> bool:
    """Return whether ``id`` belongs to the fixed validation fifth: ``sha256(id) mod 5 == 0``."""
    return int(hashlib.sha256(id.encode()).hexdigest(), 16) % 5 == 0


def limited(split: Split, count: int, seed: int) -> Split:
    """Return ``split`` with at most ``count`` training pairs, drawn by the seed (0: all)."""
    if not count or count >= len(split.training):
        return split
    drawn = sorted(np.random.default_rng([seed, count]).permutation(len(split.training))[:count].tolist())
    training = tuple(split.training[index] for index in drawn)
    return dataclasses.replace(split, training=training)


def split_by_file(pairs: Sequence[Pair], path: Path) -> Split:
    """Split ``pairs`` as an earlier run did; pairs that its file does not name are nowhere."""
    ids = read_split(path)
    chosen = [tuple(pair for pair in pairs if pair.id in ids[part]) for part in PARTS]
    if not chosen[0] or not chosen[1]:
        raise DataError(
            f"{path} names {len(chosen[0])} of these {len(pairs)} pairs for training and {len(chosen[1])} for "
            "validation; expected some of each. Check --data and the file."
        )
    return Split("file", 0, *chosen)


def write_split(path: Path, split: Split) -> None:
    """Write the ids of every part as JSON."""
    ids = {part: sorted({pair.id for pair in pairs}) for part, pairs in split.parts().items()}
    report = {"format_version": FORMAT_VERSION, "kind": KIND, "method": split.method, "seed": split.seed, **ids}
    write_text(path, json.dumps(report, indent=1) + "\n")


def read_split(path: Path) -> dict[str, frozenset[str]]:
    """Return the ids by part. Raises :class:`DataError` where the file is missing, torn, or something else."""
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        if values["kind"] != KIND or values["format_version"] > FORMAT_VERSION:
            raise ValueError(f"kind {values['kind']!r}, format {values['format_version']}")
        return {part: frozenset(map(str, values[part])) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as a split ({error}); expected the split.json that `seglab train` wrote. "
            "Check the path, or leave it out."
        ) from error


def read_ids(source: Path) -> set[str]:
    """Return ids to exclude: the lines of a text file, or the names of the images below a folder."""
    if source.is_dir():
        files = (path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        return {path.stem for path in files}
    try:
        return {line.strip() for line in source.read_text().splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{source} cannot be read ({error}); expected a folder of images, or a text file with an id a line."
        ) from error


Chosen = dict[str, list[Pair]]


def _official(pairs: Sequence[Pair], seed: int, val_share: float, _test_share: float) -> Chosen:
    chosen: Chosen = {part: [pair for pair in pairs if pair.part == part] for part in PARTS}
    if not chosen["training"]:
        raise ConfigError(
            "split is 'official', and the data has no official training part; expected a set with parts, as ISIC 2017. "
            "Use --set split=seeded."
        )
    if not chosen["validation"]:
        chosen |= {**_seeded(chosen["training"], seed, val_share, 0.0), "test": chosen["test"]}
    held_out = {_key(pair) for part in PARTS[1:] for pair in chosen[part]}
    chosen["training"] = [pair for pair in chosen["training"] if _key(pair) not in held_out]
    return chosen


def _fifth(pairs: Sequence[Pair], _seed: int, _val_share: float, _test_share: float) -> Chosen:
    return {
        "training": [pair for pair in pairs if not _concerns(pair.lesion, validates)],
        "validation": [pair for pair in pairs if validates(pair.lesion)],
    }


def _seeded(pairs: Sequence[Pair], seed: int, val_share: float, test_share: float) -> Chosen:
    lesions = sorted({_key(pair) for pair in pairs})
    order = np.random.default_rng(seed).permutation(len(lesions)).tolist()
    validation, test = round(val_share * len(lesions)), round(test_share * len(lesions))
    place = {lesions[index]: _place(rank, validation, test) for rank, index in enumerate(order)}
    return {part: [pair for pair in pairs if place[_key(pair)] == part] for part in PARTS}


def _place(rank: int, validation: int, test: int) -> str:
    if rank < validation:
        return "validation"
    return "test" if rank < validation + test else "training"


_METHODS: dict[str, Callable[[Sequence[Pair], int, float, float], Chosen]] = {
    "official": _official,
    "fifth": _fifth,
    "seeded": _seeded,
}


def _key(pair: Pair) -> str:
    """What is never split: the lesion, and pictures that are there twice."""
    return min(pair.lesion, _TWINS.get(pair.id, pair.lesion))


def _concerns(id: str, test: Callable[[str], bool]) -> bool:
    return test(id) or (id in _TWINS and test(_TWINS[id]))
