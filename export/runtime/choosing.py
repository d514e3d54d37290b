"""Which of several plans to take: of each device the first that verifies, of those the fastest; the outcome is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from export.errors import DeviceError
from export.runtime import cache
from export.runtime.create import open_on
from export.runtime.devices.find import AUTO, plans_for
from export.runtime.devices.nvidia_driver import NoGpuError, list_gpus
from export.runtime.model import Model
from export.runtime.plan import Plan, Request
from export.runtime.probes.verify import probe_images
from export.runtime.session import Images

SECONDS, FEWEST_ROUNDS, FEW_IMAGES = 1.0, 2, 4
RULE = 1
"""Raise this where the choice is made otherwise, so that kept ones are made again."""


@dataclass(frozen=True)
class Choice:
    """The plan that was taken, by its label, and why not the others."""

    label: str
    rejected: dict[str, str]


def open_fastest(request: Request, device: str) -> Model:
    """Open a model on ``device`` by the first plan that verifies; ``auto``: on the device that is fastest then.

    What is found is kept, and taken whatever the threads and the batch are: a run that goes on with fewer images must
    not go on in another precision. Raises :class:`DeviceError` where nothing can be opened.
    """
    offers, absent = _offers(request, device)
    plans = [plan for offer in offers for plan in offer]
    if len(plans) == 1:
        return open_on(request, plans[0], absent)
    name = f"choice-{_key(request, device)}.json"
    model = _chosen_before(request, plans, name)
    if model is None:
        with cache.alone(name):
            model = _chosen_before(request, plans, name) or _chosen_now(request, offers, absent, name)
    return model


def images_per_second(models: Sequence[Model], seconds: float) -> list[float]:
    """Return the rate of models at S x S, their calls taking turns for so long; of each the quickest call counts."""
    return [images / min(taken) for images, taken in timed_turns(models, seconds)]


def timed_turns(models: Sequence[Model], seconds: float) -> list[tuple[int, list[float]]]:
    """Let the calls of models at S x S take turns for so long; return of each how many images a call has, and the
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


def _offers(request: Request, device: str) -> tuple[list[list[Plan]], dict[str, str]]:
    """Return the plans of each device that can be tried, and the devices that are not there, with the reason."""
    if device != "auto":
        return [plans_for(device, request)], {}
    offers: list[list[Plan]] = []
    absent: dict[str, str] = {}
    for name in AUTO:
        try:
            offers.append(plans_for(name, request))
        except DeviceError as error:
            absent[name] = error.reason
    if not offers:  # what is asked for by `compute` is nowhere to be had
        reason = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
        raise DeviceError("auto", reason, "Use --compute fp32.")
    return offers, absent


def _chosen_before(request: Request, plans: Sequence[Plan], name: str) -> Model | None:
    """Open the plan that was taken the last time; None where there is none, or it is not what it was."""
    kept = _kept(name)
    plan = next((plan for plan in plans if kept and plan.label == kept.label), None)
    if kept is None or plan is None:
        return None
    try:
        return open_on(request, plan, kept.rejected)
    except DeviceError as error:
        if error.out_of_memory:  # there may be more another time; what a run began in, it goes on in
            raise
        if not error.passing:
            cache.forget(name)
        return None


def _chosen_now(request: Request, offers: Sequence[Sequence[Plan]], absent: dict[str, str], name: str) -> Model:
    """Open each device by its first plan that verifies, time them, keep the outcome."""
    opened: list[tuple[Plan, Model]] = []
    errors: list[DeviceError] = []
    rejected = dict(absent)
    for plans in offers:
        for plan in plans:
            try:
                opened.append((plan, open_on(request, plan)))
                break
            except DeviceError as error:
                errors.append(error)
                rejected[plan.label] = error.reason
    if not opened:
        raise errors[-1]
    rates = images_per_second([model for _, model in opened], SECONDS) if len(opened) > 1 else [0.0]
    fastest = max(range(len(opened)), key=rates.__getitem__)
    for index, (plan, _) in enumerate(opened):
        if index != fastest:
            rejected[plan.label] = f"slower, {rates[index]:.3g} images/s against {rates[fastest]:.3g}"
    plan, model = opened[fastest]
    model.device = replace(model.device, rejected=rejected)
    if not any(error.passing for error in errors):  # another time they may not be
        cache.write(name, json.dumps(asdict(Choice(plan.label, rejected))).encode())
    return model


def _kept(name: str) -> Choice | None:
    data = cache.read(name)
    if data is None:
        return None
    try:
        return Choice(**json.loads(data))
    except (ValueError, TypeError):
        cache.forget(name)
        return None


def _key(request: Request, device: str) -> str:
    try:
        gpus = [gpu.name for gpu in list_gpus()]
    except NoGpuError:
        gpus = []
    return cache.key(RULE, request.sha256, device, request.compute, gpus)


def _batch_for(model: Model) -> Images:
    size = model.contract.size
    return np.resize(probe_images(size, size), (model.batch or FEW_IMAGES, size, size, 3))
