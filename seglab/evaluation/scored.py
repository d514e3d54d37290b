"""The pairs on which a checkpoint is scored: a part of its run's split, or all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglab.data.collection import Collection
from seglab.data.finding.names import is_isic
from seglab.data.fingerprint import are_same, fingerprint
from seglab.data.kept_split import missing_ids, split_by_ids
from seglab.data.pairs import Pair
from seglab.data.splits import PARTS, Split, read_split
from seglab.errors import DataError
from seglab.networks.checkpoints import Checkpoint
from seglab.training.run_folder import SPLIT
from seglab.words import counted

ALL = "all"
NO_SPLIT, OF_CHECKPOINT = "none", "checkpoint"


@dataclass(frozen=True)
class KnownSplit:
    """Ids by part, and their ``source``: the name of a file, or ``checkpoint``.

    ``sets``: the run's data sets. ``fingerprint``: that of the run's images, empty if unknown.
    """

    ids: Mapping[str, Sequence[str]]
    source: str
    sets: Sequence[str] = ()
    fingerprint: Sequence[str] = ()


@dataclass(frozen=True)
class Scored:
    """The pairs to score. ``unused``: other pairs, by the reason in words.

    ``missing``: number of ids of the part without a pair in the data. ``source``: where the split is from.
    """

    pairs: tuple[Pair, ...]
    unused: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)
    missing: int = 0
    source: str = NO_SPLIT


def known_split(checkpoint: Checkpoint, named: Path | None) -> KnownSplit:
    """Return the split in the file ``named``, else in the checkpoint, else in ``split.json`` beside it.

    Raises :class:`DataError` where there is none, rather than guess which images a network has seen.
    """
    data = checkpoint.training.get("data")
    data = data if isinstance(data, dict) else {}
    sets = data.get("sets", ())
    if named:
        return KnownSplit(read_split(named), named.name, sets)
    if "split" in checkpoint.training:
        return KnownSplit(checkpoint.training["split"], OF_CHECKPOINT, sets, data.get("fingerprint", ()))
    beside = checkpoint.path.with_name(SPLIT) if checkpoint.path else None
    if beside and beside.exists():
        return KnownSplit(read_split(beside), beside.name, sets)
    raise DataError(
        f"{checkpoint.path} does not say which images it was trained on, and no {SPLIT} lies beside it; expected one "
        "of them. Name the split of its run (--split FILE), put that file beside it, or score every image (--part all)."
    )


def scored(collection: Collection, part: str, split: KnownSplit) -> Scored:
    """Return the pairs of a part (``all``: every pair).

    Raises :class:`DataError` where there is none, or where a whole set has no image in the split.
    """
    if part == ALL:
        return Scored(collection.pairs)
    found = split_by_ids(collection, split.ids, split.sets)
    if not found.parts()[part]:
        raise DataError(
            f"None of the {counted(len(collection.pairs), 'pair')} is in the {part} part of the split "
            f"({split.source}). Check --data and --split, or use --part all."
        )
    _require_known_sets(collection, found)
    if split.fingerprint and not all(is_isic(pair.id) for pair in found.parts()[part]):
        _require_same_pictures(collection, found, split)
    unused = {f"in the {other} part": pairs for other, pairs in found.parts().items() if other != part and pairs}
    missing = missing_ids(found, split.ids, part)
    return Scored(found.parts()[part], {**unused, **found.unused}, missing, split.source)


def _require_same_pictures(collection: Collection, found: Split, split: KnownSplit) -> None:
    """Raise :class:`DataError` where ids that are not from ISIC name other pictures than those of the run."""
    pairs = [*found.training, *found.validation]
    if len(pairs) == sum(len(split.ids.get(part, ())) for part in PARTS[:2]):
        is_same = are_same(split.fingerprint, fingerprint(pairs))
    else:
        is_same = {each.name for each in collection.sets} <= set(split.sets)
    if not is_same:
        raise DataError(
            "The data have images with the names of the run's images, but with other pixels or truth masks (or some "
            "are missing and the set has another name); expected the same images. Score every image (--part all). If "
            "they are the same images in another format, name the split: --split FILE."
        )


def _require_known_sets(collection: Collection, found: Split) -> None:
    known = {pair.id for pairs in found.parts().values() for pair in pairs}
    for each in collection.sets:
        if each.pairs and known.isdisjoint(pair.id for pair in each.pairs):
            raise DataError(
                f"None of the {counted(len(each.pairs), 'image')} of {each.name} is in the split of this run; expected "
                "some of each set. Leave the set out, or score every image (--part all)."
            )
