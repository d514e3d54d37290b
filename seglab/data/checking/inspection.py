"""Inspection of a data set before training.

It finds images and truths that cannot be read or do not fit, odd truths, unknown lesions, and leaks: the same lesion or
picture on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from seglab.data.checking import truths
from seglab.data.checking.known_lesions import lesions_told, lesions_unknown
from seglab.data.checking.leaks import Leak, leaked, shared_lesions, shared_pictures
from seglab.data.checking.looks import Look, look_at
from seglab.data.collection import Collection, too_much_unused
from seglab.data.pairs import Pair
from seglab.data.splits import LEAKED, UNUSABLE, Split, drawn_sets, moved_out
from seglab.errors import DataError

SHOWN = 10
EXPECTED = "expected readable pairs, truth masks that show lesions, and no lesion or picture on both sides of the split"


@dataclass
class Findings:
    """What an inspection found.

    ``faults``: faults of whole sets. ``errors``: reasons why pairs cannot be used, by source. ``leaks``: between the
    parts. ``notes``: what is odd about pairs, by source. ``remarks``: other information on whole sets.
    """

    faults: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    leaks: list[Leak] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether there are no faults, errors or leaks."""
        return not self.faults and not self.errors and not self.leaks

    def lines(self) -> Iterator[str]:
        """Yield a line per finding, the most serious first."""
        yield from (f"fault: {fault}" for fault in self.faults)
        for source, reason in self.errors.items():  # messages of the readers begin with the file's name
            yield f"error: {reason if reason.startswith(source) else f'{source}: {reason}'}"
        yield from (f"leak: {leak}" for leak in self.leaks)
        yield from (f"note: {source}: {reason}" for source, reason in self.notes.items())
        yield from (f"remark: {remark}" for remark in self.remarks)


def inspect(
    split: Split,
    collection: Collection | None = None,
    *,
    size: int = 0,
    each_image_a_lesion: bool = False,
    workers: int = 2,
    advance: Callable[[int], Any] = lambda count: None,
) -> Findings:
    """Read every pair of ``split`` once, with ``workers`` threads, and return the findings.

    ``collection``: the data sets of the pairs, for findings on whole sets. ``size``: side length at which the pairs
    will be used, 0 if unknown. ``each_image_a_lesion``: the user says that no two images show one lesion.
    ``advance``: called with the number of pairs that are done.
    """
    placed = [(part, pair) for part, pairs in split.parts().items() for pair in pairs]
    findings, looks = Findings(), []
    with ThreadPoolExecutor(workers) as pool:
        for (_, pair), look in zip(placed, pool.map(lambda entry: look_at(entry[1], size), placed), strict=True):
            if look.error:
                findings.errors[pair.source] = look.error
            elif look.note:
                findings.notes[pair.source] = look.note
            looks.append(look)
            advance(1)
    findings.leaks += [*shared_lesions(placed), *shared_pictures(placed, [look.picture for look in looks])]
    _judge_parts(findings, placed, looks)
    for name, members in _by_set([pair for _, pair in placed], looks, collection).items():
        _judge_set(findings, name, members, size)
    if collection:
        _judge_lesions(findings, collection, split, each_image_a_lesion)
        findings.faults += too_much_unused(collection, split)
    return findings


def _judge_parts(findings: Findings, placed: Sequence[tuple[str, Pair]], looks: Sequence[Look]) -> None:
    for part in dict(placed):
        own = [look for (place, _), look in zip(placed, looks, strict=True) if place == part]
        findings.faults += truths.without_lesion(f"The {part} part", own)


def _judge_set(findings: Findings, name: str, members: Sequence[tuple[Pair, Look]], size: int) -> None:
    looks = [look for _, look in members]
    findings.faults += [
        *truths.unusable(name, [look.error for look in looks if look.error and not look.is_turned], len(looks)),
        *truths.odd_together(name, looks, size),
    ]
    is_much, turned = truths.turned(name, looks)
    (findings.faults if is_much else findings.remarks).extend(turned)
    findings.remarks += [*truths.partly_inverted(name, looks), *truths.vanishing(name, looks, size)]


def _judge_lesions(findings: Findings, collection: Collection, split: Split, each_image_a_lesion: bool) -> None:
    drawn = drawn_sets(collection.by_set, split.method)
    for found in collection.sets:
        unknown = [] if each_image_a_lesion or found.name not in drawn else list(lesions_unknown(found))
        findings.faults += unknown
        findings.remarks += [] if unknown else lesions_told(found)


def _by_set(
    pairs: Sequence[Pair], looks: Sequence[Look], collection: Collection | None
) -> dict[str, list[tuple[Pair, Look]]]:
    sets = collection.by_set if collection else {"The data": pairs}
    owner = {pair.source: name for name, members in sets.items() for pair in members}
    found: dict[str, list[tuple[Pair, Look]]] = {}
    for pair, look in zip(pairs, looks, strict=True):
        found.setdefault(owner.get(pair.source, "The data"), []).append((pair, look))
    return found


def require_sound(split: Split, findings: Findings, mode: str) -> Split:
    """Return the split to train on.

    ``mode`` ``refuse``: raise :class:`DataError` for faults, errors and leaks. ``report``: raise it for faults only;
    leave out pairs that cannot be used, and pairs whose lesion or picture is also in a later part (training,
    validation, test).
    """
    if findings.sound:
        return split
    if mode == "refuse" or findings.faults:
        raise _unsound(findings)
    placed = [(part, pair) for part, pairs in split.parts().items() for pair in pairs]
    reasons = dict.fromkeys(leaked(placed, findings.leaks), LEAKED) | dict.fromkeys(findings.errors, UNUSABLE)
    kept = moved_out(split, reasons)
    if not kept.training or not kept.validation:
        raise DataError(
            "Without the reported pairs nothing is left for training or validation. Correct them, or add data."
        )
    return kept


def require_lesions(parts: Mapping[str, Sequence[Pair]]) -> None:
    """Raise :class:`DataError` where no truth of a part has both lesion and skin; read only until one has.

    This is the only check without an inspection: scores against such truths mean nothing. Pairs that cannot be read
    are ignored.
    """
    for part, pairs in parts.items():
        looks = []
        for pair in pairs:
            looks.append(look_at(pair))
            if not looks[-1].error and not looks[-1].is_empty and not looks[-1].is_full:
                break
        for fault in truths.without_lesion(f"The {part} part", looks):
            raise DataError(fault)


def _unsound(findings: Findings) -> DataError:
    lines = [line for line in findings.lines() if not line.startswith(("note", "remark"))]
    shown = lines[: len(findings.faults) or SHOWN]
    more = f"\n  and {len(lines) - len(shown)} more; seglab inspect lists them" if len(lines) > len(shown) else ""
    advice = "" if findings.faults else ", or add --inspect report to train without these pairs"
    return DataError(
        f"The data have errors; {EXPECTED}:\n  " + "\n  ".join(shown) + f"{more}\nCorrect the data{advice}."
    )
