"""Where truth is at hand: do the untouched network's masks have to do with it, and would they more if it were fed
otherwise?
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from export.adoption.entry import GREY, Entry
from export.adoption.head import Head
from export.adoption.reference import Reference
from export.adoption.untouched import Untouched
from export.adoption.values import Kind
from export.adoption.wrapping import Wrapping
from export.samples import Sample, SampleSet
from seglab.metrics.overlap import confusion
from seglab.networks.normalisation import CHANNEL_ORDERS, PRESETS

IMAGES = 6
"""With truth, that each way of feeding is tried on."""
GOOD_DICE = 0.8
"""A mean Dice from which nothing is said unless another way is better."""
FAIR_DICE = 0.5
"""Another way with a lower one is none."""
GAIN = 0.05
"""By so much a mean Dice has to be better for the other way to be named; of those as good, the commonest is."""


def truth_note(
    untouched: Untouched, entry: Entry, head: Head, kind: Kind, wrapping: Wrapping, samples: SampleSet
) -> str | None:
    """Return what a user must know of the masks' Dice to the truth: that it is low, or that another way of feeding the
    network gives a higher one. None where there is no truth, or nothing to say.
    """
    if len(wrapping.class_names) > 1:
        return None
    chosen = list(itertools.islice((sample for sample in samples.some(IMAGES) if sample.truth is not None), IMAGES))
    if not chosen:
        return None

    def mean_dice(way: Wrapping) -> float:
        original = Reference(untouched, entry, head, way, kind)
        return float(np.mean([_dice(original, sample) for sample in chosen]))

    dice = mean_dice(wrapping)
    others = [(mean_dice(way), words) for words, way in _other_ways(entry, wrapping)]
    highest = max((found for found, _ in others), default=0.0)
    best, better = next(((found, words) for found, words in others if found > highest - GAIN), (0.0, ""))
    measured = f"of {len(chosen)} images ({samples.source}) the mean Dice of {untouched.source}'s masks is {dice:.2f}"
    if best >= max(dice + GAIN, FAIR_DICE):
        return f"WARNING: against the truth {measured}; with {better} it is {best:.2f}. Is the normalisation right?"
    if dice < GOOD_DICE:
        return (
            f"WARNING: against the truth {measured}, which is low. Is it fed as in training (--mean, --channels, "
            "--size), and is --output right?"
        )
    return None


def _dice(original: Reference, sample: Sample) -> float:
    assert sample.truth is not None  # only such are chosen
    return confusion(original.prob_and_mask(sample.image)[1], sample.truth).dice


def _other_ways(entry: Entry, wrapping: Wrapping) -> Iterator[tuple[str, Wrapping]]:
    """Yield the presets, then the same in the other order of channels, as options, but for the way that was taken."""
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
