"""Choose between several ways to run a model: for each device and file the first that verifies, of those the fastest.
The choice is cached.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np

from export.errors import DeviceError
from export.runtime import cache
from export.runtime.create import open_on
from export.runtime.devices.find import AUTO, computes_natively, plans_for
from export.runtime.devices.nvidia_driver import NoGpuError, list_gpus
from export.runtime.model import Model
from export.runtime.plan import Plan, Request
from export.runtime.probes.verify import probe_images
from export.runtime.session import Images

SECONDS, FEWEST_ROUNDS, FEW_IMAGES = 1.0, 2, 4
RULE = 3
"""Raise this if the choice is made differently, so that cached choices are made again."""


@dataclass(frozen=True)
class Choice:
    """The way that was chosen, by its label, and why the others were not."""

    label: str
    rejected: dict[str, str]


class Way(NamedTuple):
    """A file, with a plan of how a device would run it."""

    request: Request
    plan: Plan

    @property
    def label(self) -> str:
        """Return the text that distinguishes the ways of one choice."""
        return self.plan.label

    def open(self, rejected: dict[str, str] | None = None) -> Model:
        """Open and verify the model. Raises :class:`DeviceError`."""
        return open_on(self.request, self.plan, rejected)


def open_fastest(requests: Sequence[Request], device: str) -> Model:
    """Open a model on ``device`` by the first plan that verifies; ``auto``: on the device that is then fastest.

    ``requests``: of one file, or of several in different precisions, of which the fastest is used. The choice is cached
    independently of threads and batch, because a run that is continued with fewer images must not change its precision.
    It is also cached for the chosen file alone, with which the run continues. Raises :class:`DeviceError` if nothing
    can be opened.
    """
    offers, absent = _offers(requests, device)
    ways = [way for offer in offers for way in offer]
    if len(ways) == 1:
        return ways[0].open(absent)
    name = _name(requests, device, ways, absent)
    model = _chosen_before(ways, name)
    if model is None:
        with cache.alone(name):
            model = _chosen_before(ways, name)
            if model is None:
                way, model, is_lasting = _chosen_now(offers, absent)
                if is_lasting:
                    kept = json.dumps(asdict(Choice(way.label, model.device.rejected))).encode()
                    for key in {name, _name_alone(way.request, device)}:
                        cache.write(key, kept)
    return model


def images_per_second(models: Sequence[Model], seconds: float) -> list[float]:
    """Return the rates of models at S x S, whose calls take turns for ``seconds``; the fastest call of each counts."""
    return [images / min(taken) for images, taken in timed_turns(models, seconds)]


def timed_turns(models: Sequence[Model], seconds: float) -> list[tuple[int, list[float]]]:
    """Let the calls of models at S x S take turns for ``seconds``; return for each model the images per call, and the
    seconds that each call took.
    """
    batches = [_batch_for(model) for model in models]
    taken: list[list[float]] = [[] for _ in models]
    deadline, rounds = time.perf_counter() + seconds, 0
    while rounds < FEWEST_ROUNDS or time.perf_counter() < deadline:
        for model, images, times in zip(models, batches, taken, strict=True):
            start = time.perf_counter()
            model.prob(images)
            times.append(time.perf_counter() - start)
        rounds += 1
    return [(len(images), times) for images, times in zip(batches, taken, strict=True)]


def _offers(requests: Sequence[Request], device: str) -> tuple[list[list[Way]], dict[str, str]]:
    """Return the ways to try, by device and file, and the devices that cannot be used, with the reason.

    Of several files, those that a device would convert to fp32 are left to other devices.
    """
    offers: list[list[Way]] = []
    absent: dict[str, str] = {}
    errors: list[DeviceError] = []
    for name in AUTO if device == "auto" else [device]:
        for request in requests:
            try:
                plans = plans_for(name, request)
            except DeviceError as error:
                absent[name] = error.reason
                errors.append(error)
                continue
            if len(requests) == 1 or computes_natively(plans[0], request):
                offers.append([Way(request, plan) for plan in plans])
    if not offers and device == "auto":  # no device has the arithmetic that `compute` asks for
        reason = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
        raise DeviceError("auto", reason, "Use --compute fp32.")
    if not offers:
        raise errors[0]
    return offers, absent if device == "auto" else {}


def _chosen_before(ways: Sequence[Way], name: str) -> Model | None:
    """Open the way that was chosen last time; None if there is none, or it can no longer be opened."""
    kept = _kept(name)
    way = next((way for way in ways if kept and way.label == kept.label), None)
    if kept is None or way is None:
        return None
    try:
        return way.open(kept.rejected)
    except DeviceError as error:
        if error.out_of_memory:  # memory may be free another time; a run must keep its precision
            raise
        if not error.passing:
            cache.forget(name)
        return None


def _chosen_now(offers: Sequence[Sequence[Way]], absent: dict[str, str]) -> tuple[Way, Model, bool]:
    """Open each device and file by the first plan that verifies, and time them. Return the fastest way, its model, and
    whether the same choice is to be expected another time.
    """
    opened: list[tuple[Way, Model]] = []
    errors: list[DeviceError] = []
    rejected = dict(absent)
    for ways in offers:
        for way in ways:
            try:
                opened.append((way, way.open()))
                break
            except DeviceError as error:
                errors.append(error)
                rejected[way.label] = error.reason
    if not opened:
        raise errors[-1]
    rates = images_per_second([model for _, model in opened], SECONDS) if len(opened) > 1 else [0.0]
    fastest = max(range(len(opened)), key=rates.__getitem__)
    for index, (way, _) in enumerate(opened):
        if index != fastest:
            rejected[way.label] = f"slower, {rates[index]:.3g} images/s against {rates[fastest]:.3g}"
    way, model = opened[fastest]
    model.device = replace(model.device, rejected=rejected)
    return way, model, not any(error.passing for error in errors)


def _kept(name: str) -> Choice | None:
    data = cache.read(name)
    if data is None:
        return None
    try:
        found = Choice(**json.loads(data))
        return Choice(str(found.label), dict(found.rejected))
    except (ValueError, TypeError):
        cache.forget(name)
        return None


def _name_alone(request: Request, device: str) -> str:
    """Return the cache name of a choice between the ways of one file."""
    offers, absent = _offers([request], device)
    return _name([request], device, [way for offer in offers for way in offer], absent)


def _name(requests: Sequence[Request], device: str, ways: Sequence[Way], absent: Mapping[str, str]) -> str:
    """Return the cache name of a choice; it changes when a device is added."""
    labels = [way.label for way in ways]
    try:
        gpus = [gpu.name for gpu in list_gpus()]
    except NoGpuError:
        gpus = []
    files = [request.sha256 for request in requests]
    return f"choice-{cache.key(RULE, files, device, requests[0].compute, gpus, labels, sorted(absent.items()))}.json"


def _batch_for(model: Model) -> Images:
    size = model.contract.size
    return np.resize(probe_images(size, size), (model.batch or FEW_IMAGES, size, size, 3))
