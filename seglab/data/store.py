"""Prepared data sets: images and masks at the network's input size in ``.npy`` arrays, with an index.

``images.npy`` uint8 ``(N, S, S, 3)`` RGB (or floats scaled to 0-1), ``masks.npy`` uint8 ``(N, S, S)``, 0 or 255, and
``index.json``, which is written last: a folder with an index is complete. Hairs are already removed where asked for.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.pairs import ArrayPair, Pair, require_size
from seglab.errors import ConfigError, DataError, SeglabError, WriteError
from seglab.files import write_text
from seglab.images.hair import remove
from seglab.images.pixels.mask_resize import HALF, fit_mask
from seglab.images.pixels.resize import OVERSAMPLING, fit

INDEX, IMAGES, MASKS, JOURNAL = "index.json", "images.npy", "masks.npy", "journal.jsonl"
KIND = "seglab prepared"
FORMAT_VERSION = 1
DTYPES = ("uint8", "float16", "float32")
BLOCK_BYTES, MEBI = 512, 1 << 20
HEADER_BYTES = 128
BLOCK = 64
"""Rows that are written to the disk between two entries in the journal; a kill costs at most so many."""


@dataclass(frozen=True)
class PrepareSettings:
    """``size``: side length S in pixels. ``hair``: ``none`` or ``dullrazor``. ``dtype``: floats are scaled to 0-1."""

    size: int = 256
    hair: str = "none"
    dtype: str = "uint8"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size is {self.size}; expected 1 or more pixels.")
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype is {self.dtype!r}; expected one of {', '.join(DTYPES)}.")
        remove(self.hair, np.zeros((1, 1, 3), np.uint8))


@dataclass(frozen=True)
class Prepared:
    """The result: number of ``stored`` pairs, ``earlier`` ones among them, and ``failed`` pairs with reasons."""

    stored: int
    earlier: int
    failed: dict[str, str]


def prepare(
    pairs: Sequence[Pair],
    out: Path,
    settings: PrepareSettings,
    *,
    workers: int = 2,
    advance: Callable[[int], Any] = lambda count: None,
    judge: Callable[[Mapping[str, str]], Any] = lambda failed: None,
) -> Prepared:
    """Store ``pairs`` in ``out``, continuing an interrupted run with the same settings.

    A pair that cannot be read has no row; the index lists it with the reason. ``judge`` receives these reasons by
    source before the index is written, and may raise. ``advance``: called with the number of pairs that are done. The
    index records that hairs were removed, also where an earlier preparation did it.
    Raises :class:`ConfigError` where ``out`` holds something else, :class:`WriteError` where it cannot be written.
    """
    settings = dataclasses.replace(settings, hair=_hair(pairs, settings.hair))
    try:
        return _prepared(pairs, out, settings, workers, advance, judge)
    except OSError as error:
        raise WriteError(
            f"{out} cannot be written ({error.strerror or error}); expected a folder with room for the arrays. "
            "Make room, or name another --out; run again to continue."
        ) from error


def _prepared(
    pairs: Sequence[Pair],
    out: Path,
    settings: PrepareSettings,
    workers: int,
    advance: Callable[[int], Any],
    judge: Callable[[Mapping[str, str]], Any],
) -> Prepared:
    plan = {"format_version": FORMAT_VERSION, "kind": KIND, **dataclasses.asdict(settings)}
    ids = [pair.id for pair in pairs]
    if (out / INDEX).exists():
        return _finished(out, plan, ids, advance)
    shape = (len(pairs), settings.size, settings.size)
    _require_room(out, {IMAGES: _bytes((*shape, 3), settings.dtype), MASKS: _bytes(shape, "uint8")})
    outcome = _begin(out, plan, ids)
    earlier = len(outcome)
    advance(earlier)
    images = _array(out / IMAGES, (*shape, 3), settings.dtype)
    masks = _array(out / MASKS, shape, "uint8")
    left = [row for row in range(len(pairs)) if row not in outcome]
    with ThreadPoolExecutor(workers) as pool, (out / JOURNAL).open("a") as journal:
        for start in range(0, len(left), BLOCK):
            block = left[start : start + BLOCK]
            rows = pool.map(lambda row: _store(pairs[row], settings, images, masks, row), block)
            done = dict(zip(block, rows, strict=True))
            images.flush()
            masks.flush()
            journal.writelines(json.dumps([row, *result]) + "\n" for row, result in done.items())
            journal.flush()
            outcome |= done
            advance(len(block))
    failed = {pairs[row].source: reason for row, (_, reason) in sorted(outcome.items()) if reason}
    judge(failed)
    items = [_item(pairs[row], row, size) for row, (size, reason) in sorted(outcome.items()) if not reason]
    write_text(out / INDEX, json.dumps({**plan, "ids": ids, "items": items, "failed": failed}) + "\n")
    (out / JOURNAL).unlink(missing_ok=True)  # another command may have removed it after the same work
    return Prepared(len(items), earlier, failed)


def is_prepared(root: Path) -> bool:
    """Return whether ``root`` is the folder of a prepared data set, finished or not."""
    return (root / INDEX).is_file() or (root / JOURNAL).is_file()


def read_index(root: Path) -> list[ArrayPair]:
    """Return the pairs of a prepared data set, sorted by id.

    Raises :class:`DataError` where it is unfinished, damaged, or of a newer format.
    """
    if not (root / INDEX).is_file():
        raise DataError(f"{root} is not completely prepared (no {INDEX}). Run `seglab prepare` again to finish it.")
    try:
        index = json.loads((root / INDEX).read_text())
        if index["kind"] != KIND or index["format_version"] > FORMAT_VERSION:
            raise ValueError(f"kind {index['kind']!r}, format {index['format_version']}")
        images, masks = str(root / IMAGES), str(root / MASKS)
        found = [
            ArrayPair(item["id"], images, masks, item["row"], item["lesion"], item["part"], index["hair"])
            for item in index["items"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{root / INDEX} cannot be used ({error}); expected an index from `seglab prepare`, of format "
            f"{FORMAT_VERSION} or older. Prepare the data again, or install a newer seglab."
        ) from error
    return sorted(found, key=lambda pair: pair.id)


def failed_in(root: Path) -> list[str]:
    """Return the images that a prepared data set lacks because they could not be read."""
    return [str(source) for source in json.loads((root / INDEX).read_text()).get("failed", {})]


def _store(
    pair: Pair, settings: PrepareSettings, images: NDArray[Any], masks: NDArray[Any], row: int
) -> tuple[tuple[int, int], str]:
    """Fill a row; return the original ``(height, width)``, and the reason if the pair cannot be used (else empty)."""
    size = settings.size
    try:
        photo, mask = pair.photo(at_least=OVERSAMPLING * size), pair.mask()
        require_size("the truth", mask.shape, photo.size)
    except SeglabError as error:
        return (0, 0), str(error)
    pixels = fit(photo.pixels, size)  # (S, S, 3)
    if pair.hair != settings.hair:
        pixels = remove(settings.hair, pixels)
    images[row] = pixels if settings.dtype == "uint8" else pixels / np.float32(255)
    masks[row] = cv2.threshold(fit_mask(mask, size), HALF - 1, 255, cv2.THRESH_BINARY)[1]  # (S, S)
    return photo.size, ""


def _begin(out: Path, plan: dict[str, Any], ids: list[str]) -> dict[int, tuple[tuple[int, int], str]]:
    """Return the rows that an interrupted run of the same plan finished; start a journal where there is none."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / JOURNAL
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines:
        if any(out.iterdir()) and not path.exists():
            raise ConfigError(f"{out} is not empty and holds no prepared data; expected a new folder. Name another.")
        path.write_text(json.dumps({**plan, "ids": ids}) + "\n")
        return {}
    _require_same(out, json.loads(lines[0]), plan, ids)
    outcome = {}
    for line in lines[1:]:
        try:
            row, size, reason = json.loads(line)
        except ValueError:  # the line that was being written when the run was killed
            break
        if not reason:
            outcome[int(row)] = ((int(size[0]), int(size[1])), str(reason))
    # Failed pairs are tried again, and an incomplete last line is removed.
    kept = [json.dumps([row, *result]) for row, result in outcome.items()]
    write_text(path, "\n".join([lines[0], *kept]) + "\n")
    return outcome


