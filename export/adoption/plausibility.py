"""Check whether a foreign network is fed as in its training, by its masks: by their Dice if there is truth, else by
whether they are empty or full while another way of feeding gives masks that are not.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from export.adoption.entry import GREY, Entry
from export.adoption.head import Head
from export.adoption.reference import Images, Reference
from export.adoption.untouched import Untouched
from export.adoption.values import Kind
from export.adoption.wrapping import Wrapping
from export.samples import Sample, SampleSet
from seglab.metrics.overlap import confusion
from seglab.networks.normalisation import CHANNEL_ORDERS, PRESETS
from seglab.words import counted

IMAGES = 6
"""Number of images on which each way of feeding is tried."""
GOOD_DICE = 0.8
"""From this mean Dice on nothing is reported unless another way is better."""
FAIR_DICE = 0.5
"""Another way of feeding with a lower mean Dice is not reported."""
GAIN = 0.05
"""How much better the mean Dice must be for another way to be reported; of equal ones, the most common is."""

Masks = Callable[[Wrapping], list[Images]]


def feeding_note(
    untouched: Untouched, entry: Entry, head: Head, kind: Kind, wrapping: Wrapping, samples: SampleSet
) -> str | None:
    """Return a warning if the network seems to be fed wrongly: its Dice against the truth is low, or its masks are all
    empty or full; with the preset that does better, if one does. None if there is nothing to report.
    """
    if len(wrapping.class_names) > 1:
        return None
    pictures = list(itertools.islice((sample for sample in samples.some(IMAGES) if not sample.edge), IMAGES))

    def masks(way: Wrapping) -> list[Images]:
        original = Reference(untouched, entry, head, way, kind)
        return [original.prob_and_mask(sample.image)[1] for sample in pictures]

    ways = list(_other_ways(entry, wrapping))
    if any(sample.truth is not None for sample in pictures):
        return _by_truth(str(untouched.source), masks, pictures, wrapping, ways, samples.source)
    return _by_contents(str(untouched.source), masks, wrapping, ways)


def _by_truth(
    source: str,
    masks: Masks,
    pictures: Sequence[Sample],
    wrapping: Wrapping,
    ways: Sequence[tuple[str, Wrapping]],
    origin: str,
) -> str | None:
    def mean_dice(way: Wrapping) -> float:
        pairs = zip(masks(way), pictures, strict=True)
        return float(np.mean([confusion(mask, each.truth).dice for mask, each in pairs if each.truth is not None]))

    dice = mean_dice(wrapping)
    others = [(mean_dice(way), words) for words, way in ways]
    highest = max((found for found, _ in others), default=0.0)
    best, better = next(((found, words) for found, words in others if found > highest - GAIN), (0.0, ""))
    measured = f"on {counted(len(pictures), 'image')} ({origin}) the mean Dice of {source}'s masks is {dice:.2f}"
    if best >= max(dice + GAIN, FAIR_DICE):
        return f"WARNING: against the truth {measured}; with {better} it is {best:.2f}. Is the normalisation right?"
    if dice < GOOD_DICE:
        return (
            f"WARNING: against the truth {measured}, which is low. Is it fed as in training (--mean, --channels, "
            "--size), and is --output right?"
        )
    return None


def _by_contents(source: str, masks: Masks, wrapping: Wrapping, ways: Sequence[tuple[str, Wrapping]]) -> str | None:
    if not all(map(_is_uniform, masks(wrapping))):
        return None
    better = [words for words, way in ways if not any(map(_is_uniform, masks(way)))]
    other = f"; with {better[0]} they are not" if better else ""
    return (
        f"WARNING: {source}'s masks are empty, or full, on all images{other}. Is it fed as in training (--mean, "
        "--channels, --size), and is --output right?"
    )


def _is_uniform(mask: Images) -> bool:
    return bool((mask == mask.flat[0]).all())


def _other_ways(entry: Entry, wrapping: Wrapping) -> Iterator[tuple[str, Wrapping]]:
    """Yield the presets, then the same with the other channel order, as options, without the way that was used."""
    seen = {(wrapping.mean, wrapping.std, wrapping.channels)}
    for is_turned, (name, preset) in itertools.product((False, True), PRESETS.items()):
        channels = next(order for order in CHANNEL_ORDERS if (order != preset.channels) == is_turned)
        way = dataclasses.replace(wrapping, mean=preset.mean, std=preset.std, channels=channels)
        words = f"--mean {name}" + (f" --channels {channels}" if channels != preset.channels else "")
        if entry.takes_pixels:
            way = dataclasses.replace(way, mean=wrapping.mean, std=wrapping.std)
            words = f"--channels {channels}"
        is_for_grey = len(set(preset.mean)) == len(set(preset.std)) == 1 and channels == "rgb"
        if (way.mean, way.std, way.channels) in seen or (entry.channels == GREY and not is_for_grey):
            continue
        seen.add((way.mean, way.std, way.channels))
        yield words, way
