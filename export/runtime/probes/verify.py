"""Verify a session: it must compute what was proved, on the images in the model's file, and what the CPU provider
computes, on synthetic images of the network's size.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import DeviceError
from export.runtime import cache
from export.runtime.devices.cpu import reference
from export.runtime.devices.cpu_features import computes_int8_exactly
from export.runtime.engines.onnxruntime import OrtSession
from export.runtime.masks import agreement, drop_single_class, to_mask
from export.runtime.plan import Plan, Request
from export.runtime.probes.in_file import FileProbes
from export.runtime.session import FittedSession, Images, Probs, WholeSession
from export.tolerances import tolerance_for
from seglab.synth import MIN_SIDE, synthesise

PROBES = 2
MANY_PROBES = 8
"""Probes if float layers are computed in less than fp32; black, white and noise are added."""
PROVED = "the results that the model's file holds from its proof"
PROVED_HINT = "Copy the file again, use another device, or export the model on a machine like this one."
INEXACT_INT8 = (
    "This CPU has no VNNI instructions, without which engines compute int8 less exactly. Use an fp32 model (the "
    "package has one: --compute fp32), or another machine."
)
RULE = 1
"""Raise this if other probes are drawn, so that cached ones are made again."""


@dataclass(frozen=True)
class Probes:
    """Images uint8 ``(N, S, S, 3)``, and the CPU provider's probabilities ``(N, C, S, S)`` for them."""

    images: Images
    expected: Probs


def probe_images(height: int, width: int, count: int = PROBES) -> Images:
    """Return synthetic images, uint8 ``(N, H, W, 3)``, whose hairs and noise reveal a resize without antialiasing."""
    larger = max(height, MIN_SIDE), max(width, MIN_SIDE)
    return np.stack([synthesise(*larger, seed).image[:height, :width] for seed in range(count)])


def verify_fitted(session: FittedSession, plan: Plan, request: Request) -> None:
    """Raise :class:`DeviceError` unless a session for S x S gives the results in the file, and the CPU provider's.

    The file's probes are enough for fp32 arithmetic; for less, more images are compared with the CPU provider here.
    """
    threshold = request.contract.threshold
    if request.probes:
        _require_proved(session.prob(request.probes.images), request.probes, plan, threshold)
    if plan.is_reference or (request.probes and plan.compute == "fp32"):
        return
    probes = _kept_probes(request, many=plan.compute != "fp32")
    require_same(session.prob(probes.images), probes.expected, plan=plan, threshold=threshold)


def verify_whole(session: WholeSession, plan: Plan, request: Request) -> None:
    """Raise :class:`DeviceError` unless a session for whole images gives the results in the file at S x S, and the CPU
    provider's on larger images.
    """
    threshold = request.contract.threshold
    if request.probes:
        _require_proved(session.prob_and_mask(request.probes.images)[0], request.probes, plan, threshold)
    if plan.is_reference:
        return
    size = request.contract.size
    images = probe_images(2 * size + 37, 3 * size + 11, count=1)
    expected, _ = OrtSession(request.path, reference(), threads=request.threads).prob_and_mask(images)
    prob, _ = session.prob_and_mask(images)
    require_same(prob, expected, plan=plan, threshold=threshold)


def _require_proved(prob: Probs, probes: FileProbes, plan: Plan, threshold: float) -> None:
    """Raise :class:`DeviceError` unless a session gives the results stored with the file's probes."""
    if np.isnan(prob).any():
        raise DeviceError(plan.device, f"in {plan.precision} it gives NaN", PROVED_HINT, available=True)
    require_same(probes.seen(prob), probes.expected, plan=plan, threshold=threshold, what=PROVED, hint=PROVED_HINT)


def require_same(
    prob: Probs,
    expected: Probs,
    *,
    plan: Plan,
    threshold: float,
    what: str = "what the CPU provider gives",
    hint: str = "Use another device.",
) -> None:
    """Raise :class:`DeviceError` unless probabilities ``(N, C, S, S)`` and their masks are within the gate's limits.

    ``what`` is expected, for the message; ``hint``: what to do, if it was computed in fp32.
    """
    limits = tolerance_for(plan.precision)
    gap = np.abs(prob - expected)
    masks = zip(drop_single_class(prob), drop_single_class(expected), strict=True)
    pairs = [agreement(to_mask(one, threshold), to_mask(other, threshold)) for one, other in masks]
    dice = [limits.counted_dice(value, flipped) for flipped, value in pairs]
    found = {  # the most telling first
        "worst_dice": float(np.min(dice)),
        "mean_dice": float(np.mean(dice)),
        "flipped": sum(max(0, flipped - limits.stray_pixels) for flipped, _ in pairs) / (len(pairs) * gap[0, 0].size),
        "max_prob": float(gap.max()),
        "mean_prob": float(gap.mean()),
    }
    for name, value in found.items():
        limit, at_least = getattr(limits, name), name.endswith("dice")
        if not (value >= limit if at_least else value <= limit):  # written so that NaN fails
            side = "at least" if at_least else "at most"
            reason = f"in {plan.precision} it does not give {what}: {name} is {value:.5g}, {side} {limit:g} allowed"
            remedy = _remedy(plan, hint)
            raise DeviceError(plan.device, reason, remedy, available=True)


def _remedy(plan: Plan, hint: str) -> str:
    if plan.precision == "int8" and not computes_int8_exactly():
        return INEXACT_INT8
    return hint if plan.compute == "fp32" else "Ask for --compute fp32."


def _kept_probes(request: Request, *, many: bool) -> Probes:
    name = f"probes-{cache.key(request.sha256, RULE, many)}.npz"
    data = cache.read(name)
    if data is not None:
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                return Probes(found["images"], found["expected"])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            cache.forget(name)
    probes = _make_probes(request, many=many)
    file = io.BytesIO()
    np.savez(file, images=probes.images, expected=probes.expected)
    cache.write(name, file.getvalue())
    return probes


def _make_probes(request: Request, *, many: bool) -> Probes:
    size = request.contract.size
    images = probe_images(size, size, MANY_PROBES if many else PROBES)
    if many:
        images = np.concatenate([images, _edges(size)])
    session = OrtSession(request.path, reference(), threads=request.threads)
    return Probes(images, np.concatenate([session.prob(image[None]) for image in images]))


def _edges(size: int) -> NDArray[np.uint8]:
    """Return a black image, a white one, and noise."""
    noise = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise])