def _finished(out: Path, plan: dict[str, Any], ids: list[str], advance: Callable[[int], Any]) -> Prepared:
    read_index(out)
    index = json.loads((out / INDEX).read_text())
    _require_same(out, index, plan, ids)
    advance(len(ids))
    return Prepared(len(index["items"]), len(index["items"]), index["failed"])


def _require_same(out: Path, earlier: dict[str, Any], plan: dict[str, Any], ids: Iterable[str]) -> None:
    changed = [
        f"{key} ({earlier.get(key)} before, {value} now)" for key, value in plan.items() if earlier.get(key) != value
    ]
    if earlier.get("ids") != list(ids):
        changed.append(f"the pairs ({len(earlier.get('ids', []))} before, {len(list(ids))} now)")
    if changed:
        raise ConfigError(
            f"{out} was prepared with other settings: {'; '.join(changed)}. Name another --out, or remove it."
        )


def _array(path: Path, shape: tuple[int, ...], dtype: str) -> np.memmap[Any, Any]:
    """Open an array on disk for writing; create it where it is missing or incomplete."""
    array = _earlier_array(path)
    if array is None or array.shape != shape or array.dtype != np.dtype(dtype):
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    if hasattr(os, "posix_fallocate"):  # writing to a memory-mapped file on a full disk would kill the process
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _earlier_array(path: Path) -> np.memmap[Any, Any] | None:
    try:
        return np.lib.format.open_memmap(path, mode="r+") if path.exists() else None
    except ValueError:  # incomplete
        return None


def _require_room(out: Path, needed: Mapping[str, int]) -> None:
    """Raise :class:`WriteError` unless the disk has room for files of ``needed`` bytes, less what they have already."""
    there = sum(BLOCK_BYTES * getattr((out / name).stat(), "st_blocks", 0) for name in needed if (out / name).exists())
    wanted, free = sum(needed.values()) - there, shutil.disk_usage(_existing(out)).free
    if wanted > free:
        raise WriteError(
            f"{out} needs {wanted / MEBI:,.1f} MiB more, and its disk has {free / MEBI:,.1f} MiB free; expected room "
            "for all arrays. Make room, use a smaller --size, or name an --out on another disk; run again to continue."
        )


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())


def _bytes(shape: tuple[int, ...], dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize + HEADER_BYTES


def _hair(pairs: Iterable[Pair], asked: str) -> str:
    """Return how hairs are removed from the images, now or in an earlier preparation. Raises for a mixture."""
    before = Counter(pair.hair for pair in pairs)
    removed = before.keys() - {"none", asked}
    if not removed:
        return asked
    label = removed.pop()
    if len(before) > 1:
        found = ", ".join(f"{count} with hair={hair}" for hair, count in before.items())
        raise ConfigError(
            f"Hairs were removed from some of the images ({found}); expected the same for all. Add --hair {label}, or "
            "prepare each set by itself."
        )
    return label


def _item(pair: Pair, row: int, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    return {"id": pair.id, "lesion": pair.lesion, "part": pair.part, "row": row, "height": height, "width": width}
