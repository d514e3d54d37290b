"""The pairs that a run trains on: a new split, or for a resumed run the pairs that its checkpoint names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seglab.cli_support import echo
from seglab.commands.checks import inspected
from seglab.commands.places import require_outside
from seglab.commands.runs.request import Task, Told
from seglab.errors import ConfigError, DataError
from seglab.words import counted, noun

if TYPE_CHECKING:
    from pathlib import Path

    from seglab.data.collection import Collection
    from seglab.data.pairs import Pair
    from seglab.data.splits import Split
    from seglab.recipes.recipe import Recipe

DEFAULT_MODE = "refuse"


@dataclass(frozen=True)
class RunPairs:
    """The pairs of a run by part. ``about``: what checkpoints keep of them. ``used``: lines that say what is used."""

    split: Split
    about: dict[str, Any]
    used: tuple[str, ...]


def pairs_of(task: Task) -> RunPairs:
    """Return the pairs of a run, and print how much of each data set is used and why the rest is not.

    Raises :class:`DataError` where too much would be lost, or where a resumed run had other data.
    """
    from seglab.data.collection import used_lines

    collection = task.told.named.collect()
    if not task.start:
        require_outside(task.out, collection.pairs)
    _require_same_hair(collection.pairs, task.recipe)
    if task.start and "split" in task.start.training:
        split = _again(task, collection, task.start.training)
    else:
        split = _anew(task, collection)
    used = tuple(used_lines(collection, split.parts(), split.unused))
    for line in used:
        echo(line, err=True)
    return RunPairs(split, _about(task, collection, split), used)


def _anew(task: Task, collection: Collection) -> Split:
    from seglab.data.collection import require_used
    from seglab.data.splits import EXCLUDED, limited, make_split, read_ids

    recipe, told = task.recipe, task.told
    excluded = {id for source in told.exclude for id in read_ids(source)}
    if told.split_file:
        found = _by_file(collection, told.split_file, excluded)
    else:
        found = make_split(
            collection.by_set, recipe.split, seed=recipe.seed, val_share=recipe.val_share, test_share=recipe.test_share,
            exclude=excluded,
        )  # fmt: skip
    if excluded:
        count = len(found.unused.get(EXCLUDED, ()))
        echo(
            f"--exclude names {counted(len(excluded), 'id')} and leaves out {counted(count, 'image')} of the data.",
            err=True,
        )
    split = looked_at(collection, [limited(found, recipe.limit, recipe.seed)], told.mode or DEFAULT_MODE, recipe)[0]
    require_used(collection, split)
    if task.start:
        _require_same_counts(task.start.training, split)
    return split


def _by_file(collection: Collection, path: Path, excluded: Iterable[str]) -> Split:
    """Split as a file says. Raises :class:`DataError` where the data lack too many of the images that it names."""
    from seglab.data.finding.found import is_too_much
    from seglab.data.groups import with_twins
    from seglab.data.kept_split import split_by_file
    from seglab.data.splits import EXCLUDED, moved_out

    found, missing = split_by_file(collection, path)
    total = missing + sum(map(len, found.parts().values()))
    if is_too_much(missing, total):
        raise DataError(
            f"{path} names {counted(total, 'image')}, and {missing} of them are not in the data; expected to find more "
            "than 90 %. Check --data and the file."
        )
    if missing:
        echo(f"{path} names {counted(missing, 'image')} that {noun(missing, 'is', 'are')} not in the data.", err=True)
    unwanted = with_twins(excluded)
    split = moved_out(found, {pair.source: EXCLUDED for pair in collection.pairs if pair.id in unwanted})
    if not split.training or not split.validation:
        raise DataError(
            f"{path} leaves {counted(len(split.training), 'image')} for training and {len(split.validation)} for "
            "validation; expected some of each. Check the file, or exclude less."
        )
    return split


def looked_at(collection: Collection, splits: Sequence[Split], mode: str, recipe: Recipe) -> list[Split]:
    """Return the splits to train on, after inspecting every pair.

    Missing soft masks are reported before the inspection, except in mode ``report``: there an image that cannot be read
    is left out and needs none.
    """
    from seglab.data.soft_masks import soft_masks_of

    if mode != "report":
        soft_masks_of(recipe, {pair.source: pair for split in splits for pair in split.training}.values())
    return [inspected(collection, split, mode, size=recipe.size, lesions=recipe.lesions) for split in splits]


def _again(task: Task, collection: Collection, training: dict[str, Any]) -> Split:
    """Return the pairs of a resumed run, in the order of its split."""
    from seglab.data.kept_split import missing_ids, split_by_ids

    data, ids = training["data"], training["split"]
    split = split_by_ids(collection, ids, data["sets"])
    missing = {part: count for part in ids if (count := missing_ids(split, ids, part))}
    if missing:
        raise DataError(
            f"The data lack {sum(missing.values()):,} of the {counted(sum(map(len, ids.values())), 'image')} of this "
            f"run ({_described(missing)}); expected all. Name the folder where they are: --data DIR."
        )
    _require_same_split(task.told, collection, split)
    split = dataclasses.replace(split, method=data["split"], seed=task.recipe.seed)
    return looked_at(collection, [split], task.told.mode, task.recipe)[0] if task.told.mode else split


def _described(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {part}" for part, count in counts.items())


def _require_same_split(told: Told, collection: Collection, split: Split) -> None:
    """Raise :class:`ConfigError` where options of this call would remove an image of the run or change its part."""
    from seglab.data.groups import with_twins
    from seglab.data.kept_split import split_by_file
    from seglab.data.splits import read_ids

    places = _places(split)
    unwanted = with_twins({id for source in told.exclude for id in read_ids(source)})
    excluded = unwanted & places.keys()
    if excluded:
        raise ConfigError(
            f"--exclude names {counted(len(excluded), 'image')} that this run uses ({min(excluded)}, ...). Leave it "
            "out, or name a new --out."
        )
    if told.split_file and not places.items() <= _places(split_by_file(collection, told.split_file)[0]).items():
        raise ConfigError("--split-file differs from the split of this run. Leave it out, or name a new --out.")


def _places(split: Split) -> dict[str, str]:
    """Return the part of each pair by its id."""
    return {pair.id: part for part, pairs in split.parts().items() for pair in pairs}


def _require_same_counts(training: dict[str, Any], split: Split) -> None:
    """Raise unless counts and method of the split are those of an old checkpoint, which keeps no ids."""
    before = {key: value for key, value in training.get("data", {}).items() if key in _counts(split)}
    if before != _counts(split):
        raise ConfigError(
            f"The run was trained on other data ({before} before, {_counts(split)} now). Name the same data, or a new "
            "--out."
        )


def _about(task: Task, collection: Collection, split: Split) -> dict[str, Any]:
    """Return ``data`` and ``split`` for the checkpoints. Raises :class:`DataError` where the pictures are others."""
    from seglab.data.fingerprint import fingerprint
    from seglab.data.kept_split import ids_of

    sets = [found.name for found in collection.sets]
    mark = fingerprint([*split.training, *split.validation])
    if task.start:
        _require_same_pictures(task.start.training.get("data", {}), sets, mark)
    return {"data": {"sets": sets, **_counts(split), "fingerprint": mark}, "split": ids_of(split)}


def _require_same_pictures(before: dict[str, Any], sets: list[str], mark: list[str]) -> None:
    from seglab.data.fingerprint import are_same

    if not are_same(before.get("fingerprint", mark), mark):
        raise DataError(
            "The images have the same names as those of this run, but other pixels or truth masks. Name the folder of "
            "the run's images: --data DIR, or start a new run with another --out."
        )
    if sorted(before.get("sets", sets)) != sorted(sets):
        echo(f"The data sets are now called {', '.join(sets)} (before: {', '.join(before['sets'])}).", err=True)


def _counts(split: Split) -> dict[str, Any]:
    images = {f"{part}_images": len(pairs) for part, pairs in split.parts().items()}
    return {"split": split.method, **images}


def _require_same_hair(pairs: Iterable[Pair], recipe: Recipe) -> None:
    prepared = {pair.hair for pair in pairs} - {"none", recipe.hair}
    if prepared:
        raise ConfigError(
            f"The data were prepared with hair={', '.join(prepared)}, but the recipe says hair={recipe.hair}; expected "
            f"the same for training and use. Add --set hair={prepared.pop()}."
        )
